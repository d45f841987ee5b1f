"""What an attempt costs the host: its memory, its disk, its kernels, its threads."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from rlm_kernel.host.folder import PREFIX

HOST_GROWTH = 512 << 20
"""What a kernel that does its worst may cost the host: a few messages of the greatest length."""


class Memory:
    """The greatest value of a measure since a moment, sampled; by default the resident size of this process."""

    def __init__(self, measure: Callable[[], int] | None = None) -> None:
        self._measure = measure or _resident
        _release()
        self.start = self.peak = self._measure()

    def sample(self) -> None:
        """Look now."""
        self.peak = max(self.peak, self._measure())

    @property
    def growth(self) -> int:
        """What it was above the start, at the worst moment."""
        return int(self.peak - self.start)

    def beyond(self, limit: int) -> str | None:
        """Say so when it grew by more than a limit of bytes."""
        return f"the host grew by {self.growth >> 20} MB" if self.growth > limit else None


@contextmanager
def growing(measure: Callable[[], int] | None = None) -> Iterator[Memory]:
    """Watch this process's memory, or something else, while the block runs."""
    memory, done = Memory(measure), threading.Event()

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


def disk() -> int:
    """Return the bytes in the private folders of this process's runs; what has several names counts once."""
    sizes: dict[int, int] = {}
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}{os.getpid()}-*"):
        for path, _, names in os.walk(folder):  # which passes over what is removed meanwhile
            for name in names:
                with contextlib.suppress(OSError):
                    status = Path(path, name).lstat()
                    sizes[status.st_ino] = status.st_blocks * 512
    return sum(sizes.values())


def processes() -> int:
    """Return how many processes live below this one."""
    found = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += process.status() != psutil.STATUS_ZOMBIE
    return found


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


def _release() -> None:
    """Give free memory back to the system: what an earlier attempt has left would hide what this one takes."""
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
