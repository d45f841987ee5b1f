"""The seccomp filter: system calls that a REPL never needs fail with EPERM.

It is a classic BPF program over ``struct seccomp_data``: the number of the call at offset 0, the architecture at 4,
the arguments from 16 (their low halves, on little-endian machines). Source: seccomp(2) of the Linux manual pages.
The numbers of the calls come from PyPI's ``system-calls``.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import struct
from functools import cache

DENIED = (
    # sockets: the kernel has those that the host has passed in, and can make and reach no other
    *("socket", "connect"),
    # other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd"),
    # memory that other processes of the same user could open by name
    *("shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl", "semget", "semop", "semctl", "semtimedop"),
    *("mq_open", "mq_unlink"),
    # memory that no limit counts
    *("memfd_create", "memfd_secret"),
    *("ioprio_set", "sched_setattr"),
    # file systems and namespaces
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("move_mount", "open_tree", "mount_setattr", "open_by_handle_at", "name_to_handle_at", "quotactl", "quotactl_fd"),
    *("swapon", "swapoff"),
    # the machine
    *("reboot", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "acct", "syslog"),
    *("settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname", "iopl", "ioperm"),
    "vhangup",
    # keys, and large surfaces that have been ways out before
    *("keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd", "fanotify_init"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "personality", "modify_ldt"),
)

OWN_ONLY = {"prlimit64": 0, "sched_setaffinity": 0, "setpriority": 1}
"""Calls that may name a process, in that argument, and here may name only the caller (0)."""

WITHOUT_EFFECT = ("sched_setscheduler", "sched_setparam")
"""Calls that could starve another process, but that libzmq makes for its own threads, and aborts where they fail."""

NAMESPACES = 0x7E020000
"""The flags of clone() that make a namespace: user, pid, net, ipc, uts, cgroup, mount."""

ARCHITECTURES = {"x86_64": ("x86_64", 0xC000003E), "aarch64": ("arm64", 0xC00000B7)}
"""`platform.machine` -> its name in ``system-calls``, and its number in ``struct seccomp_data``."""

X32 = 0x40000000
"""Calls of the x32 architecture have this bit; they would go round a filter by number."""

LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT, SECOND_ARGUMENT = 0, 4, 16, 24


@cache
def program() -> bytes | None:
    """Return the filter for this machine; ``None`` for a processor whose calls are not known here."""
    from system_calls import NotSupportedSystemCall, syscalls  # installed on Linux only

    if platform.machine() not in ARCHITECTURES:
        return None
    table, architecture = ARCHITECTURES[platform.machine()]
    numbers = syscalls()

    def number(name: str) -> int | None:
        try:
            return int(numbers.get(name, table))
        except NotSupportedSystemCall:
            return None  # an older call that this architecture never had

    refuse = _step(RETURN, FAIL | errno.EPERM)
    code = [
        _step(LOAD, ARCHITECTURE),
        _step(EQUAL, architecture, 1, 0),
        _step(RETURN, KILL),
        _step(LOAD, NUMBER),
        _step(AT_LEAST, X32, 0, 1),
        refuse,
    ]
    for denied in filter(None, map(number, DENIED)):
        code += [_step(EQUAL, denied, 0, 1), refuse]
    for name, argument in OWN_ONLY.items():
        code += [
            _step(EQUAL, number(name) or 0, 0, 4),
            _step(LOAD, FIRST_ARGUMENT + 8 * argument),
            _step(EQUAL, 0, 1, 0),
            refuse,
            _step(LOAD, NUMBER),
        ]
    for name in WITHOUT_EFFECT:
        code += [_step(EQUAL, number(name) or 0, 0, 1), _step(RETURN, FAIL)]
    # A group or a user is never the caller alone.
    code += [
        _step(EQUAL, number("setpriority") or 0, 0, 4),
        _step(LOAD, FIRST_ARGUMENT),
        _step(EQUAL, os.PRIO_PROCESS, 1, 0),
        refuse,
        _step(LOAD, NUMBER),
    ]
    # The C library falls back from clone3, whose flags a filter cannot see, to clone.
    code += [_step(EQUAL, number("clone3") or 0, 0, 1), _step(RETURN, FAIL | errno.ENOSYS)]
    code += [
        _step(EQUAL, number("clone") or 0, 0, 3),
        _step(LOAD, FIRST_ARGUMENT),
        _step(ANY_BIT, NAMESPACES, 0, 1),
        refuse,
        _step(LOAD, NUMBER),
    ]
    # A datagram pair could still send to a socket by its name; a stream pair (asyncio's wake-up) cannot.
    code += [
        _step(EQUAL, number("socketpair") or 0, 0, 5),
        _step(LOAD, SECOND_ARGUMENT),
        _step(AND, 0xF),
        _step(EQUAL, socket.SOCK_STREAM, 2, 0),
        _step(EQUAL, socket.SOCK_SEQPACKET, 1, 0),
        refuse,
    ]
    code.append(_step(RETURN, ALLOW))
    return b"".join(code)


def _step(operation: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, operand)
