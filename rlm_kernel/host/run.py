"""One run: a question over an input, from its first event to its completion."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rlm_kernel.errors import LimitReached, RLMError
from rlm_kernel.events.tree import TreeBuilder
from rlm_kernel.events.types import Event, Note, RunContinued, RunFinished, RunStarted, StopReason
from rlm_kernel.host import engine, loop
from rlm_kernel.host.answers.answer import Answer
from rlm_kernel.host.bus import Bus, Sink
from rlm_kernel.host.completion import Completion
from rlm_kernel.host.conversation import Conversation
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.listeners import Listeners
from rlm_kernel.host.live.found import remember
from rlm_kernel.host.live.live_repl import LiveRepl, of_node
from rlm_kernel.host.node import Node
from rlm_kernel.host.options import Options
from rlm_kernel.host.resume.again import Again
from rlm_kernel.host.resume.keeping import keeping
from rlm_kernel.host.shared import Shared, Task, check_asked
from rlm_kernel.journal import Journal, default_runs_dir, new_id

log = logging.getLogger("rlm_kernel")


class Run:
    """One completion in progress: its events, and a way to stop it.

    Await it, or iterate it with ``async for``, to run it in the running event loop; `start` runs it on the private
    loop, and then the run is an iterator over its events that any thread may read.

    Attributes
    ----------
    question
        What it is asked.
    completion
        What it came to, once it has ended.
    """

    def __init__(
        self,
        options: Options,
        question: str,
        context: Any = None,
        conversation: Conversation | None = None,
        *,
        again: Again | None = None,
        directory: Path | None = None,
    ) -> None:
        check_asked(options, question, context, goes_on=conversation is not None)
        self.directory = directory or Path(options.runs_dir or default_runs_dir()).expanduser() / new_id()
        self.id = self.directory.name
        self.completion: Completion | None = None
        self.question = question
        self._options = options
        self._conversation = conversation
        for_run = getattr(options.on_event, "for_run", None)  # a sink that has to tell runs apart
        self._on_event = options.on_event if for_run is None else for_run()
        has_input = conversation is not None and bool(conversation.repl.contexts)
        self._task = Task.of(options, question, context, has_input=has_input)
        self._again = again
        self._tree, self._listeners = TreeBuilder(), Listeners()
        self._journal = Journal(self.directory) if again is None else again.journal
        commit = None if self._journal is None else self._journal.commit
        self._bus = Bus(self._sinks([self._tree.apply, self._listeners.put, self._tell]), commit)
        self._shared = Shared.of(options, self._bus, None if conversation is None else conversation.box)
        self._bus.redact = self._shared.redactor.event
        self._shared.verifiers.approval.stop = self.cancel
        self._ledger = Ledger(options, self._shared.models.prices)
        self._node: Node | None = None
        self._future: concurrent.futures.Future[Completion] | None = None
        self._running: asyncio.Task[Any] | None = None
        self._cancelled = False
        remember(self)
        self._then: Callable[[Completion], None] | None = None
        if again is not None and again.journal is not None:
            self._ledger.account.go_on_from(again.recording.usage, again.recording.seconds)
            self._bus.next = again.recording.events
            for event in again.events:
                self._tree.apply(event)
                self._listeners.put(event)

    async def complete(self) -> Completion:
        """Run to the end.

        Raises
        ------
        RLMError
            The root model, the sandbox or the context failed. What was done until then is in the journal.
        asyncio.CancelledError
            The task was cancelled from outside; `completion` holds what there is. After `cancel` it is returned.
        """
        if self._again is not None:
            return await self._drive(self._again.first)
        follows = None if self._conversation is None else self._conversation.last or None
        options = self._options.public()
        return await self._drive(RunStarted(run=self.id, question=self.question, options=options, follows=follows))

    async def go_on(self, **limits: Any) -> Completion:
        """Go on from where a limit has ended the run, with higher limits, in the same REPL.

        Raises
        ------
        OptionError
            A limit cannot be raised, or is not higher than it was.
        RLMError
            No limit has ended it, or its REPL is gone.
        """
        if self._conversation is None or self._conversation.last != self.id or self.completion is None:
            raise RLMError("Only the last completion of a conversation (`with RLM(...) as rlm:`) can go on.")
        if not self.completion.stop_reason.startswith("max_"):
            raise RLMError(f"This completion was not ended by a limit ({self.completion.stop_reason}). Ask again.")
        self._options = self._options.with_limits(**limits)
        self._ledger.account.raise_limits(self._options)
        self._cancelled = False
        return await self._drive(RunContinued(limits=limits))

    def __await__(self) -> Generator[Any, None, Completion]:
        return self.complete().__await__()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Run in this event loop and yield each event as it happens. Leaving the iteration cancels the run."""
        with self._listeners.listener(() if self._again is None else self._again.events) as listener:
            task = asyncio.create_task(self.complete())
            try:
                while (event := await listener.get()) is not None:
                    yield event
                await task
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def start(self) -> Run:
        """Begin on the private loop and return at once."""
        self._future = loop.submit(self.complete())
        return self

    def abandon(self) -> None:
        """Give up a run that has not begun: another process may have its journal."""
        if self._journal is not None:
            self._journal.close()

    def when_done(self, then: Callable[[Completion], None]) -> None:
        """Have a function told what the run comes to, in the run's thread, before `result` returns; not if it fails."""
        self._then = then

    def cancel(self) -> None:
        """Stop the run, from any thread: calls in flight are cancelled, what there is is kept."""
        self._cancelled = True
        if self._running is not None:
            self._running.get_loop().call_soon_threadsafe(self._running.cancel)

    @property
    def done(self) -> bool:
        """Whether it has ended, however; then `completion` is there, and `result` returns or raises at once."""
        return self.completion is not None

    def __repr__(self) -> str:
        return f"Run({self.id!r}, {'running' if self.completion is None else self.completion.stop_reason})"

    def cancel_call(self, call: str) -> None:
        """Stop a sub-call (``"0.3"``) and all below it, from any thread: its cell sees a failure, the run goes on."""
        if self._running is not None:
            self._running.get_loop().call_soon_threadsafe(self._shared.stops.stop, call)

    @property
    def repl(self) -> LiveRepl:
        """The root's live kernel: ``run.repl["chunks"]``."""
        return self.repl_of("0")

    def repl_of(self, node: str) -> LiveRepl:
        """Return the live kernel of a node: ``"0"`` is the root, ``"0.3"`` the child of that call."""
        return of_node(self.id, node, self._shared.repls, lambda: self.completion is not None, self._conversation)

    def result(self) -> Completion:
        """Wait for the end of a run that was started.

        Ctrl-C cancels the run, waits until it has ended cleanly, and is raised again.

        Raises
        ------
        RLMError
            As in `complete`.
        """
        assert self._future is not None
        try:
            return self._future.result()
        except KeyboardInterrupt:
            self.cancel()
            with contextlib.suppress(RLMError):
                self._future.result()
            raise

    def events(self, every: float | None = None) -> Iterator[Event | None]:
        """Yield each event as it happens; ends when the run has.

        With ``every``, yield what has come in so many seconds, then ``None``, and so on: that costs a run less.
        """
        return self._listeners.events(every)

    def __iter__(self) -> Iterator[Event]:
        """Yield each event as it happens; ends when the run has."""
        return (event for event in self.events() if event is not None)

    async def _drive(self, first: Event) -> Completion:
        """Run the root node to its end, from the run's first event to its last."""
        self._running = asyncio.current_task()
        if self._cancelled and self._running is not None:  # before it began
            self._running.cancel()
        reason: StopReason = "error"
        error: str | None = "the host failed"
        try:
            self._shared.models.get_ready()
            self._bus.emit(first)
            reason, error = await self._answered(), None
        except asyncio.CancelledError:
            reason, error = "cancelled", None
            if not self._cancelled:
                raise
            assert self._running is not None
            self._running.uncancel()
        except LimitReached as limit:  # before the loop had begun
            reason, error = limit.limit, str(limit)  # type: ignore[assignment]
        except RLMError as failure:
            error = str(failure)
            raise
        finally:
            await loop.to_the_end(self._end(reason, error))
        assert self.completion is not None
        if self._then is not None:
            self._then(self.completion)
        return self.completion

    def _sinks(self, views: Sequence[Sink]) -> Sequence[Sink]:
        """Return what hears the engine."""
        return views if self._journal is None else [self._journal, *views]

    async def _answered(self) -> StopReason:
        conversation = self._conversation
        past = None if self._again is None else self._again.recording
        recorded, seed = (None, self.id) if past is None else (past.root, past.first_run)
        node = partial(Node, self._shared, self._ledger, self._task, recorded=recorded, seed=seed)
        if conversation is None:
            self._node = node()
            async with self._node, self._keeping_input():
                return (await engine.run(self._node)).stop_reason
        async with conversation.turn():
            if self._node is None:
                self._node = node(repl=conversation.repl)
            conversation.last = self.id
            async with self._node, self._keeping_input():
                answer = await engine.run(self._node)
            if answer.stop_reason == "answered":
                try:
                    await self._node.remember()
                except RLMError as error:  # the kernel's fault, and the answer is there
                    self._bus.emit(Note(text=f"The REPL does not hold this completion's messages: {error}"))
            return answer.stop_reason

    def _keeping_input(self) -> contextlib.AbstractAsyncContextManager[None]:
        assert self._node is not None
        again, prepared = self._again, self._node.repl.new_inputs()
        if again is not None and (again.journal is None or (again.recording.inputs and not again.other_input)):
            prepared = []  # they are there
        return keeping(self._bus, self.directory, prepared, self._shared.redactor)

    @property
    def _best(self) -> Answer:
        """What was answered, or would have been."""
        return Answer() if self._node is None else self._node.best

    async def _end(self, reason: StopReason, error: str | None) -> None:
        """Close what the run has opened, and say what it came to. Nothing may keep it from doing so."""
        ledger = self._ledger
        ledger.account.stop()
        try:
            if self._shared.cache.problem is not None:
                self._bus.emit(Note(text=self._shared.cache.problem))
            if self._conversation is None:
                await self._shared.box.close()
            await self._shared.models.aclose()
        finally:
            try:
                self._bus.emit(RunFinished(stop_reason=reason, usage=ledger.usage, seconds=ledger.seconds, error=error))
            finally:
                if self._journal is not None:
                    self._journal.close()
                best, tree = self._best, self._tree.tree
                self.completion = Completion(
                    answer=best.result,
                    text=best.text,
                    stop_reason=reason,
                    usage=tree.usage,
                    seconds=tree.seconds,
                    tree=tree,
                    run_dir=self.directory,
                )
                self._listeners.put(None)

    def _tell(self, event: Event) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # a caller's function must not end a run that is being paid for
            log.exception("on_event raised on %s", event.type)
            if not isinstance(event, Note):
                self._bus.emit(Note(text=f"on_event raised {type(error).__name__} on {event.type}: {error}"))
