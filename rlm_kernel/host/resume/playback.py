"""What a replay shows: the journal's own events, as far as the engine has come in doing the same again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from rlm_kernel.events.types import (
    CallFinished,
    CellFinished,
    Event,
    ModelReplied,
    NodeAnswered,
    RunFinished,
    RunResumed,
    ToolFinished,
)
from rlm_kernel.host.bus import Sink

STEPS = (ModelReplied, CellFinished)
"""What the root does one after the other: the engine and the journal are at the same place after each."""
PARTS = (CallFinished, ToolFinished)
"""What comes in any order within a step."""


class Playback:
    """Shows a run's events, moved to the present; the engine's own are only heard.

    Attributes
    ----------
    end
        The run's last event; ``None`` where its host was killed, or still writes it.
    answered
        What the root had answered.
    over
        Whether the engine has come to its end, whichever it is. Then the rest is shown; not where somebody stopped it.
    """

    def __init__(self, events: Sequence[Event], views: Sequence[Sink]) -> None:
        resumed = [place for place, event in enumerate(events) if isinstance(event, RunResumed)]
        self._before = resumed[-1] + 1 if resumed else 1
        """How many events come before the last attempt's first step."""
        self._left = deque(events)
        self._views = views
        self._shift = time.time() - events[self._before - 1].time
        ends = [event for event in events[-1:] if isinstance(event, RunFinished)]
        self.end = ends[0] if ends else None
        answers = [e for e in events[self._before :] if isinstance(e, NodeAnswered) and e.node == "0"]
        self.answered = answers[-1] if answers else None
        self.over = False

    def heard(self, event: Event) -> None:
        """Take what the engine does, and show what the journal holds of it."""
        self._show(self._before)
        self._before = 0
        if isinstance(event, RunFinished):
            if self.over:
                self._show(len(self._left))
            else:
                self._tell(event)
        elif isinstance(event, STEPS + PARTS) and event.node == "0":
            self._show_to(type(event))

    def _show_to(self, kind: type[Event]) -> None:
        """Show up to the root's next event of a kind, but not beyond its next step."""
        for place, event in enumerate(self._left):
            if event.node == "0" and isinstance(event, kind):
                return self._show(place + 1)
            if event.node == "0" and isinstance(event, STEPS):
                return None
        return None

    def _show(self, number: int) -> None:
        for _ in range(number):
            event = self._left.popleft()
            self._tell(replace(event, time=event.time + self._shift))

    def _tell(self, event: Event) -> None:
        for view in self._views:
            view(event)
