"""The box of a run: the sandbox that its kernels share, with a warm parent in it, and a folder on the host."""

from __future__ import annotations

import itertools
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlm_kernel.errors import OptionError, SandboxError
from rlm_kernel.host.checks import Number
from rlm_kernel.host.folder import PrivateFolder
from rlm_kernel.host.sandboxes import provisioner_name
from rlm_kernel.host.sandboxes.warm import WarmParent
from rlm_kernel.kernel.confinement import landlock_version
from rlm_kernel.removal import remove_tree

USERS = range(60_001, 65_000)
"""The user ids of boxes on a host that is root; no account has them."""

NUMBERS = {
    "memory_mb": Number(least=256, unit=" of MiB"),
    "disk_mb": Number(unit=" of MiB"),
    "max_processes": Number(),
}

SOCKET_PATH_BYTES = 107
"""The longest path of a unix socket that the system allows."""


@dataclass(frozen=True, kw_only=True)
class BoxOptions:
    """What a box is made of.

    Attributes
    ----------
    sandbox
        The sandbox's name, such as ``bubblewrap``.
    memory_mb
        Address space of a kernel's process, and memory of all that it has started together, in MiB.
    disk_mb
        The box's writable file system, and the longest file in it, in MiB.
    max_processes
        Processes and threads that a kernel may have beside its own.
    sandbox_per_kernel
        A sandbox for every kernel, instead of one for the run.
    packages
        Folders of Python packages, or environments, that become importable, read-only.
    """

    sandbox: str = "bubblewrap"
    memory_mb: int = 4096
    disk_mb: int = 256
    max_processes: int = 256
    sandbox_per_kernel: bool = False
    packages: Sequence[str] = ()

    def check_box(self) -> None:
        """Refuse what cannot work."""
        provisioner_name(self.sandbox)
        for name, number in NUMBERS.items():
            number.check(name, getattr(self, name))


@dataclass(frozen=True)
class KernelFolder:
    """A kernel's folder on the host: its sockets, the log of its start, what it may read."""

    number: int
    path: Path
    inputs: Path
    files: tuple[Path, ...]
    """Files of the host's that it may read where they are, if the sandbox can show them."""
    shown: dict[Path, str] = field(default_factory=dict)
    """Those of them that it can see -> where."""

    @property
    def log_file(self) -> Path:
        """What a process wrote before it captured its own output: why a start failed."""
        return self.path / "log"


class Box:
    """Made when a run begins, closed when it ends. Belongs to the run's event loop."""

    def __init__(self, options: BoxOptions | None = None) -> None:
        self.options = options or BoxOptions()
        self.folders: list[KernelFolder] = []
        # Without Landlock nothing would keep the kernels of one sandbox apart.
        self.sandbox_per_kernel = self.options.sandbox_per_kernel or not landlock_version()
        self._folder: PrivateFolder | None = None
        self._numbers = itertools.count(1)
        self._parents: dict[int, WarmParent] = {}
        # A user of its own, because the system counts processes by user, and does not count root's.
        self.user = secrets.choice(USERS) if os.geteuid() == 0 else None

    @property
    def path(self) -> Path:
        """The folder on the host (mode 0700), made when it is first needed."""
        if self._folder is None:
            self._folder = PrivateFolder()
            (self._folder.path / "inputs").mkdir(mode=0o755)
        return self._folder.path

    def kernel_folder(self, files: tuple[Path, ...] = ()) -> KernelFolder:
        """Make the folder of one more kernel.

        Raises
        ------
        SandboxError
            The folder for temporary files is so deep that no socket's path fits in it.
        """
        number = next(self._numbers)
        path, inputs = self.path / str(number), self.path / "inputs" / str(number)
        if len(os.fsencode(path / "k-0")) > SOCKET_PATH_BYTES:
            raise SandboxError(
                f"{str(path)!r} is too long for a socket: the system allows paths of {SOCKET_PATH_BYTES} bytes. "
                "Set TMPDIR to a shorter path."
            )
        path.mkdir(mode=0o700)
        inputs.mkdir(mode=0o755)
        folder = KernelFolder(number, path, inputs, files)
        self.folders.append(folder)
        return folder

    def parent(self, folder: KernelFolder, start: Callable[[], WarmParent]) -> WarmParent:
        """Return the warm parent of a kernel; ``start`` makes it where there is none, or where it has died."""
        key = folder.number if self.sandbox_per_kernel else 0
        parent = self._parents.get(key)
        if parent is None or not parent.alive:
            parent = self._parents[key] = start()
        return parent

    async def release(self, folder: KernelFolder) -> None:
        """End the sandbox that was a kernel's own."""
        if (parent := self._parents.pop(folder.number, None)) is not None:
            await parent.close()

    def discard(self, folder: KernelFolder) -> None:
        """Remove a kernel's folder, when it has ended: its inputs need not stay until the run ends."""
        if folder in self.folders:
            self.folders.remove(folder)
            remove_tree(folder.path)
            remove_tree(folder.inputs)

    async def close(self) -> None:
        """End everything in the box and remove its folder. Safe to call twice."""
        while self._parents:
            await self._parents.popitem()[1].close()
        if self._folder is not None:
            self._folder.remove()


def package_folder(path: str | Path) -> str:
    """Return a folder of packages; of another environment, its ``site-packages``.

    Raises
    ------
    OptionError
        It is no folder, or an environment of another version of Python.
    """
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise OptionError(f"packages: {str(path)!r} is no folder. Name an environment, or its site-packages.")
    if not (folder / "pyvenv.cfg").is_file():
        return str(folder)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    if not packages.is_dir():
        raise OptionError(f"packages: {str(path)!r} is no environment of {version}, which the kernel runs.")
    return str(packages)
