"""What every sandbox on this machine shares: a kernel provisioner that hands sockets and inputs to a box.

A sandbox is a `jupyter_client` kernel provisioner, found through the entry-point group
``jupyter_client.kernel_provisioners``. The host binds the five unix sockets of the Jupyter protocol in a directory
that only its user can enter and passes the listening descriptors in, so the box needs no network and no path to a
socket. `process.py` is the smallest sandbox to copy.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import Unicode

CHANNELS = {"shell": 1, "iopub": 2, "stdin": 3, "control": 4, "hb": 5}
"""Channel -> the number that stands for its port in an ``ipc`` connection."""

BACKLOG = 16


class BoxProvisioner(LocalProvisioner):
    """Starts the kernel with inherited sockets; a subclass says in what box."""

    directory = Unicode(help="The session's private folder on the host (mode 0700); made here when not given.")
    dies_with_host = True
    """Whether the box ends by itself when the host's process does; else the kernel watches that process."""
    _made_directory = False

    @property
    def inputs(self) -> Path:
        """Where the host puts files for the kernel to read."""
        return Path(self.directory, "inputs")

    @property
    def log_file(self) -> Path:
        """What the kernel process wrote before it captured its own output: why a start failed."""
        return Path(self.directory, "kernel.log")

    @property
    @abstractmethod
    def inputs_in_box(self) -> str:
        """`inputs` as the kernel sees it."""

    @abstractmethod
    def command(self, argv: list[str]) -> list[str]:
        """Wrap the kernel's command line so that it runs in the box.

        Called by `launch_kernel`, once per start.

        Raises
        ------
        SandboxError
            The box cannot be made on this machine; the text says what to install or choose.
        """

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the whole environment of the process that `command` starts: an allowlist, never the host's."""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose ``ipc`` in a private directory. Called by the kernel manager before each start."""
        if not self.directory:
            self.directory, self._made_directory = tempfile.mkdtemp(prefix="rlm-"), True
        self.inputs.mkdir(mode=0o755, exist_ok=True)
        manager: Any = self.parent
        manager.transport, manager.ip, manager.cache_ports = "ipc", f"{self.directory}/k", False
        manager.connection_file = f"{self.directory}/connection.json"
        for channel, port in CHANNELS.items():
            setattr(manager, f"{channel}_port", port)
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Bind the sockets and start the box with their descriptors. Called by the kernel manager."""
        argv = self.command(cmd)
        sockets = {channel: self._listen(port) for channel, port in CHANNELS.items()}
        try:
            self.process = self._spawn(argv, {channel: sock.fileno() for channel, sock in sockets.items()})
        finally:
            for sock in sockets.values():
                sock.close()
        self.pid = self.process.pid
        return self.connection_info

    async def send_signal(self, signum: int) -> None:
        """Signal the process that holds the box. An interrupt is a message instead: SIGINT would end the box."""
        if self.process is not None:
            self.process.send_signal(signum)

    async def kill(self, restart: bool = False) -> None:
        """Kill the box and wait until it is gone (milliseconds)."""
        await super().kill(restart)
        while await self.poll() is None:  # noqa: ASYNC110 - a process has no event to await
            await asyncio.sleep(0.001)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the folder, if it was made here. Called by the kernel manager when the kernel is gone."""
        if self._made_directory and not restart:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory, self._made_directory = "", False

    def _spawn(self, argv: list[str], descriptors: dict[str, int]) -> subprocess.Popen[bytes]:
        """Start the box; the kernel reads its connection from a descriptor, so that the key is in no argument list."""
        info = {k: v.decode() if isinstance(v, bytes) else v for k, v in self.connection_info.items()}
        parent = None if self.dies_with_host else os.getpid()
        boot = {"connection": {**info, "ip": "/k"}, "descriptors": descriptors, "parent": parent}
        with tempfile.TemporaryFile() as file, self.log_file.open("wb") as log:
            file.write(json.dumps(boot).encode())
            file.seek(0)
            return subprocess.Popen(  # noqa: S603
                [*argv, str(file.fileno())],
                env=self.environment(),
                pass_fds=[*descriptors.values(), file.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
            )

    def _listen(self, port: int) -> socket.socket:
        path = f"{self.directory}/k-{port}"
        Path(path).unlink(missing_ok=True)  # left by the kernel before a restart
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen(BACKLOG)
        return sock


def kernel_environment(home: str) -> dict[str, str]:
    """Return the allowlist: what Python and IPython need, and nothing of the host's environment."""
    return {
        "HOME": home,
        "IPYTHONDIR": f"{home}/.ipython",
        "JUPYTER_RUNTIME_DIR": home,
        "JUPYTER_CONFIG_DIR": home,
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.defpath,
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": home,
    }
