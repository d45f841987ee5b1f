"""One live kernel: start it in a box, load an input, run cells, answer its calls, end it.

A session belongs to the event loop that started it; nothing here is for other threads.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError, KernelDied, SandboxError, WireError
from rlm_kernel.host.cell import CellResult, OnOutput, RunningCell
from rlm_kernel.host.connection import Connection
from rlm_kernel.host.sandboxes.box import Box, KernelFolder
from rlm_kernel.host.sandboxes.manager import BoxKernelManager

log = logging.getLogger("rlm_kernel")

Serve = Callable[[wire.Call], Awaitable[wire.Reply]]

START_SECONDS = 60.0
INTERRUPT_SECONDS = 2.0
"""How long a cell has to end after each step of the interrupt ladder."""
SIGNALS = 4
"""How many signals the ladder's second step sends, evenly over its time: code may catch the first."""
WAITING_CALLS = 20_000
WAITING_BYTES = 256 << 20
"""Calls that wait for an answer, of one kernel, before the host stops reading more."""
POLL_SECONDS = 0.05
"""How often a waiting session looks at the cell's clock."""


class Session:
    """One kernel in a box.

    Parameters
    ----------
    box
        Where it lives, with or without other kernels; closed by whoever made it.
    cell_seconds
        A cell's own time; waiting for sub-calls does not count.
    serve
        Answers the kernel's calls; several at once. Cancelled when the cell that asked is.
    files
        Files of the host's that the kernel may read where they are, if the sandbox can show them.
    """

    def __init__(self, box: Box, cell_seconds: float, serve: Serve, files: tuple[Path, ...] = ()) -> None:
        self._box = box
        self._cell_seconds = cell_seconds
        self._serve = serve
        self._files = files
        self._folder: KernelFolder | None = None
        self._loads: list[wire.Load] = []
        self._cells: dict[str, RunningCell] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._manager: BoxKernelManager | None = None
        self._connection: Connection | None = None
        self._waiting_bytes = 0
        self._holding = False
        self._death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done when the kernel's process has ended, or is of no use any more, with the reason."""

    async def start(self) -> None:
        """`launch` and `attach`.

        Raises
        ------
        SandboxError
            The box or the kernel in it could not be started.
        """
        await self.launch()
        await self.attach()

    async def launch(self) -> None:
        """Begin the start, without waiting for the kernel. From now on `inputs` may be filled."""
        self._folder = self._folder or self._box.kernel_folder(self._files)
        self._manager = BoxKernelManager(self._box, self._folder)
        await self._manager.begin()

    async def attach(self) -> None:
        """Wait until the kernel runs and knows where to send its calls."""
        self._welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handlers = {"shell": self._on_shell, "iopub": self._on_iopub, "control": self._on_control}
        try:
            self._connection = Connection(self._manager, handlers)  # type: ignore[arg-type]
            self._death = asyncio.create_task(self._end_of_use())
            await self._connection.open()
            attached = self._connection.request("control", "rlm_attach_request", wire.encode(wire.Attach()))
            wire.decode(wire.Attached, await self._outlive(attached, START_SECONDS))
            await self._outlive(self._welcome, START_SECONDS)
        except (KernelDied, OSError, TimeoutError, WireError) as error:
            assert self._folder is not None
            log = self._folder.log_file.read_text(errors="replace").strip().splitlines()
            reason = log[-1] if log else str(error) or "no answer"
            name = self._box.options.sandbox
            raise SandboxError(f"The kernel did not start in sandbox={name!r}: {reason}") from error

    @property
    def inputs(self) -> Path:
        """The folder whose files the kernel may read, after `launch`."""
        assert self._folder is not None
        return self._folder.inputs

    @property
    def connection_file(self) -> Path:
        """Jupyter's connection file, for another client such as ``jupyter console --existing``."""
        return Path(self._channels.connection_file)

    @property
    def shown(self) -> Mapping[Path, str]:
        """Files of the host's that the kernel can read where they are -> where it sees them."""
        assert self._folder is not None
        return self._folder.shown

    async def load(self, load: wire.Load) -> wire.Loaded:
        """Load an input into the REPL; a relative ``load.path`` is one in `inputs`. A restart loads it again.

        Raises
        ------
        ContextError
            The kernel could not read it.
        """
        loaded = await self._load(load)
        self._loads.append(load)
        return loaded

    async def execute(self, code: str, on_output: OnOutput) -> CellResult:
        """Run one cell; ``on_output(kind, MIME bundle)`` is called for each output as it comes.

        A cell that overruns its time is interrupted, then its kernel is killed. A dead kernel is restarted with
        its inputs loaded again; the result's status says so.
        """
        started = time.monotonic()
        cell = RunningCell(on_output)
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        request = self._channels.send("shell", "execute_request", content)
        self._cells[request] = cell
        try:
            overran = await self._run(cell)
        except KernelDied as death:
            await self._restart()
            return CellResult("died", time.monotonic() - started, None, str(death))
        finally:
            self._cells.pop(request, None)
        result = cell.result(time.monotonic() - started, overran)
        if cell.reply is None:
            await self._restart()
        elif cell.went_too_far and hasattr(self._provisioner, "clear"):
            self._provisioner.clear()  # its processes have outlived the cell that was stopped
        return result

    async def close(self) -> None:
        """End the kernel. Safe to call at any time, and twice."""
        await self._stop()

    @property
    def _provisioner(self) -> Any:
        assert self._manager is not None
        return self._manager.provisioner

    @property
    def _channels(self) -> Connection:
        assert self._connection is not None
        return self._connection

    async def _run(self, cell: RunningCell) -> bool:
        """Wait for a cell's end; return whether it overran its time. An unset reply means that it had to be killed."""
        own, last = 0.0, time.monotonic()
        while not await self._settled(cell):
            now = time.monotonic()
            own += 0.0 if self._calls else now - last
            last = now
            if own > self._cell_seconds:
                await self._interrupt(cell)
                for call in self._calls.values():
                    call.cancel()
                return True
        return False

    async def _interrupt(self, cell: RunningCell) -> None:
        """Climb the ladder: ask the kernel, then signal it from outside. What is left is to kill it."""
        self._channels.send("control", "interrupt_request", {})
        if await self._settled(cell, INTERRUPT_SECONDS):
            return
        for _ in range(SIGNALS):
            await self._provisioner.send_signal(signal.SIGINT)
            if await self._settled(cell, INTERRUPT_SECONDS / SIGNALS):
                return

    async def _settled(self, cell: RunningCell, seconds: float = POLL_SECONDS) -> bool:
        """Wait for a cell's end; raise `KernelDied` when its kernel is gone."""
        await self._first(cell.done, seconds)
        if not cell.done.done() and self._death.done():
            raise KernelDied(self._death.result())
        return cell.done.done()

    async def _end_of_use(self) -> str:
        """Wait until the kernel's process ends, or the kernel breaks the protocol; say which."""
        process = asyncio.ensure_future(self._provisioner.wait())
        try:
            await asyncio.wait({process, self._channels.breach}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            process.cancel()
        if self._channels.breach.done():
            return self._channels.breach.result()
        status = process.result()
        if (reason := getattr(self._provisioner, "reason", None)) is not None:
            return str(reason)
        if status is None or status >= 0:
            return f"its process ended with status {status}"
        return f"its process was ended by signal {-status} ({signal.strsignal(-status)})"

    async def _restart(self) -> None:
        await self._stop()
        await self.start()
        for load in self._loads:
            await self._load(load)

    async def _stop(self) -> None:
        calls = list(self._calls.values())
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        if self._connection is not None:
            connection, self._connection, self._holding = self._connection, None, False
            connection.close()
        if self._manager is not None:
            await self._manager.end()
            self._manager = None
        self._death.cancel()

    async def _load(self, load: wire.Load) -> wire.Loaded:
        in_box = str(PurePosixPath(self._provisioner.inputs_in_box(), load.path))
        message = replace(load, path=in_box)
        reply = self._channels.request("shell", "rlm_load_request", wire.encode(message))
        loaded = wire.decode(wire.Loaded, await self._outlive(reply, None))
        if loaded.error is not None:
            raise ContextError(f"The context could not be loaded: {loaded.error}")
        return loaded

    async def _first(self, future: asyncio.Future[Any], seconds: float | None) -> None:
        waited: set[asyncio.Future[Any]] = {future, self._death}
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _outlive(self, future: asyncio.Future[Any], seconds: float | None) -> Any:
        """Wait for a future as long as the kernel lives."""
        await self._first(future, seconds)
        if future.done():
            return future.result()
        if self._death.done():
            raise KernelDied(self._death.result())
        raise TimeoutError(f"no answer within {seconds:g} s")

    def _on_shell(self, msg: dict[str, Any], size: int) -> None:
        cell = self._cells.get(msg["parent_header"].get("msg_id"))
        if cell is not None:
            cell.on_shell(msg)

    def _on_iopub(self, msg: dict[str, Any], size: int) -> None:
        if not self._welcome.done():
            self._welcome.set_result(None)
        cell = self._cells.get(msg["parent_header"].get("msg_id"))
        if cell is not None:
            cell.on_iopub(msg)

    def _on_control(self, msg: dict[str, Any], size: int) -> None:
        if msg["msg_type"] == "rlm_call":
            call = wire.decode(wire.Call, msg["content"])
            if call.id not in self._calls:
                self._calls[call.id] = asyncio.create_task(self._answer(call, size))
                self._waiting_bytes += size
                self._hold_or_go_on()
        elif msg["msg_type"] == "rlm_cancel":
            for call_id in wire.decode(wire.Cancel, msg["content"]).ids:
                if call_id in self._calls:
                    self._calls[call_id].cancel()

    async def _answer(self, call: wire.Call, size: int) -> None:
        try:
            try:
                reply = await self._serve(call)
            except Exception as error:  # a fault of ours or of a caller's function must not leave the cell waiting
                log.exception("sub-call %s failed", call.id)
                failed = wire.CallResult(error=f"The host failed: {type(error).__name__}: {error}")
                reply = wire.Reply(call.id, [failed] * len(call.prompts))
            self._channels.send("control", "rlm_reply", wire.encode(reply))
        finally:
            self._calls.pop(call.id, None)
            self._waiting_bytes -= size
            self._hold_or_go_on()

    def _hold_or_go_on(self) -> None:
        """Read no more calls while too many wait: they are kept in the kernel, not in the host's memory."""
        full = len(self._calls) >= WAITING_CALLS or self._waiting_bytes >= WAITING_BYTES
        if full != self._holding and self._connection is not None:
            self._holding = full
            self._connection.hold("control", full)
