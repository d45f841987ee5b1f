"""What a kernel process gives up for ever before it runs any code: resources, paths, system calls.

Linux only, except for the limits. Landlock and seccomp have no Python library that covers what is needed here
(Landlock's scopes, a filter made elsewhere), so the system calls are made through ctypes. They bind the calling
thread and what it starts later: `confine` runs before any thread does.

Sources: landlock(7), seccomp(2), prctl(2), capabilities(7) of the Linux manual pages.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import errno
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterable
from functools import cache

from rlm_kernel import wire

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
CAPABILITY_VERSION = 0x20080522
CAP_DAC_READ_SEARCH = 2

# The same numbers on every architecture: they are younger than the common table.
LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_VERSION = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_BLOCK = 1 << 6, 1 << 11
REFER, TRUNCATE, IOCTL = 1 << 13, 1 << 14, 1 << 15
FIRST_VERSION = (1 << 13) - 1
READING = EXECUTE | READ_FILE | READ_DIR
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL
NETWORK = 0b11
"""Bind and connect TCP; from version 4."""
SCOPES = 0b11
"""Abstract unix sockets of others, and signals to others; from version 6."""


def confine(confinement: wire.Confinement) -> None:
    """Apply all of it to this process.

    Raises
    ------
    OSError
        The kernel refuses; then nothing may be run.
    """
    for name, value in confinement.limits.items():
        _limit(getattr(resource, f"RLIMIT_{name}"), value)
    if confinement.readable is not None:
        _restrict_paths(confinement.readable, confinement.writable)
    if confinement.filter is not None:
        _filter_calls(base64.b64decode(confinement.filter))


def landlock_version() -> int:
    """Return the version of Landlock that this system offers; 0 is none."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return _call(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION)
    except OSError:
        return 0


def become(user: int, reads_all: bool) -> None:
    """Give up root for an unprivileged user and group id, every other group, and every capability but, if asked, one.

    Raises
    ------
    OSError
        The kernel refuses; then nothing may be run.
    """
    if reads_all:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kept = 1 << CAP_DAC_READ_SEARCH if reads_all else 0
    sets = struct.pack("=6I", kept, kept, 0, 0, 0, 0)  # effective, permitted, inheritable; low halves, then high
    if _libc().capset(struct.pack("=Ii", CAPABILITY_VERSION, 0), sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    if sys.platform.startswith("linux"):
        _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """End when the process that forked this one ends, however that happens."""
    if sys.platform.startswith("linux"):
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_memory(hidden: bool) -> None:
    """Hide this process's memory and environment from others of the same user, or let them be measured."""
    if sys.platform.startswith("linux"):
        _prctl(PR_SET_DUMPABLE, int(not hidden))


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(ValueError):  # macOS has no such limit on memory
        resource.setrlimit(kind, (value, value))


def _restrict_paths(readable: Iterable[str], writable: Iterable[str]) -> None:
    version = landlock_version()
    if not version:
        raise OSError(errno.ENOSYS, "this system has no Landlock")
    handled = FIRST_VERSION
    handled |= REFER if version >= 2 else 0
    handled |= TRUNCATE if version >= 3 else 0
    handled |= IOCTL if version >= 5 else 0
    attributes = struct.pack("=QQQ", handled, NETWORK, SCOPES)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _call(LANDLOCK_CREATE_RULESET, attributes[:size], ctypes.c_size_t(size), 0)
    try:
        for path in readable:
            _allow(rules, path, handled & READING)
        for path in writable:
            _allow(rules, path, handled & ~(MAKE_CHAR | MAKE_BLOCK))
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _call(LANDLOCK_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # not every system has every folder
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            access &= ON_FILES
        _call(LANDLOCK_ADD_RULE, rules, PATH_BENEATH, struct.pack("=Qi", access, place), 0)
    finally:
        os.close(place)


def _filter_calls(program: bytes) -> None:
    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))

    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(program) // 8, program)))


def _prctl(option: int, *arguments: object) -> None:
    padded = [*arguments, *([0] * (4 - len(arguments)))]
    if _libc().prctl(option, *(ctypes.c_ulong(a) if isinstance(a, int) else a for a in padded)) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}: {os.strerror(ctypes.get_errno())}")
    return result


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
