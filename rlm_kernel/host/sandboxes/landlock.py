"""The ``landlock`` sandbox, for Linux where user namespaces are forbidden: Landlock, seccomp and resource limits.

Protects the host's files (only Python and its libraries can be read), its network (no socket can be made) and its
other processes (no tracing; no signals from Landlock's version 6 on). Unlike ``bubblewrap`` it does not hide which
processes run, and bounds each file that is written, not the whole disk. Nothing chooses it but the user.
"""

from __future__ import annotations

import base64
import os
from functools import cache
from pathlib import Path

from rlm_kernel import wire
from rlm_kernel.errors import SandboxError
from rlm_kernel.host.sandboxes import seccomp
from rlm_kernel.host.sandboxes.base import DEVICES, PROC, BoxProvisioner, kernel_environment, python_folders
from rlm_kernel.host.sandboxes.warm import WarmParent
from rlm_kernel.kernel.confinement import landlock_version


class LandlockProvisioner(BoxProvisioner):
    """Has kernels forked that confine themselves before they run any code."""

    sandbox = "landlock"

    def inputs_in_box(self) -> str:
        """Return the host's own path."""
        return str(self.folder.inputs)

    def homes(self) -> str:
        """Return a folder of the box's user."""
        return str(self.box.path / "homes")

    def show(self, file: Path) -> str | None:
        """Return the host's own path."""
        return str(file.resolve())

    def confinement(self, home: str, limits: dict[str, int]) -> wire.Confinement:
        """Everything: limits, paths and system calls."""
        readable = ["/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib32", "/lib64"]
        readable += ["/etc/ld.so.cache", "/usr/share/zoneinfo", *python_folders(), *self.box.options.packages]
        readable += [*PROC, str(self.folder.inputs), *self.folder.shown.values()]
        program = seccomp.program()
        assert program is not None
        return wire.Confinement(limits, readable, [home, *DEVICES], base64.b64encode(program).decode())

    def start_parent(self, cmd: list[str]) -> WarmParent:
        """Start the parent unconfined: it runs no code of a model's."""
        check()
        homes, user = Path(self.homes()), self.box.user
        homes.mkdir(mode=0o700, exist_ok=True)
        if user is not None:
            os.chown(homes, user, user)
        greeting = wire.Warm(user, reads_all=user is not None, packages=list(self.box.options.packages))
        return WarmParent(cmd, kernel_environment(str(homes)), [], self.folder.log_file, greeting)


@cache
def check() -> None:
    """Refuse a machine without Landlock or without a filter for its processor.

    Raises
    ------
    SandboxError
        Says which, and what to choose.
    """
    choices = "Choose sandbox='bubblewrap', or sandbox='process', which isolates nothing."
    if not landlock_version():
        raise SandboxError(f"This system has no Landlock (Linux 5.13 with lsm=landlock). {choices}")
    if seccomp.program() is None:
        raise SandboxError(f"There is no seccomp filter for this processor yet. {choices}")
