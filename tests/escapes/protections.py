"""Single protections, each with the way to turn it off, and the attempt that then gets out."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from jupyter_client.session import Session as Messages

from rlm_kernel import wire, zmtp
from rlm_kernel.host import calls, connection, uploads
from rlm_kernel.host.account import Account
from rlm_kernel.host.redaction import Redactor
from rlm_kernel.host.sandboxes import bubblewrap, seccomp
from rlm_kernel.host.sandboxes.box import Box
from rlm_kernel.host.sandboxes.bubblewrap import BubblewrapProvisioner
from rlm_kernel.host.sandboxes.warm import WarmParent
from rlm_kernel.host.tools import toolbox
from rlm_kernel.host.uploads import Uploads
from rlm_kernel.sinks import text

Off = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Protection:
    """What is turned off, and which attempt shows it.

    Where two protections stand behind each other, both are turned off: ``name`` names both.
    """

    name: str
    attempt: str
    off: tuple[Off, ...]


def allow(*calls: str) -> Off:
    """Let the filter of system calls pass these."""

    def off(patch: pytest.MonkeyPatch) -> None:
        assert set(calls) <= set(seccomp.DENIED)
        patch.setattr(seccomp, "DENIED", tuple(call for call in seccomp.DENIED if call not in calls))
        patch.setattr(seccomp, "program", seccomp.program.__wrapped__)  # the uncached one

    return off


def share(namespace: str) -> Off:
    """Do not unshare a namespace."""

    def off(patch: pytest.MonkeyPatch) -> None:
        assert namespace in bubblewrap.NAMESPACES
        kept = tuple(name for name in bubblewrap.NAMESPACES if name != namespace)
        patch.setattr(bubblewrap, "NAMESPACES", kept)

    return off


def arguments(change: Callable[[list[str]], list[str]]) -> Off:
    """Change what bwrap is told."""
    original = BubblewrapProvisioner.arguments

    def off(patch: pytest.MonkeyPatch) -> None:
        def changed(self: BubblewrapProvisioner) -> list[str]:
            before = original(self)
            after = change(list(before))
            assert after != before
            return after

        patch.setattr(BubblewrapProvisioner, "arguments", changed)

    return off


def confinement(change: Callable[[wire.Confinement], wire.Confinement]) -> Off:
    """Change what a kernel gives up."""
    original = BubblewrapProvisioner.confinement

    def off(patch: pytest.MonkeyPatch) -> None:
        def changed(self: BubblewrapProvisioner, home: str, limits: dict[str, int]) -> wire.Confinement:
            before = original(self, home, limits)
            after = change(before)
            assert after != before
            return after

        patch.setattr(BubblewrapProvisioner, "confinement", changed)

    return off


def unlimited(*names: str) -> Off:
    """Set no such resource limit."""

    def change(before: wire.Confinement) -> wire.Confinement:
        return replace(before, limits={name: value for name, value in before.limits.items() if name not in names})

    return confinement(change)


def replaced(target: Any, name: str, value: object) -> Off:
    """Put something in a protection's place."""
    return lambda patch: patch.setattr(target, name, value)


no_landlock = confinement(lambda before: replace(before, readable=None))


def _see_everything(before: list[str]) -> list[str]:
    at = before.index("--remount-ro")
    return [*before[:at], "--ro-bind", "/tmp", "/tmp", *before[at:]]  # where the canaries are


def _writable_inputs(before: list[str]) -> list[str]:
    at = next(n for n, part in enumerate(before) if part == "--ro-bind" and before[n + 2].startswith(bubblewrap.INPUTS))
    return [*before[:at], "--bind", *before[at + 1 :]]


def _endless_disk(before: list[str]) -> list[str]:
    at = before.index(bubblewrap.HOME, before.index("--remount-ro")) - 1
    return [*before[: at - 2], *before[at:]]


def _endless_shared_memory(before: list[str]) -> list[str]:
    at = before.index("/dev/shm") - 1
    return [*before[: at - 2], *before[at:]]


def _inherit_environment(patch: pytest.MonkeyPatch) -> None:
    original = WarmParent

    def start(command: Any, environment: Any, *rest: Any) -> Any:
        return original([part for part in command if part != "--clearenv"], dict(os.environ), *rest)

    patch.setattr(bubblewrap, "WarmParent", start)


def _unsealed(patch: pytest.MonkeyPatch) -> None:
    original = Uploads.get

    def get(self: Uploads, upload_id: str) -> uploads.Upload:
        upload = original(self, upload_id)
        upload.sealed = False
        return upload

    patch.setattr(Uploads, "get", get)


def _endless_uploads(patch: pytest.MonkeyPatch) -> None:
    original = Uploads.__init__
    patch.setattr(Uploads, "__init__", lambda self, folder, most: original(self, folder, 1 << 50))


no_limit_on_messages = replaced(connection, "LIMITS", dict.fromkeys(connection.LIMITS, 1 << 50))


PROTECTIONS = [
    Protection("seccomp: socket", "unix sockets with a path", (allow("socket", "connect"),)),
    Protection(
        "network namespace and seccomp: socket", "datagrams to loopback", (allow("socket", "connect"), share("net"))
    ),
    Protection("seccomp: keyctl", "key rings", (allow("keyctl", "add_key", "request_key"),)),
    Protection("seccomp: shmget", "shared memory segments", (allow("shmget", "semget", "msgget"),)),
    Protection("seccomp: ptrace", "ptrace", (allow("ptrace"),)),
    Protection("seccomp: unshare", "new namespaces", (allow("unshare"),)),
    Protection("seccomp: io_uring_setup", "io_uring", (allow("io_uring_setup"),)),
    Protection("process namespace and Landlock", "a host process in /proc", (share("pid"), no_landlock)),
    Protection("mount namespace and Landlock", "a file anyone may read", (arguments(_see_everything), no_landlock)),
    Protection("read-only inputs and Landlock", "changing the input", (arguments(_writable_inputs), no_landlock)),
    Protection("Landlock: signals", "signals to a sibling", (no_landlock,)),
    Protection("Landlock: paths", "a sibling's files", (no_landlock,)),
    Protection("environment allowlist", "environment", (_inherit_environment,)),
    Protection("rlimit: NPROC", "fork bomb", (unlimited("NPROC"),)),
    Protection("rlimit: AS", "memory bomb", (unlimited("AS"),)),
    Protection("rlimit: NOFILE", "open files", (unlimited("NOFILE"),)),
    Protection("rlimits", "its own limits", (unlimited("AS", "NPROC", "NOFILE", "FSIZE", "CPU", "CORE"),)),
    Protection("size of the disk", "full disk", (arguments(_endless_disk),)),
    Protection("size of shared memory", "full shared memory", (arguments(_endless_shared_memory),)),
    Protection("limit on a message", "a message that is too long", (no_limit_on_messages,)),
    Protection("limit on parts", "a message of a million parts", (replaced(zmtp, "PARTS", 1 << 50),)),
    Protection(
        "limit on calls that wait",
        "calls that wait",
        (replaced(calls, "WAITING_CALLS", 1 << 50), replaced(calls, "WAITING_BYTES", 1 << 50)),
    ),
    Protection(
        "signature: each counts once", "replay", (replaced(Messages, "_add_digest", lambda self, signature: None),)
    ),
    Protection("redaction", "an echo of a secret", (replaced(Redactor, "text", lambda self, text: text),)),
    Protection("limit on threads of tools", "tools that hang", (replaced(toolbox, "THREADS", 1 << 20),)),
    Protection("limit on results", "results that nobody reads", (replaced(calls, "TOOLS", 1 << 20),)),
    Protection("limit on the journal", "endless notes", (replaced(Account, "record", lambda *args: None),)),
    Protection("size of the disk, for inputs", "an endless input", (_endless_uploads,)),
    Protection("limit on inputs", "endless inputs", (replaced(uploads, "MAX_UPLOADS", 1 << 50),)),
    Protection("limit on names of inputs", "endless inputs", (replaced(uploads, "ID_CHARACTERS", 1 << 50),)),
    Protection("inputs are removed", "inputs that stay", (replaced(Box, "discard", lambda self, folder: None),)),
    Protection("inputs are sealed", "a late piece", (_unsealed,)),
    Protection(
        "control characters are not shown", "terminal sequences", (replaced(text, "_CONTROL", re.compile("(?!)")),)
    ),
]
