"""One RLM node: its kernel, its models, its place in the tree. The engine drives it, the stream hears of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached
from rlm_kernel.events import types as events
from rlm_kernel.events.types import StopReason
from rlm_kernel.events.values import Message
from rlm_kernel.host import inputs
from rlm_kernel.host.answer import Answer
from rlm_kernel.host.broker import Broker
from rlm_kernel.host.bus import Bus
from rlm_kernel.host.config import Models, Options
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.prompts import CellRecord
from rlm_kernel.host.sandboxes.box import Box
from rlm_kernel.host.session import Session

CELL_OUTPUT_CHARACTERS = 1_000_000
"""What the host keeps of one cell's output; the rest is dropped and said to be."""


@dataclass(frozen=True)
class Shared:
    """What all nodes of a run have in common."""

    options: Options
    models: Models
    bus: Bus
    slots: asyncio.Semaphore
    """Plain sub-calls in flight, over the whole tree."""
    box: Box
    """Where the kernels live."""


class Node:
    """A question, an input and a kernel. Use as an async context manager: the kernel lives inside."""

    def __init__(self, shared: Shared, ledger: Ledger, question: str, context: Any, node_id: str = "0") -> None:
        self.shared = shared
        self.ledger = ledger
        self.question = question
        self.id = node_id
        self.running_cell: int | None = None
        self.best = Answer()
        self._context = context
        self._ids = itertools.count(1)
        self._cells = itertools.count(1)
        self._told = 0
        self._variables: dict[str, str] = {}
        """The REPL's, when the last cell ended."""
        file = inputs.single_file(context)
        files = () if file is None else (file,)
        self._session = Session(shared.box, shared.options.cell_seconds, Broker(self).serve, files)

    def child(self, context: Any, node_id: str) -> Node:
        """Return a node one level down, with everything inherited."""
        question = "Do what `context` asks, and answer it."
        return Node(self.shared, self.ledger.child(), question, context, node_id)

    def next_call_id(self) -> str:
        """Return the id of this node's next sub-call."""
        return f"{self.id}.{next(self._ids)}"

    async def __aenter__(self) -> Node:
        self._started = time.monotonic()
        try:
            session = self._session
            await session.launch()
            prepare = asyncio.to_thread(
                inputs.prepare,
                self._context,
                session.inputs,
                "context_0",
                session.shown,
                encoding=self.shared.options.encoding,
                encoding_errors=self.shared.options.encoding_errors,
            )
            load, _ = await asyncio.gather(prepare, session.attach())
            self.context = await session.load(load)
        except BaseException as error:
            await self.__aexit__(type(error), error)
            raise
        model = self.shared.models.root.name
        summary = wire.encode(self.context)
        started = events.NodeStarted(
            node=self.id, depth=self.ledger.depth, model=model, question=self.question, context=summary
        )
        self.shared.bus.emit(started)
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any = None) -> None:
        await self._session.close()
        reason: StopReason = self.best.stop_reason
        if error is not None:
            reason = "cancelled" if isinstance(error, asyncio.CancelledError) else "error"
        text = None if error is None or reason == "cancelled" else str(error)
        seconds = time.monotonic() - self._started
        self.shared.bus.emit(events.NodeFinished(node=self.id, stop_reason=reason, seconds=seconds, error=text))

    async def ask(self, history: Sequence[Message], iteration: int) -> str:
        """Ask the root model; the reply's text. Charges the ledger."""
        bus = self.shared.bus
        bus.emit(events.ModelRequested(node=self.id, iteration=iteration, messages=tuple(history[self._told :])))
        self._told = len(history) + 1  # the reply itself is in ModelReplied

        def on_text(text: str) -> None:
            bus.emit(events.TextDelta(node=self.id, iteration=iteration, text=text))

        started = time.monotonic()
        reply = await self.shared.models.root.complete(history, on_text)
        self.ledger.charge(reply.usage)
        seconds = time.monotonic() - started
        bus.emit(
            events.ModelReplied(node=self.id, iteration=iteration, text=reply.text, usage=reply.usage, seconds=seconds)
        )
        return reply.text

    async def execute(self, code: str) -> CellRecord:
        """Run one cell and tell the stream."""
        bus, cell, record, room = self.shared.bus, next(self._cells), CellRecord(), CELL_OUTPUT_CHARACTERS

        def on_output(kind: str, data: dict[str, Any]) -> None:
            nonlocal room
            size = sum(len(str(value)) for value in data.values())
            if room <= 0:
                return
            room -= size
            if room <= 0:
                kind, data = "stderr", {"text/plain": _cut(data, room + size)}
            record.output.append(
                str(data.get("text/plain", "")) + ("\n" if kind in ("execute_result", "error") else "")
            )
            bus.emit(events.CellOutput(node=self.id, cell=cell, kind=kind, data=data))  # type: ignore[arg-type]

        bus.emit(events.CellStarted(node=self.id, iteration=self.ledger.iterations, cell=cell, code=code))
        self.running_cell = cell
        try:
            result = await self._session.execute(code, on_output)
        finally:
            self.running_cell = None
        bus.emit(events.CellFinished(node=self.id, cell=cell, status=result.status, seconds=result.seconds))
        record.status, record.report = result.status, result.report
        if result.restart is not None:
            record.restart, record.lost, self._variables = result.restart, self._variables, {}
            bus.emit(events.Note(node=self.id, text=f"The kernel was restarted: {result.restart}."))
        if result.report is not None:
            self._variables = result.report.variables
            if result.report.text:
                self.best = Answer.of_report(result.report)
        return record

    def stop(self, limit: LimitReached) -> Answer:
        """End with the best answer so far, because a limit is spent."""
        self.shared.bus.emit(events.LimitHit(node=self.id, limit=limit.limit, maximum=limit.maximum))
        return self._end(replace(self.best, stop_reason=limit.limit))  # type: ignore[arg-type]

    def finish(self, record: CellRecord) -> Answer:
        """End with the answer of the cell that is ready."""
        assert record.report is not None
        return self._end(Answer.of_report(record.report))

    def _end(self, answer: Answer) -> Answer:
        self.best = answer
        if answer.text:
            self.shared.bus.emit(events.NodeAnswered(node=self.id, value=answer.value, text=answer.text))
        return answer


def _cut(data: dict[str, Any], room: int) -> str:
    text = str(data.get("text/plain", ""))
    return f"{text[: max(room, 0)]}\n... output beyond {CELL_OUTPUT_CHARACTERS:,} characters was dropped.\n"
