"""How much an attempt made the host grow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

HOST_GROWTH = 400 << 20
"""What a kernel that does its worst may cost the host: a few messages of the greatest length."""


class Memory:
    """The greatest resident size of this process since a moment, sampled."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.start = self.peak = self._process.memory_info().rss

    def sample(self) -> None:
        """Look now."""
        self.peak = max(self.peak, self._process.memory_info().rss)

    @property
    def growth(self) -> int:
        """Bytes above the start, at the worst moment."""
        return int(self.peak - self.start)

    def beyond(self, limit: int) -> str | None:
        """Say so when it grew by more than a limit."""
        return f"the host grew by {self.growth >> 20} MB" if self.growth > limit else None


@contextmanager
def growing() -> Iterator[Memory]:
    """Watch this process's memory while the block runs."""
    memory, done = Memory(), threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            memory.sample()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield memory
    finally:
        done.set()
        thread.join()
