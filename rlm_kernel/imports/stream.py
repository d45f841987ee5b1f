"""Streams of events that are written down afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rlm_kernel.errors import RLMError
from rlm_kernel.events.types import CallFinished, Compacted, Event, ModelReplied
from rlm_kernel.events.values import Usage


class Stream:
    """Events in the order of the tree, with the numbers a bus would give them, and the usage they tell of."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.usage = Usage()

    def add(self, event: Event, time: float) -> None:
        """Append an event that happened at a time, in Unix seconds; 0 where nothing is known of it."""
        if isinstance(event, ModelReplied | CallFinished | Compacted):
            self.usage += event.usage
        self.events.append(replace(event, seq=len(self.events), time=time))


def choose(runs: Sequence[list[Event]], path: str | Path, completion: int | None) -> list[Event]:
    """Return one of a log's completions, counted from 1.

    Raises
    ------
    RLMError
        It is not there, or there are several and none was chosen.
    """
    if completion is None and len(runs) > 1:
        raise RLMError(f"{str(path)!r} holds {len(runs)} completions. Choose one with completion=1 to {len(runs)}.")
    if completion is not None and not 1 <= completion <= len(runs):
        held = "1 completion" if len(runs) == 1 else f"{len(runs)} completions"
        raise RLMError(f"{str(path)!r} holds {held}; there is no completion={completion}.")
    return runs[(completion or 1) - 1]
