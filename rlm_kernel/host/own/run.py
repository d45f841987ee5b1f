"""A person's cell as a run: a root node without a model, whose only cell the person's kernel runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import KernelDied, LLMCallError, RLMError
from rlm_kernel.events.types import CellStatus, Note, RunStarted, StopReason
from rlm_kernel.host import loop
from rlm_kernel.host.answers.answer import Answer
from rlm_kernel.host.cell import CellResult, OnOutput
from rlm_kernel.host.completion import Completion
from rlm_kernel.host.node import Node
from rlm_kernel.host.options import Options
from rlm_kernel.host.providers.scripted import ScriptedModel
from rlm_kernel.host.repl import Repl, Serve
from rlm_kernel.host.resume.again import BY_HAND, PreparedInput
from rlm_kernel.host.run import Run
from rlm_kernel.host.shared import Shared, Task
from rlm_kernel.host.uploads import Uploads
from rlm_kernel.sinks.text import first_line

QUESTION_CHARACTERS = 100
INTERRUPTED = "the cell was interrupted"

Output = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Ended:
    """How a person's cell ended: its outputs as kinds and MIME bundles, and the error that ended it."""

    status: CellStatus
    outputs: Sequence[Output] = ()
    error: str = ""
    report: wire.CellReport | None = None


class CellRun(Run):
    """One cell of a person's, from the first thing it asks to its end.

    `begin` it, let it `serve`, and `end` it.

    Attributes
    ----------
    interrupted
        Whether the person has stopped the cell, so that nothing more is asked.

    Parameters
    ----------
    options
        As for any run. The person's REPL is one level above them: ``max_depth=1`` lets `rlm_query` be an RLM.
    code
        The cell.
    contexts
        What the inputs of the REPL are, in order.
    prepared
        Makes the inputs ready to be kept in the journal; called in a thread.
    """

    def __init__(
        self,
        options: Options,
        code: str,
        contexts: Sequence[wire.Loaded],
        prepared: Callable[[], list[PreparedInput]],
    ) -> None:
        options = replace(options, max_depth=options.max_depth + 1)
        super().__init__(options, first_line(code, QUESTION_CHARACTERS) or "(an empty cell)")
        self.interrupted = False
        self._code = code
        self._prepared = prepared
        self._repl = _OwnRepl(self._shared, contexts)

    def begin(self) -> None:
        """Start the run, and return when it can serve.

        Raises
        ------
        RLMError
            It could not begin.
        """
        self.start()
        assert self._future is not None
        concurrent.futures.wait(
            [self._repl.session.ready, self._future], return_when=concurrent.futures.FIRST_COMPLETED
        )
        if not self._repl.session.ready.done():
            self._future.result()

    def serve(self, call: wire.Call | wire.ToolCall) -> concurrent.futures.Future[wire.Reply]:
        """Begin to answer what the cell asks. From any thread; cancelling the future cancels the call.

        Raises
        ------
        KeyboardInterrupt
            The cell was interrupted: a thread pool would go on to its next prompt otherwise.
        LLMCallError
            The run has ended.
        """
        if self.interrupted:
            raise KeyboardInterrupt(INTERRUPTED)
        if self._repl.serve is None:
            raise LLMCallError("The run of this cell has ended, so nothing answers it. Run the cell again.")
        return loop.submit(self._repl.session.calls.answer(self._repl.serve, call))

    def interrupt(self) -> None:
        """End every call, and refuse more. May be called by a signal's handler."""
        self.interrupted = True
        self._repl.session.calls.cancel()

    def upload(self, part: wire.Part) -> None:
        """Take a piece of an input for a child. From any thread, before the call that names it."""
        loop.get().call_soon_threadsafe(self._repl.session.calls.uploads.add, part)

    def end(self, ended: Ended) -> Completion:
        """Say that the cell has ended, and wait until the run has."""
        self._repl.session.ended.set_result(ended)
        try:
            return self.result()
        except RLMError:  # the cell's own error, which the person has seen
            assert self.completion is not None
            return self.completion

    async def complete(self) -> Completion:
        """Run until the cell has ended."""
        options = self._options.public() | {BY_HAND: True}
        return await self._drive(RunStarted(run=self.id, question=self.question, options=options))

    async def _answered(self) -> StopReason:
        nobody = ScriptedModel([], name="")
        try:
            self._repl.prepared = await asyncio.to_thread(self._prepared)
        except RLMError as error:  # the person has changed it since
            self._bus.emit(Note(text=f"The input is not in the journal: {error}"))
        self._node = node = Node(self._shared, self._ledger, Task(self.question, None), repl=self._repl, model=nobody)
        async with node, self._keeping_input():
            self._ledger.start_iteration()
            await node.execute(self._code)
            ended = self._repl.session.ended.result()
            if ended.status == "interrupted":
                self._cancelled = True
                raise asyncio.CancelledError
            if ended.status != "ok":
                raise RLMError(f"The cell failed: {ended.error}")
            answered = ended.report is not None and ended.report.ready
            return node.finish(node.best if answered else Answer()).stop_reason


class _OwnRepl(Repl):
    """A node's REPL, where a person's kernel is one."""

    def __init__(self, shared: Shared, contexts: Sequence[wire.Loaded]) -> None:
        self.serve: Serve | None = None
        self.contexts = list(contexts)
        self.histories = 0
        self.variables: dict[str, str] = {}
        self.cells = itertools.count(1)
        self.seed = ""
        self.prepared: list[PreparedInput] = []
        self.session: Any = _OwnSession(Uploads(shared.box.path, shared.box.options.disk_mb << 20))

    def new_inputs(self) -> list[PreparedInput]:
        """Return the inputs: each cell has a journal of its own."""
        return self.prepared

    async def renew(self, context: Any = None) -> None:
        """Leave everything as it is: the inputs and the ``answer`` are the person's."""


class _OwnSession:
    """A session in which the one cell is run by somebody else."""

    def __init__(self, uploads: Uploads) -> None:
        self.calls = _OwnCalls(uploads)
        self.ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.ended: concurrent.futures.Future[Ended] = concurrent.futures.Future()

    @property
    def connection_file(self) -> Path:
        """There is none: nobody attaches to the person's own kernel from there."""
        raise KernelDied("this kernel is your own, and its variables are here")

    async def execute(self, code: str, on_output: OnOutput) -> CellResult:
        """Wait until the cell has ended."""
        started = time.monotonic()
        self.ready.set_result(None)
        ended = await asyncio.wrap_future(self.ended)
        for kind, data in ended.outputs:
            on_output(kind, data)
        return CellResult(ended.status, time.monotonic() - started, ended.report)


class _OwnCalls:
    """The calls of the cell: they end with it, and no clock runs."""

    def __init__(self, uploads: Uploads) -> None:
        self.uploads = uploads
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = loop.get()

    def in_own_time(self) -> AbstractContextManager[None]:
        """Do nothing: the cell's time is the person's."""
        return nullcontext()

    async def answer(self, serve: Serve, call: wire.Call | wire.ToolCall) -> wire.Reply:
        """Answer a call; `end` cancels it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await serve(call)
        finally:
            self._tasks.discard(task)

    def cancel(self) -> None:
        """Cancel every call. From any thread, and from a signal's handler: no lock is taken."""
        self._loop.call_soon_threadsafe(self._cancel)

    async def end(self) -> None:
        """Cancel every call and wait until they have ended."""
        await asyncio.gather(*self._cancel(), return_exceptions=True)

    def _cancel(self) -> list[asyncio.Task[Any]]:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks
