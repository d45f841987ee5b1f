"""What every event has, and the words that events share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

SCHEMA_VERSION = 2
"""2: what resume needs: keys of calls, what was served from the journal, the input. `rlm_kernel.journal` reads all."""

Kind = Literal["llm", "rlm"]
StopReason = Literal[
    "answered",
    "max_iterations",
    "max_calls",
    "max_tokens",
    "max_cost",
    "max_seconds",
    "max_errors",
    "max_repeats",
    "max_restarts",
    "max_journal_mb",
    "cancelled",
    "error",
]
CellStatus = Literal["ok", "error", "interrupted", "timeout", "died", "skipped"]
"""``skipped`` is a cell that whoever approves cells did not let run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What every event has."""

    type: ClassVar[str]
    node: str = "0"
    seq: int = -1
    time: float = 0.0

    def stamp(self, seq: int, time: float) -> None:
        """Set the number and the time of an event that nobody has seen; a copy would cost more than all its sinks."""
        object.__setattr__(self, "seq", seq)
        object.__setattr__(self, "time", time)
