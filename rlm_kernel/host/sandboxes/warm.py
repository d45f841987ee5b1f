"""The host's end of a warm parent: starts it in its box, asks for kernels, hears of their ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import SandboxError, WireError

POLL_SECONDS = 0.002
ENDING_SECONDS = 3.0
CLEARING_SECONDS = 5.0


class ForkedKernel:
    """A kernel process. `ended` becomes its exit status (minus the signal that ended it)."""

    reason: str | None = None
    """Why its parent had ended it, where it had."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.cleared = asyncio.Event()


class WarmParent:
    """One process in a box (`rlm_kernel.kernel.forkserver`). Belongs to the event loop that made it.

    Parameters
    ----------
    command
        How to start it in its box; the descriptor of its socket is appended.
    environment
        Its whole environment.
    descriptors
        What else it inherits.
    log_file
        Where its own error output goes: why a start failed.
    greeting
        Who it becomes.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Sequence[int],
        log_file: Path,
        greeting: wire.Warm,
    ) -> None:
        self._kernels: dict[int, ForkedKernel] = {}
        self._ids = itertools.count(1)
        self._received = b""
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, log_file.open("wb") as log:
            try:
                self.process = subprocess.Popen(  # noqa: S603
                    [*command, str(theirs.fileno())],
                    env=dict(environment),
                    pass_fds=[theirs.fileno(), *descriptors],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,  # not for Ctrl-C, nor for ipykernel, which ends its process group by itself
                )
            except OSError as error:
                self._socket.close()
                raise SandboxError(f"The sandbox could not be started: {error}.") from error
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        self._send(greeting, [])

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._socket.fileno() >= 0

    @property
    def kernels(self) -> int:
        """How many of its kernels live."""
        return len(self._kernels)

    def fork(self, home: str, confinement: wire.Confinement, descriptors: Mapping[str, int]) -> ForkedKernel:
        """Ask for a kernel; it starts as soon as the parent is warm."""
        kernel = ForkedKernel(next(self._ids))
        self._kernels[kernel.number] = kernel
        request = wire.Fork(kernel.number, home, confinement)
        self._send(request, [descriptors[name] for name in wire.FORK_DESCRIPTORS])
        return kernel

    def signal(self, kernel: ForkedKernel, number: int) -> None:
        """Send a signal to a kernel; one that has ended is left alone."""
        if kernel.number in self._kernels:
            self._send(wire.Signal(kernel.number, number), [])

    async def clear(self, kernel: ForkedKernel) -> None:
        """Kill what a kernel has started, and wait until that is done, and every signal before it has arrived."""
        if kernel.number not in self._kernels:
            return
        kernel.cleared.clear()
        self._send(wire.Clear(kernel.number), [])
        with suppress(TimeoutError):
            async with asyncio.timeout(CLEARING_SECONDS):
                await kernel.cleared.wait()

    async def close(self) -> None:
        """End it with all its kernels, and wait until the box is gone (milliseconds)."""
        self._hang_up()  # it hears that and ends what it has started
        if not await self._ends_within(ENDING_SECONDS):
            self.process.kill()
            await self._ends_within(ENDING_SECONDS)

    def kill(self) -> None:
        """End it at once, where its box cannot be used."""
        self._hang_up()
        self.process.kill()
        self.process.wait()

    async def _ends_within(self, seconds: float) -> bool:
        """Wait for the process without a thread: none starts while the interpreter ends."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    def _send(self, message: Any, descriptors: Sequence[int]) -> None:
        line = json.dumps(wire.encode(message)).encode() + b"\n"
        try:
            socket.send_fds(self._socket, [line], list(descriptors))
        except OSError:
            self._hang_up()  # it has died; those who wait for its kernels learn it

    def _receive(self) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
                if "clear" in message:
                    self._clear(wire.decode(wire.Clear, message))
                else:
                    self._end(wire.decode(wire.Ended, message))
            except (TypeError, ValueError, WireError):
                continue
        if not data:
            self._hang_up()

    def _clear(self, done: wire.Clear) -> None:
        if done.id in self._kernels:
            self._kernels[done.id].cleared.set()

    def _end(self, ended: wire.Ended) -> None:
        kernel = self._kernels.pop(ended.id, None)
        if kernel is not None and not kernel.ended.done():
            kernel.reason = ended.reason
            kernel.ended.set_result(ended.status)
            kernel.cleared.set()

    def _hang_up(self) -> None:
        if self.alive:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
        for kernel in self._kernels.values():
            kernel.cleared.set()
            if not kernel.ended.done():
                kernel.ended.set_result(-9)
        self._kernels.clear()
