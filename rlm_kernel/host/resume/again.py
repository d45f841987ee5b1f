"""How a run begins that goes on from a journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlm_kernel import wire
from rlm_kernel.events.types import Event
from rlm_kernel.host.resume.recording import Recording
from rlm_kernel.journal import Journal

BY_HAND = "by_hand"
"""Among a run's options in the journal: its cell is a person's, so there is no model to go on with."""


@dataclass(frozen=True)
class KeptInput:
    """An input as a journal keeps it: a file, and how the kernel loads it."""

    file: Path
    load: wire.Load


@dataclass(frozen=True)
class PreparedInput:
    """An input on its way to a kernel: how that loads it, and its file. ``own`` is a file of the caller's."""

    load: wire.Load
    file: Path
    own: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.file.stat().st_size


@dataclass(frozen=True)
class Again:
    """What a run goes on from.

    Attributes
    ----------
    recording
        What is served.
    first
        The run's first event.
    journal
        Where it goes on; ``None`` for a replay, which leaves no trace.
    events
        What is in the journal, for views.
    other_input
        Whether the caller has passed an input of its own.
    """

    recording: Recording
    first: Event
    journal: Journal | None = None
    events: Sequence[Event] = field(default=(), repr=False)
    other_input: bool = False
