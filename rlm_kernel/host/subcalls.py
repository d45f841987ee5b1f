"""The sub-calls of one node: served from the journal or sent on their way, and told to the stream."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, RLMError
from rlm_kernel.events import types as events
from rlm_kernel.host.resume.recorded import RecordedCall
from rlm_kernel.host.stops import CallStopped
from rlm_kernel.host.subcall import InFlight, Job

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node

CANCELLED_SECONDS = 30.0
"""How much longer than in the journal a replay lets a call wait that was cancelled there."""


class SubCalls:
    """Answers the sub-calls of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._shared = node.shared
        self._children = asyncio.Semaphore(node.ledger.limits.max_children)
        self._new: Counter[str] = Counter()
        """How often each key was asked that is not in the journal."""

    def knows(self, job: Job) -> bool:
        """Whether a job costs nothing, because an earlier one answers it."""
        return InFlight(self._node, self._children).is_known(job)

    async def answer(self, job: Job) -> wire.CallResult:
        """Answer one job and tell the stream, which has not kept it yet. A failure is a result too."""
        node, bus, key, started = self._node, self._shared.bus, job.key, time.monotonic()
        recorded = self._recorded(key)
        flight = InFlight(node, self._children, recorded)
        try:
            if recorded is None or recorded.finished is None or not recorded.finished.cached:
                flight.count(job)
            node.ledger.account.record(job.prompt)
        except LimitReached as limit:
            return wire.CallResult.failed(limit)
        flight.call, flight.place = node.next_call_id(), self._place(key, recorded)
        serves = recorded is not None and self._serves(recorded)
        bus.emit(
            events.CallRequested(
                node=node.id,
                call=flight.call,
                kind=job.kind,
                model=recorded.request.model if recorded is not None and serves else job.model.name,
                prompt=job.prompt,
                cell=node.running_cell,
                key=key,
                source=None if recorded is None else recorded.request.seq,
            )
        )
        if recorded is not None and serves:
            return self._served(job, flight, recorded)
        status, text, result = "cancelled", "", wire.CallResult(error="The call was cancelled.")
        try:
            if node.recorded.strict:
                await _missing(recorded)
            async with self._shared.stops.of(flight.call):
                text = await flight.go(job)
            node.ledger.account.record(text)
            status, result = "ok", wire.CallResult(text=text)
        except CallStopped as stopped:
            text, result = str(stopped), wire.CallResult.failed(stopped)
        except RLMError as error:
            status, text, result = "error", str(error), wire.CallResult.failed(error)
        finally:
            flight.settle()
            seconds = time.monotonic() - started
            finished = events.CallFinished(
                node=node.id,
                call=flight.call,
                status=status,  # type: ignore[arg-type]
                text=text,
                usage=flight.usage,
                seconds=seconds,
                cached=bool(flight.cached),
            )
            bus.emit_paid(finished, seconds if flight.usage.calls and status != "cancelled" else 0.0)
        return result

    def _recorded(self, key: str) -> RecordedCall | None:
        """Take what the journal holds of a call. If it should and does not, the node does something else now."""
        node = self._node
        found = node.recorded.call(key)
        if found is None and node.recorded.lacks(node.running_cell):
            node.diverge(f"Cell {node.running_cell} asks for what is not in the journal.", node.running_cell)
        return found

    def _place(self, key: str, recorded: RecordedCall | None) -> int:
        """Return which of the node's calls of that key it is; the same one in each attempt."""
        if recorded is not None:
            return recorded.place
        self._new[key] += 1
        return len(self._node.recorded.calls.get(key, ())) + self._new[key] - 1

    def _serves(self, recorded: RecordedCall) -> bool:
        """Whether the journal has the result. In a replay what has failed fails again."""
        if recorded.finished is None:
            return False
        status = recorded.finished.status
        return status == "ok" or (status == "error" and self._node.recorded.strict)

    def _served(self, job: Job, flight: InFlight, recorded: RecordedCall) -> wire.CallResult:
        """Give the result that the journal has, and tell the stream."""
        node, bus, finished = self._node, self._shared.bus, recorded.finished
        assert finished is not None
        for check in recorded.checks:
            bus.emit(replace(check, node=node.id, call=flight.call))
        node.ledger.account.use_recorded(finished.usage, paid=not node.recorded.strict)
        node.ledger.account.calls += recorded.node.calls_made
        bus.emit(replace(finished, node=node.id, call=flight.call, recorded=True))
        if finished.status == "ok":
            if job.kind == "llm" or (recorded.node.ended is not None and recorded.node.ended.stop_reason == "answered"):
                flight.remember(job, finished.text)
            return wire.CallResult(text=finished.text)
        hit = node.recorded.limit
        if hit is not None and finished.text == str(limit := LimitReached(hit.limit, hit.maximum)):
            return wire.CallResult.failed(limit)
        return wire.CallResult(error=finished.text)


async def _missing(recorded: RecordedCall | None) -> NoReturn:
    """Fail, because a replay asks no model; what was cancelled in the journal waits to be so again."""
    if recorded is None:
        raise RLMError("This call is not recorded, and a replay asks no model.")
    seconds = 0.0 if recorded.finished is None else recorded.finished.seconds
    await asyncio.sleep(CANCELLED_SECONDS + seconds)
    raise RLMError("In the journal this call was cancelled, and here nobody has.")
