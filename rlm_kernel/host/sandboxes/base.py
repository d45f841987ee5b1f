"""What every sandbox on this machine shares: a kernel provisioner that hands sockets and inputs to a box.

A sandbox is a `jupyter_client` kernel provisioner, found through the entry-point group
``jupyter_client.kernel_provisioners``. The host binds the five unix sockets of the Jupyter protocol in a directory
that only its user can enter and passes the listening descriptors in, so the box needs no network and no path to a
socket. `process.py` is the smallest sandbox to copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import site
import socket
import sys
import tempfile
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from rlm_kernel import wire
from rlm_kernel.host.sandboxes.box import Box, BoxOptions, KernelFolder
from rlm_kernel.host.sandboxes.warm import ForkedKernel, WarmParent

CHANNELS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
"""Channel -> the number that stands for its port in an ``ipc`` connection."""

BACKLOG = 16
OPEN_FILES = 512
CPU_SECONDS = 24 * 3600
KERNEL_THREADS = 16
"""What a kernel has for itself, generously."""

DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
PROC = tuple(f"/proc/{name}" for name in ("self", "cpuinfo", "loadavg", "meminfo", "stat", "uptime", "version"))
"""What a kernel may read there: itself and the machine, but no other process."""


class BoxProvisioner(LocalProvisioner):
    """Starts kernels by forking a warm parent; a subclass says in what box that one is."""

    sandbox = ""
    """The name that ``sandbox=`` takes."""

    _kernel: ForkedKernel | None = None
    _parent: WarmParent | None = None

    @cached_property
    def box(self) -> Box:
        """The run's box, which the manager brings; under a stock manager, one of this kernel's own."""
        return getattr(self.parent, "box", None) or Box(BoxOptions(sandbox=self.sandbox))

    @cached_property
    def folder(self) -> KernelFolder:
        """The kernel's folder on the host."""
        return getattr(self.parent, "folder", None) or self.box.kernel_folder()

    @abstractmethod
    def inputs_in_box(self) -> str:
        """Where the kernel sees ``folder.inputs``."""

    @abstractmethod
    def homes(self) -> str:
        """Where the warm parent makes a folder for each kernel to write in, as the kernel sees it."""

    @abstractmethod
    def show(self, file: Path) -> str | None:
        """Return where the kernel will see a file of the host's, or ``None`` when it has to be copied."""

    @abstractmethod
    def start_parent(self, cmd: list[str]) -> WarmParent:
        """Start the warm parent in a new box.

        Raises
        ------
        SandboxError
            The box cannot be made on this machine; the text says what to install or choose.
        """

    @abstractmethod
    def confinement(self, home: str, limits: dict[str, int]) -> wire.Confinement:
        """Return what a kernel with that folder gives up, the resource limits included."""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose ``ipc`` in the kernel's private folder. Called by the kernel manager before each start."""
        manager: Any = self.parent
        manager.transport, manager.ip, manager.cache_ports = "ipc", str(self.folder.path / "k"), False
        manager.connection_file = str(self.folder.path / "connection.json")
        for channel, port in CHANNELS.items():
            setattr(manager, f"{channel}_port", port)
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Bind the sockets and have a kernel forked with their descriptors. Called by the kernel manager."""
        self._parent = self.box.parent(self.folder, lambda: self._start(cmd))
        limits = {
            "AS": self.box.options.memory_mb << 20,
            "CORE": 0,
            "CPU": CPU_SECONDS,
            "FSIZE": self.box.options.disk_mb << 20,
            "NOFILE": OPEN_FILES,
            "NPROC": self.box.options.max_processes + KERNEL_THREADS * (2 + self._parent.kernels),
        }
        info = {k: v.decode() if isinstance(v, bytes) else v for k, v in self.connection_info.items()}
        with contextlib.ExitStack() as stack:
            descriptors = {name: stack.enter_context(self._listen(port)).fileno() for name, port in CHANNELS.items()}
            descriptors["log"] = stack.enter_context(self.folder.log_file.open("wb")).fileno()
            connection = stack.enter_context(tempfile.TemporaryFile())
            connection.write(json.dumps({**info, "ip": "/k"}).encode())
            connection.seek(0)
            descriptors["connection"] = connection.fileno()
            # A name that nobody can guess: Landlock lets siblings change modes and times of what they can name.
            home = f"{self.homes()}/{secrets.token_hex(16)}"
            self._kernel = self._parent.fork(home, self.confinement(home, limits), descriptors)
        return self.connection_info

    @property
    def has_process(self) -> bool:
        """Whether a kernel was started and not cleaned up."""
        return self._kernel is not None

    async def poll(self) -> int | None:
        """Return ``None`` while the kernel lives, else its exit status."""
        if self._kernel is None:
            return 0
        return self._kernel.ended.result() if self._kernel.ended.done() else None

    async def wait(self) -> int | None:
        """Wait for the kernel's end."""
        return 0 if self._kernel is None else await asyncio.shield(self._kernel.ended)

    @property
    def reason(self) -> str | None:
        """Why the box had ended the kernel, where it had."""
        return None if self._kernel is None else self._kernel.reason

    async def send_signal(self, signum: int) -> None:
        """Signal the kernel, through its parent."""
        if self._kernel is not None and self._parent is not None:
            self._parent.signal(self._kernel, signum)

    async def clear(self) -> None:
        """Kill what the kernel has started, but not the kernel, and wait until that is done."""
        if self._kernel is not None and self._parent is not None:
            await self._parent.clear(self._kernel)

    async def kill(self, restart: bool = False) -> None:
        """Kill the kernel and wait until it is gone (milliseconds)."""
        await self.send_signal(signal.SIGKILL)
        await self.wait()

    async def terminate(self, restart: bool = False) -> None:
        """As `kill`: a kernel has nothing to save."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:
        """End a box that was the kernel's own. Called by the kernel manager when the kernel is gone."""
        self._kernel = None
        if restart:
            return
        if getattr(self.parent, "box", None) is None:
            await self.box.close()
        else:
            await self.box.release(self.folder)

    def _start(self, cmd: list[str]) -> WarmParent:
        for folder in self.box.folders:
            folder.shown.clear()
        self.folder.shown.update({file: path for file in self.folder.files if (path := self.show(file)) is not None})
        return self.start_parent(cmd)

    def _listen(self, port: int) -> socket.socket:
        path = Path(f"{self.folder.path}/k-{port}")
        path.unlink(missing_ok=True)  # left by the kernel before a restart
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        sock.listen(BACKLOG)
        return sock


def kernel_environment(home: str) -> dict[str, str]:
    """Return the allowlist: what Python and IPython need, and nothing of the host's environment."""
    return {
        # Huge pages: a big context is decoded twice as fast. Few arenas: each reserves 64 MB of the memory limit.
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=2",
        "HOME": home,
        "IPYTHONDIR": f"{home}/.ipython",
        "JUPYTER_RUNTIME_DIR": home,
        "JUPYTER_CONFIG_DIR": home,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.defpath,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",  # a set has the same order when a run is resumed or replayed
        "TMPDIR": home,
    }


def python_folders() -> list[str]:
    """Return what a Python process of this environment reads: the interpreter, its packages, and this package."""
    folders: set[str] = set()
    for prefix in {sys.base_prefix, sys.prefix}:
        if prefix in ("/usr", "/usr/local"):  # holds more than Python
            folders |= {f"{prefix}/{part}" for part in ("bin", "lib") if Path(prefix, part).is_dir()}
        else:
            folders.add(prefix)
    package = Path(__file__).resolve().parents[2]
    if not any(package.is_relative_to(folder) for folder in [*folders, *site.getsitepackages()]):
        folders.add(str(package))
    return sorted(folders, key=len)
