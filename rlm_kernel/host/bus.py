"""Hands each event, numbered and timed, to every sink. The engine knows no sink."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable

from rlm_kernel.events.types import Event

Sink = Callable[[Event], None]


class Bus:
    """The run's one stream. Owned by the run's event loop."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self.redact: Callable[[Event], Event] | None = None
        """Takes secrets out of an event before any sink sees it."""
        self._sinks = list(sinks)
        self._seq = 0

    def emit(self, event: Event) -> None:
        """Give the event its number and time, and hand it to each sink in order."""
        event = dataclasses.replace(event, seq=self._seq, time=time.time())
        self._seq += 1
        if self.redact is not None:
            event = self.redact(event)
        for sink in self._sinks:
            sink(event)
