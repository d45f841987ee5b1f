"""How much cells add to a run's journal, and to the host's memory, by what they ask."""

from __future__ import annotations

from rlm_kernel.errors import LimitReached
from rlm_kernel.host.ledger import Ledger

EVENT_BYTES = 512
"""Of an event, beside its texts."""


class Recorder:
    """Counts for the whole tree. Owned by the run's event loop."""

    def __init__(self) -> None:
        self._bytes = 0

    def take(self, ledger: Ledger, *texts: str) -> None:
        """Count texts before the stream is told.

        Raises
        ------
        LimitReached
            It is too much. The run ends when the cell that asked has ended.
        """
        self._bytes += EVENT_BYTES + sum(map(_escaped, texts))
        most = ledger.limits.max_journal_mb
        if most is not None and self._bytes > most << 20:
            ledger.spend(LimitReached("max_journal_mb", most))


def _escaped(text: str) -> int:
    """Bytes of a text in the journal, which is ASCII, or a few more."""
    return len(text) if text.isascii() else 3 * len(text.encode("utf-8", "surrogatepass"))
