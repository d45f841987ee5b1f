"""One live kernel: start it in its box, load an input, run cells, answer its calls, end it.

A session belongs to the event loop that started it; nothing here is for other threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError, KernelDied, SandboxError, WireError
from rlm_kernel.events.types import CellStatus
from rlm_kernel.host.connection import Connection
from rlm_kernel.host.folder import PrivateFolder
from rlm_kernel.host.sandboxes.manager import BoxKernelManager

OnOutput = Callable[[str, dict[str, Any]], None]
Serve = Callable[[wire.Call], Awaitable[wire.Reply]]

START_SECONDS = 60.0
INTERRUPT_SECONDS = 5.0
"""How long an interrupted cell has to end before its kernel is killed."""
POLL_SECONDS = 0.05
"""How often a waiting session looks at its kernel's process and at the cell's clock."""


@dataclass(frozen=True)
class CellResult:
    """How a cell ended. ``report`` is ``None`` when the kernel could not say (killed, or died)."""

    status: CellStatus
    seconds: float
    report: wire.CellReport | None


class _RunningCell:
    """A cell between its request and the two messages that end it: the reply, and idle on iopub."""

    def __init__(self, on_output: OnOutput) -> None:
        self.on_output = on_output
        self.reply: dict[str, Any] | None = None
        self.idle = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self) -> None:
        if self.reply is not None and self.idle and not self.done.done():
            self.done.set_result(None)


class Session:
    """One kernel in one sandbox.

    Parameters
    ----------
    sandbox
        The sandbox's name, such as ``bubblewrap``.
    cell_seconds
        A cell's own time; waiting for sub-calls does not count.
    serve
        Answers the kernel's calls; several at once. Cancelled when the cell that asked is.
    """

    def __init__(self, sandbox: str, cell_seconds: float, serve: Serve) -> None:
        self._sandbox = sandbox
        self._cell_seconds = cell_seconds
        self._serve = serve
        self._folder: PrivateFolder | None = None
        self._loads: list[wire.Load] = []
        self._cells: dict[str, _RunningCell] = {}
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._manager: BoxKernelManager | None = None
        self._connection: Connection | None = None

    async def start(self) -> None:
        """Start the kernel and attach to it.

        Raises
        ------
        SandboxError
            The box or the kernel in it could not be started.
        """
        self._folder = self._folder or PrivateFolder()
        self._manager = BoxKernelManager(self._sandbox, self._folder.path)
        self._welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handlers = {"shell": self._on_shell, "iopub": self._on_iopub, "control": self._on_control}
        try:
            await self._manager.start_kernel()
            self._connection = Connection(self._manager, handlers)
            attached = self._connection.request("control", "rlm_attach_request", wire.encode(wire.Attach()))
            wire.decode(wire.Attached, await self._outlive(attached, START_SECONDS))
            await self._outlive(self._welcome, START_SECONDS)
        except (KernelDied, TimeoutError, WireError) as error:
            log = self._provisioner.log_file.read_text(errors="replace").strip().splitlines()
            reason = log[-1] if log else str(error) or "no answer"
            raise SandboxError(f"The kernel did not start in sandbox={self._sandbox!r}: {reason}") from error

    @property
    def inputs(self) -> Path:
        """The folder whose files the kernel may read."""
        assert self._folder is not None
        return self._folder.inputs

    async def load(self, load: wire.Load) -> wire.Loaded:
        """Load an input into the REPL; ``load.path`` is relative to `inputs`. A restart loads it again.

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
        cell = _RunningCell(on_output)
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
        except KernelDied:
            await self._restart()
            return CellResult("died", time.monotonic() - started, None)
        finally:
            self._cells.pop(request, None)
        seconds = time.monotonic() - started
        if cell.reply is None:
            await self._restart()
            return CellResult("timeout", seconds, None)
        return CellResult(_status(cell.reply, overran), seconds, _report(cell.reply))

    async def close(self) -> None:
        """End the kernel and remove its folder. Safe to call at any time, and twice."""
        await self._stop()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    @property
    def _provisioner(self) -> Any:
        assert self._manager is not None
        return self._manager.provisioner

    @property
    def _channels(self) -> Connection:
        assert self._connection is not None
        return self._connection

    async def _run(self, cell: _RunningCell) -> bool:
        """Wait for a cell's end; return whether it overran its time. An unset reply means that it had to be killed."""
        own, last = 0.0, time.monotonic()
        while not await self._settled(cell):
            now = time.monotonic()
            own += 0.0 if self._calls else now - last
            last = now
            if own > self._cell_seconds:
                self._channels.send("control", "interrupt_request", {})
                deadline = now + INTERRUPT_SECONDS
                while not await self._settled(cell) and time.monotonic() < deadline:
                    pass
                return True
        return False

    async def _settled(self, cell: _RunningCell) -> bool:
        """Wait a moment for a cell's end; raise `KernelDied` when its kernel is gone."""
        await asyncio.wait({cell.done}, timeout=POLL_SECONDS)
        if not cell.done.done() and await self._provisioner.poll() is not None:
            raise KernelDied("The kernel died while it ran a cell.")
        return cell.done.done()

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
            self._connection.close()
            self._connection = None
        if self._manager is not None:
            with contextlib.suppress(RuntimeError):  # it never started
                await self._manager.shutdown_kernel(now=True)
            self._manager = None

    async def _load(self, load: wire.Load) -> wire.Loaded:
        in_box = f"{self._provisioner.inputs_in_box}/{load.path}"
        message = wire.Load(load.name, in_box, load.kind, load.encoding, load.errors)
        reply = self._channels.request("shell", "rlm_load_request", wire.encode(message))
        loaded = wire.decode(wire.Loaded, await self._outlive(reply, None))
        if loaded.error is not None:
            raise ContextError(f"The context could not be loaded: {loaded.error}")
        return loaded

    async def _outlive(self, future: asyncio.Future[Any], seconds: float | None) -> Any:
        """Wait for a future as long as the kernel lives."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not future.done():
            await asyncio.wait({future}, timeout=POLL_SECONDS)
            if not future.done() and await self._provisioner.poll() is not None:
                raise KernelDied("the kernel's process ended")
            if not future.done() and deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"no answer within {seconds:g} s")
        return future.result()

    def _on_shell(self, msg: dict[str, Any]) -> None:
        cell = self._cells.get(msg["parent_header"].get("msg_id"))
        if cell is not None and msg["msg_type"] == "execute_reply":
            cell.reply = msg
            cell.settle()

    def _on_iopub(self, msg: dict[str, Any]) -> None:
        if not self._welcome.done():
            self._welcome.set_result(None)
        cell = self._cells.get(msg["parent_header"].get("msg_id"))
        if cell is None:
            return
        if msg["msg_type"] == "status":
            cell.idle = cell.idle or msg["content"].get("execution_state") == "idle"
            cell.settle()
        elif (output := _output(msg["msg_type"], msg["content"])) is not None:
            cell.on_output(*output)

    def _on_control(self, msg: dict[str, Any]) -> None:
        if msg["msg_type"] == "rlm_call":
            call = wire.decode(wire.Call, msg["content"])
            if call.id not in self._calls:
                self._calls[call.id] = asyncio.create_task(self._answer(call))
        elif msg["msg_type"] == "rlm_cancel":
            for call_id in wire.decode(wire.Cancel, msg["content"]).ids:
                if call_id in self._calls:
                    self._calls[call_id].cancel()

    async def _answer(self, call: wire.Call) -> None:
        try:
            reply = await self._serve(call)
            self._channels.send("control", "rlm_reply", wire.encode(reply))
        finally:
            self._calls.pop(call.id, None)


def _output(msg_type: str, content: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Turn an iopub message into a cell output: its kind and MIME bundle."""
    if msg_type == "stream":
        kind = "stderr" if content.get("name") == "stderr" else "stdout"
        return kind, {"text/plain": str(content.get("text", ""))}
    if msg_type in ("display_data", "execute_result"):
        data = content.get("data")
        return msg_type, data if isinstance(data, dict) else {}
    if msg_type == "error":
        traceback = content.get("traceback")
        lines = [str(line) for line in traceback] if isinstance(traceback, list) else []
        return "error", {"text/plain": "\n".join(lines) or f"{content.get('ename')}: {content.get('evalue')}"}
    return None


def _status(reply: dict[str, Any], overran: bool) -> CellStatus:
    if overran:
        return "timeout"
    if reply["content"].get("status") == "ok":
        return "ok"
    return "interrupted" if reply["content"].get("ename") == "KeyboardInterrupt" else "error"


def _report(reply: dict[str, Any]) -> wire.CellReport | None:
    try:
        return wire.decode(wire.CellReport, reply["metadata"].get("rlm"))
    except WireError:
        return None
