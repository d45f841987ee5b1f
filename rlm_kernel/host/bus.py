"""Hands each event, numbered and timed, to every sink. The engine knows no sink."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterable

from rlm_kernel.events.types import CallFinished, Compacted, Event, ModelReplied

Sink = Callable[[Event], None]
Paid = ModelReplied | CallFinished | Compacted

COMMIT_SECONDS = 0.05
"""What came sooner can be had again as soon: it may be lost with the power, as writing to the disk would cost more."""


class Bus:
    """The run's one stream. Owned by the run's event loop.

    Attributes
    ----------
    redact
        Takes secrets out of an event before any sink sees it.
    commit
        Waits until what was emitted is on the disk.
    next
        The number of the next event.
    """

    def __init__(self, sinks: Iterable[Sink], commit: Callable[[], Awaitable[None]] | None = None) -> None:
        self.redact: Callable[[Event], Event] | None = None
        self.commit = commit
        self.next = 0
        self._sinks = list(sinks)

    async def emit_paid(self, event: Paid, seconds: float) -> None:
        """Emit what a request has given, which took so long, and wait until it cannot be lost."""
        self.emit(event)
        await self.keep(seconds)

    async def keep(self, seconds: float) -> None:
        """Wait until what was emitted cannot be lost, if it took so long to have it."""
        if self.commit is not None and seconds >= COMMIT_SECONDS:
            await self.commit()

    def emit(self, event: Event) -> int:
        """Give the event its number and time, and hand it to each sink in order; return the number."""
        number = self.next
        event = dataclasses.replace(event, seq=number, time=time.time())
        self.next += 1
        if self.redact is not None:
            event = self.redact(event)
        for sink in self._sinks:
            sink(event)
        return number
