"""Hands each event, numbered and timed, to every sink. The engine knows no sink."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from rlm_kernel.errors import RLMError
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
        self._keeping: asyncio.Task[None] | None = None
        self._owed = self._safe = 0
        """Events that have to be on the disk, and those that are: the number of the first that does not, or is not."""
        self._failure: RLMError | None = None

    def emit_paid(self, event: Paid, seconds: float) -> None:
        """Emit what a request has given, which took so long. Whoever uses it waits until it is `kept`."""
        self.emit(event)
        self.keep(seconds)

    def keep(self, seconds: float) -> None:
        """Let what was emitted be written to the disk, if it took so long to have it; others may go on meanwhile."""
        if self.commit is not None and seconds >= COMMIT_SECONDS:
            self._owed = self.next
            self._begin_to_keep(self.commit)

    async def kept(self) -> None:
        """Wait until nothing that was paid for can be lost.

        Raises
        ------
        RLMError
            It could not be written to the disk.
        """
        owed = self._owed
        while self.commit is not None and self._safe < owed and self._failure is None:
            await asyncio.shield(self._begin_to_keep(self.commit))
        if self._failure is not None:
            raise self._failure

    def _begin_to_keep(self, commit: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Return the task that writes to the disk: one, for all that wait."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep(commit))
        return self._keeping

    async def _keep(self, commit: Callable[[], Awaitable[None]]) -> None:
        try:
            while self._safe < self._owed:
                number = self.next
                await commit()
                self._safe = number
        except RLMError as error:
            self._failure = error  # for good: to ask the disk again would look as if nothing were lost
        finally:
            self._keeping = None

    def emit(self, event: Event) -> int:
        """Give a new event its number and time, and hand it to each sink in order; return the number."""
        number = self.next
        event.stamp(number, time.time())
        self.next += 1
        if self.redact is not None:
            event = self.redact(event)
        for sink in self._sinks:
            sink(event)
        return number
