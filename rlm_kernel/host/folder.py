"""A run's private folder on the host: its kernels' sockets, their inputs. Those of hosts that were killed are swept."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from functools import cache
from pathlib import Path

from rlm_kernel.removal import remove_tree

PREFIX = "rlm-"
LOCK = "lock"
YOUNG_SECONDS = 60.0
"""A younger folder is left alone: its owner may be about to lock it."""


class PrivateFolder:
    """A folder that only this user can enter. Its lock is held as long as this process lives."""

    def __init__(self) -> None:
        sweep_once()
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))  # mode 0700
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove the folder and all in it. Safe to call twice."""
        if self._lock >= 0:
            remove_tree(self.path)
            os.close(self._lock)
            self._lock = -1


def sweep(older_than: float = YOUNG_SECONDS) -> None:
    """Remove this user's folders whose owner is gone: they may hold copies of inputs."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        try:
            status = folder.stat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < older_than:
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or not one of ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(folder)
        except BlockingIOError:
            pass  # its owner lives
        finally:
            os.close(lock)


@cache
def sweep_once() -> None:
    """`sweep`, at a process's first session."""
    sweep()
