"""Which processes descend from one, and how much memory they use, read from ``/proc``.

Linux only; elsewhere a process has no known descendants.

Source: proc(5) of the Linux manual pages.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def members(process: int) -> list[int]:
    """Return a process and all that descend from it, zombies included."""
    found = [process]
    for member in found:
        for task in Path(f"/proc/{member}/task").glob("*/children"):
            found += [int(child) for child in _read(task).split()]
    return found


def is_zombie(process: int) -> bool:
    """Whether a process has ended and only its parent has not asked how."""
    return _read(Path(f"/proc/{process}/stat")).rpartition(")")[2].startswith((" Z", " X"))


def exceeds(processes: Sequence[int], limit: int) -> bool:
    """Whether processes use more than ``limit`` bytes together."""
    # Resident memory counts a shared page for each process: cheap, and never too low.
    return sum(map(_resident, processes)) > limit and sum(map(_proportional, processes)) > limit


def _resident(process: int) -> int:
    """Return the bytes of a process that are in memory, shared ones included."""
    fields = _read(Path(f"/proc/{process}/statm")).split()
    return int(fields[1]) * PAGE if len(fields) > 1 else 0


def _proportional(process: int) -> int:
    """Return the bytes of a process that are in memory, each shared page divided by its sharers."""
    for line in _read(Path(f"/proc/{process}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return 0


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""  # it has ended meanwhile
