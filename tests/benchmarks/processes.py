"""Reads the memory of kernels from the host's ``/proc``: a box cannot be asked about itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
KIB = 1024


def kernel(pid_in_box: int) -> int:
    """Find the process below this one that knows itself by that number, in whatever namespace.

    Raises
    ------
    LookupError
        There is none, or there are several.
    """
    found = [pid for pid in _descendants(os.getpid()) if _pids(pid)[-1:] == [pid_in_box]]
    if len(found) != 1:
        raise LookupError(f"{len(found)} processes call themselves {pid_in_box}")
    return found[0]


def peak_memory(pid: int) -> int:
    """Return the most memory a process has had resident, in bytes."""
    return int(_status(pid)["VmHWM"].split()[0]) * KIB


def own_memory(pid: int) -> int:
    """Return the bytes of pages that no other process has."""
    sizes = _rollup(pid)
    return sizes["Private_Clean"] + sizes["Private_Dirty"]


def proportional_memory(pid: int) -> int:
    """Return a process's memory in bytes, each shared page divided by the number of its users (PSS)."""
    return _rollup(pid)["Pss"]


def _rollup(pid: int) -> dict[str, int]:
    rows = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    return {name: int(value.split()[0]) * KIB for name, _, value in (row.partition(":") for row in rows)}


def _pids(pid: int) -> list[int]:
    """Return a process's numbers from the host's namespace to its own."""
    try:
        return [int(number) for number in _status(pid)["NSpid"].split()]
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return []


def _descendants(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_status(int(entry.name))["PPid"])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    waiting = [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        yield from found
        waiting += found


def _status(pid: int) -> dict[str, str]:
    rows = (PROC / str(pid) / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (row.partition(":") for row in rows)}
