"""One run: a question over an input, from its first event to its completion."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel.errors import RLMError
from rlm_kernel.events.tree import Tree, TreeBuilder
from rlm_kernel.events.types import Event, RunFinished, RunStarted, StopReason
from rlm_kernel.events.values import Usage
from rlm_kernel.host import engine, inputs, loop
from rlm_kernel.host.bus import Bus
from rlm_kernel.host.config import Options
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.node import Node, Shared
from rlm_kernel.host.sandboxes.box import Box
from rlm_kernel.sinks import html
from rlm_kernel.sinks.journal import Journal, default_runs_dir

log = logging.getLogger("rlm_kernel")


@dataclass(frozen=True)
class Completion:
    """What a run came to. Shown in a notebook, it is the answer with its call tree.

    Attributes
    ----------
    answer
        The answer as the REPL's JSON value, or its text; ``None`` when there is none.
    text
        The answer as text.
    stop_reason
        ``answered``, a limit's name such as ``max_calls`` (then the answer is the best so far), ``cancelled``
        or ``error``.
    usage
        Model calls and tokens of the whole tree.
    seconds
        Wall-clock time.
    tree
        How the answer was found.
    run_dir
        Where the journal is.
    """

    answer: Any
    text: str
    stop_reason: StopReason
    usage: Usage
    seconds: float
    tree: Tree = field(repr=False)
    run_dir: Path = field(repr=False)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": html.render_text(self.tree), "text/html": html.render(self.tree)}


class Run:
    """One completion in progress: its events, and a way to stop it.

    `complete` runs it in the caller's event loop; `start` runs it on the private loop, and then the run is an
    iterator over its events that any thread may read.
    """

    def __init__(self, options: Options, question: str, context: Any) -> None:
        if not isinstance(question, str) or not question.strip():
            raise RLMError("The question is empty. Write what you want to know about the context.")
        inputs.check(question if context is None else context, options.memory_mb << 20, encoding=options.encoding)
        self.id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        self.directory = Path(options.runs_dir or default_runs_dir()) / self.id
        self.completion: Completion | None = None
        self._options = options
        self._question = question
        self._context = question if context is None else context
        self._models = options.models()
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._future: concurrent.futures.Future[Completion] | None = None

    async def complete(self) -> Completion:
        """Run to the end.

        Raises
        ------
        RLMError
            The root model, the sandbox or the context failed. What was done until then is in the journal.
        asyncio.CancelledError
            The run was cancelled; `completion` holds what there is.
        """
        options, ledger, tree = self._options, Ledger(self._options.limits), TreeBuilder()
        journal = Journal(self.directory)
        bus = Bus([journal, tree.apply, self._events.put, self._tell])
        box = Box(options.box)
        shared = Shared(options, self._models, bus, asyncio.Semaphore(options.max_concurrency), box)
        node = Node(shared, ledger, self._question, self._context)
        reason: StopReason = "error"
        error: str | None = "the host failed"
        try:
            bus.emit(RunStarted(run=self.id, question=self._question, options=options.public()))
            async with node:
                reason, error = (await engine.run(node)).stop_reason, None
        except asyncio.CancelledError:
            reason, error = "cancelled", None
            raise
        except RLMError as failure:
            error = str(failure)
            raise
        finally:
            await box.close()
            try:
                bus.emit(RunFinished(stop_reason=reason, usage=ledger.usage, seconds=ledger.seconds, error=error))
            finally:
                journal.close()
                best, usage, seconds = node.best, ledger.usage, ledger.seconds
                self.completion = Completion(best.value, best.text, reason, usage, seconds, tree.tree, self.directory)
                self._events.put(None)
                await self._models.aclose()
        return self.completion

    def start(self) -> Run:
        """Begin on the private loop and return at once."""
        self._future = loop.submit(self.complete())
        return self

    def cancel(self) -> None:
        """Stop the run: calls in flight are cancelled, the kernel is ended, what there is is kept."""
        assert self._future is not None
        self._future.cancel()

    def result(self) -> Completion:
        """Wait for the end. Ctrl-C cancels the run, waits until it has ended cleanly, and is raised again.

        Raises
        ------
        RLMError
            As in `complete`.
        """
        assert self._future is not None
        try:
            concurrent.futures.wait([self._future])
            self._drain()  # after a cancellation the future is done before the run has cleaned up
            return self._future.result()
        except concurrent.futures.CancelledError:
            assert self.completion is not None
            return self.completion
        except KeyboardInterrupt:
            self.cancel()
            self._drain()
            raise

    def events(self, every: float | None = None) -> Iterator[Event | None]:
        """Yield each event as it happens, and ``None`` when none came for ``every`` seconds; ends when the run has."""
        while True:
            try:
                event = self._events.get(timeout=every)
            except queue.Empty:
                yield None
                continue
            if event is None:
                self._events.put(None)
                return
            yield event

    def __iter__(self) -> Iterator[Event]:
        """Yield each event as it happens; ends when the run has."""
        return (event for event in self.events() if event is not None)

    def _drain(self) -> None:
        for _ in self:
            pass

    def _tell(self, event: Event) -> None:
        if self._options.on_event is None:
            return
        try:
            self._options.on_event(event)
        except Exception:  # a caller's function must not end a run that is being paid for
            log.exception("on_event raised on %s", event.type)
