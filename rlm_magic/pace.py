"""How often a view may be written anew."""

from __future__ import annotations

import time

CHARACTERS_A_SECOND = 300_000
"""Jupyter Server drops what a kernel sends faster than a megabyte a second, looked at over three seconds."""


class Pace:
    """Says when it is time: not too often, not for too much of the time, and not for too many characters a second."""

    def __init__(self, seconds: float, share: float, first: float = 0.0) -> None:
        self.seconds = seconds
        self.share = share
        self._next = time.monotonic() + first
        self._began = 0.0

    def begin(self) -> bool:
        """Return whether it is time, and take that as the beginning if it is."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._began = now
        return True

    def end(self, characters: int) -> None:
        """Note that it is done, and how much was sent."""
        took = time.monotonic() - self._began
        self._next = self._began + max(self.seconds, took / self.share, characters / CHARACTERS_A_SECOND)
