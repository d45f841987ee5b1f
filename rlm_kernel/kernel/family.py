"""Which processes descend from one, how much memory they use, and how to end them; read from ``/proc``.

Elsewhere than on Linux psutil finds descendants, which means reading the table of all processes; memory is not known.

Source: proc(5) of the Linux manual pages.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
ROUND_SECONDS = 0.001
STOPPED = "Tt"
ENDED = "ZX"
"""Letters of a process's state, as in ``/proc``."""


def members(process: int) -> list[int]:
    """Return a process and all that descend from it, zombies included."""
    found = [process]
    for member in found:
        found += children(member)
    return found


def children(process: int) -> list[int]:
    """Return the processes that a process has started, or adopted, and that it has not waited for."""
    if sys.platform == "linux":
        tasks = Path(f"/proc/{process}/task").glob("*/children")
        return [int(child) for task in tasks for child in _read(task).split()]
    import psutil  # here: Linux starts 10 ms faster without it

    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(process).children()]
    return []


def kill(processes: Iterable[int]) -> None:
    """Kill processes; one that has ended is left alone."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def end(find: Callable[[], Iterable[int]], seconds: float) -> None:
    """Kill processes that may multiply: all that ``find`` finds, until it finds none that lives.

    Nobody is killed before all are stopped. Who is stopped still counts against the limit on processes, so those who
    are not yet soon have no place for another one; a killed one would leave its place to them.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        living = {process: state for process in find() if (state := _state(process)) not in ENDED}
        if not living:
            return
        running = [process for process, state in living.items() if state not in STOPPED]
        for process in running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGSTOP)
        if not running:
            kill(living)
        time.sleep(ROUND_SECONDS)  # a signal takes effect when its process has its turn
    kill(find())  # some that continue each other: they end with the box at the latest


def _state(process: int) -> str:
    """Return the letter of a process's state; of one that is gone, that of a dead one."""
    if sys.platform == "linux":
        return _read(Path(f"/proc/{process}/stat")).rpartition(") ")[2][:1] or "X"
    import psutil

    states = {psutil.STATUS_STOPPED: "T", psutil.STATUS_TRACING_STOP: "t", psutil.STATUS_ZOMBIE: "Z"}
    with contextlib.suppress(psutil.NoSuchProcess):
        return states.get(psutil.Process(process).status(), "R")
    return "X"


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
        return file.read_text(errors="replace")  # a process may call itself what it likes
    except OSError:
        return ""  # it has ended meanwhile
