"""Words that attempts are written with. This file's text is run in the box ahead of each attempt's cell."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import signal
import traceback
from collections.abc import Callable
from typing import Any

MARK = "tried: "
"""Begins each line that says how a try ended."""

GOT_CHARACTERS = 100_000

# The numbers of x86-64 and of arm64; those from 424 on are the same everywhere.
CALLS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "seccomp": (317, 277),
    "semget": (64, 190),
    "setns": (308, 268),
    "shmat": (30, 196),
    "shmget": (29, 194),
    "socket": (41, 198),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}

libc = ctypes.CDLL(None, use_errno=True)

host: dict[str, Any] = {}
"""Where the canaries are. An attacker who knew everything but the secrets would know this."""


class NothingThereError(Exception):
    """A search ended without a find."""


class EndedError(Exception):
    """A child process was ended by a signal."""


def tried(label: str, attack: Callable[[], Any]) -> None:
    """Make one try, and say what it got or what stopped it."""
    try:
        ended = {"got": repr(attack())[:GOT_CHARACTERS]}
    except Exception as error:
        ended = {"error": name_of(error), "detail": traceback.format_exc()[-2000:]}
    print("\n" + MARK + json.dumps({"label": label, **ended}), flush=True)


def name_of(error: Exception) -> str:
    """Return an error's short name: EPERM, ENOENT, SIGSYS, MemoryError, ..."""
    if isinstance(error, EndedError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return errno.errorcode[error.errno]
    return type(error).__name__


def system_call(name: str, *arguments: Any) -> int:
    """Make a system call without the C library's help, and so without its objections."""
    number = CALLS[name][platform.machine() == "aarch64"]
    return call_number(number, *arguments)


def call_number(number: int, *arguments: Any) -> int:
    """`system_call` by number."""
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def read(path: str | int, size: int = 100_000) -> bytes:
    """Return the beginning of a file."""
    with open(path, "rb") as file:
        return file.read(size)


def write(path: str | int, data: bytes = b"escaped") -> int:
    """Make or replace a file."""
    with open(path, "wb") as file:
        return file.write(data)


def look(path: str) -> Any:
    """Return the names in a folder, or the beginning of a file."""
    return os.listdir(path) if os.path.isdir(path) else read(path)


def found(things: Any) -> Any:
    """Return what a search found; raise when that is nothing."""
    if not things:
        raise NothingThereError
    return things


def scheduled(pid: int, policy: int, priority: int) -> Any:
    """Change how a process is scheduled, and look whether it is: seccomp may say yes and do nothing."""
    os.sched_setscheduler(pid, policy, os.sched_param(priority))
    return found([pid] if os.sched_getscheduler(pid) == policy else None)


def pids() -> list[int]:
    """Return the processes that are there; where they are not listed, a status still tells."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except PermissionError:
        there = [number for number in range(1, 1000) if os.path.exists(f"/proc/{number}")]
        return [number for number in there if number == os.getpid() or not os.path.exists(f"/proc/self/task/{number}")]


def in_child(attack: Callable[[], Any]) -> Any:
    """Make a try in a forked process, because it may end it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            said: list[Any] = ["got", repr(attack())]
        except OSError as error:
            said = ["errno", error.errno]
        except BaseException as error:
            said = ["error", repr(error)]
        os.write(writing, json.dumps(said).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        text = answer.read()
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        raise EndedError(signal.Signals(os.WTERMSIG(status)).name)
    how, value = json.loads(text)
    if how == "got":
        return value
    if how == "errno":
        raise OSError(value, os.strerror(value))
    raise RuntimeError(value)
