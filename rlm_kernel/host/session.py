"""One live kernel: start it in a box, load an input, run cells, answer its calls, end it.

A session belongs to the event loop that started it; nothing here is for other threads.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError, KernelDied, OptionError, SandboxError, WireError
from rlm_kernel.host import said
from rlm_kernel.host.calls import Calls, Serve
from rlm_kernel.host.cell import REQUEST, CellResult, OnOutput, RunningCell
from rlm_kernel.host.connection import Connection
from rlm_kernel.host.sandboxes.box import Box, KernelFolder
from rlm_kernel.host.sandboxes.manager import BoxKernelManager
from rlm_kernel.host.uploads import Uploads
from rlm_kernel.look import Look

START_SECONDS = 60.0
INTERRUPT_SECONDS = 2.0
"""How long a cell has to end after each step of the interrupt ladder."""
SIGNALS = 4  # of the ladder's second step, evenly over its time: code may catch the first
REQUEST_SECONDS = 5.0
"""The least time that a kernel in which cells have run has for what the host asks of it between them."""
POLL_SECONDS = 0.05  # from one look at the cell's clock to the next


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
        self._bind: wire.Bind | None = None
        self._loads: dict[str, wire.Load] = {}
        self._setup: list[str] = []
        self._ran = False  # whether a cell has, in this kernel, so that it may do anything
        self._cells: dict[str, RunningCell] = {}
        self.on_other_cell: Callable[[str], None] = lambda code: None  # hears the code that another client runs
        self._calls: Calls | None = None
        self._manager: BoxKernelManager | None = None
        self._connection: Connection | None = None
        self._death: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done when the kernel's process has ended, or is of no use any more, with the reason."""

    async def start(self) -> None:
        """`launch` and `attach`; raises `SandboxError` where the box or its kernel could not be started."""
        await self.launch()
        await self.attach()

    async def launch(self) -> None:
        """Begin the start, without waiting for the kernel. From now on `inputs` may be filled."""
        if self._folder is None:
            self._folder = self._box.kernel_folder(self._files)
            self._calls = Calls(self._serve, Uploads(self._folder.path, self._box.options.disk_mb << 20))
        self._manager = BoxKernelManager(self._box, self._folder)
        await self._manager.begin()

    async def attach(self) -> None:
        """Wait until the kernel runs and knows where to send its calls."""
        self._welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        handlers = {"shell": self._on_shell, "iopub": self._on_iopub, "control": self.calls.on_control}
        try:
            self._connection = Connection(self._manager, handlers)  # type: ignore[arg-type]
            self.calls.connect(self._connection)
            self._death = asyncio.create_task(self._end_of_use())
            await self._connection.open()
            attached = self._connection.request("control", "rlm_attach_request", wire.encode(wire.Attach()))
            wire.decode(wire.Attached, await self._outlive(attached, START_SECONDS))
            await self._outlive(self._welcome, START_SECONDS)
        except (KernelDied, OSError, TimeoutError, WireError) as error:
            assert self._folder is not None
            reason, sandbox = said.start(self._folder.log_file, error), self._box.options.sandbox
            raise SandboxError(f"The kernel did not start in sandbox={sandbox!r}: {reason}") from error

    async def bind(self, names: wire.Bind) -> None:
        """Give the REPL its tools, and a fresh ``answer``. A restart gives them again."""
        self._bind = names
        await self._ask("rlm_bind_request", wire.encode(names))

    async def set_up(self, code: str) -> None:
        """Run code of the caller's before any of a model's. A restart runs it again.

        Raises
        ------
        OptionError
            It failed.
        """
        shown: list[str] = []
        status = (await self.execute(code, lambda kind, data: shown.append(str(data.get("text/plain", ""))))).status
        if status != "ok":
            last = said.last_line("".join(shown)) or status
            raise OptionError(f"Setup code failed in the kernel: {last}. Correct setup_code= or the tool's Source.")
        self._setup.append(code)

    @property
    def calls(self) -> Calls:
        """What the kernel waits for, after `launch`."""
        assert self._calls is not None
        return self._calls

    @property
    def inputs(self) -> Path:
        """The folder whose files the kernel may read, after `launch`."""
        assert self._folder is not None
        return self._folder.inputs

    @property
    def connection_file(self) -> Path:
        """Jupyter's connection file, for another client; raises `KernelDied` while there is no kernel."""
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
        try:
            loaded = await self._load(load)
        except KernelDied as death:  # a library that ends its process when memory is short
            reason = f"the kernel died of it: {death}. Raise memory_mb, or pass less."
            raise ContextError(f"The context could not be loaded: {reason}") from None
        self._loads[load.name] = load
        return loaded

    async def execute(self, code: str, on_output: OnOutput) -> CellResult:
        """Run one cell; ``on_output(kind, MIME bundle)`` is called for each output as it comes.

        A cell that overruns its time is interrupted, then its kernel is killed. A dead kernel is restarted with
        its inputs loaded again; the result's status says so.
        """
        started = time.monotonic()
        cell = RunningCell(on_output)
        try:
            overran = await self._send(code, cell)
        except KernelDied as death:
            await self._restart()
            return CellResult("died", time.monotonic() - started, None, str(death))
        result = cell.result(time.monotonic() - started, overran)
        if cell.reply is None:
            await self._restart()
        elif (overran or cell.went_too_far) and hasattr(self._provisioner, "clear"):
            await self._provisioner.clear()  # its processes have outlived the cell that was stopped
        return result

    def interrupt(self) -> None:
        """Interrupt the cell that runs, if one does; nobody waits for its end."""
        self._channels.send("control", "interrupt_request", {})

    async def look(self, look: Look, seconds: float) -> Any:
        """Ask what is in the REPL, also while a cell runs; raises `KernelDied` or `TimeoutError`."""
        asked = self._channels.request("control", "rlm_look_request", wire.encode(look))
        try:
            return await self._outlive(asked, seconds)
        finally:
            asked.cancel()

    async def close(self) -> None:
        """End the kernel and remove its folder. Safe to call at any time, and twice."""
        await self._stop()
        if self._folder is not None:
            self._box.discard(self._folder)

    @property
    def _provisioner(self) -> Any:
        assert self._manager is not None
        return self._manager.provisioner

    @property
    def _channels(self) -> Connection:
        if self._connection is None:
            raise KernelDied("its kernel is being started, or has ended; ask again in a moment")
        return self._connection

    async def _send(self, code: str, cell: RunningCell) -> bool:
        """Run a cell; see `_run`."""
        self._ran = True
        request = self._channels.send("shell", "execute_request", {"code": code, **REQUEST})
        self._channels.rest("iopub")
        self._cells[request] = cell
        try:
            return await self._run(cell)
        finally:
            self._cells.pop(request, None)

    async def _run(self, cell: RunningCell) -> bool:
        """Wait for a cell's end; return whether it overran its time. An unset reply means that it had to be killed."""
        own, last = 0.0, time.monotonic()
        while not await self._settled(cell):
            now = time.monotonic()
            own += 0.0 if self.calls.stop_the_clock else now - last
            last = now
            if own > self._cell_seconds:
                await self._interrupt(cell)
                self.calls.cancel()
                return True
        return False

    async def _interrupt(self, cell: RunningCell) -> None:
        """Climb the ladder: ask the kernel, then signal it from outside. What is left is to kill it."""
        self.interrupt()
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
        return str(getattr(self._provisioner, "reason", None) or said.end(process.result()))

    async def _restart(self) -> None:
        await self._stop()
        self._ran = False
        await self.start()
        if self._bind is not None:
            await self.bind(self._bind)
        for load in self._loads.values():
            await self._load(load)
        for code in self._setup:
            await self._send(code, RunningCell(lambda kind, data: None))

    async def _stop(self) -> None:
        if self._calls is not None:
            if self._connection is not None:  # first of all: more calls might come while the others end
                self._connection.close()
            await self._calls.end()
        self._connection = None
        if self._manager is not None:
            await self._manager.end()
            self._manager = None
        self._death.cancel()

    async def _load(self, load: wire.Load) -> wire.Loaded:
        in_box = str(PurePosixPath(self._provisioner.inputs_in_box(), load.path))
        return said.loaded(await self._ask("rlm_load_request", wire.encode(replace(load, path=in_box))))

    async def _ask(self, msg_type: str, content: dict[str, Any]) -> Any:
        """Ask something between cells. A kernel that cells have made deaf is restarted, and asked again."""
        try:
            seconds = max(self._cell_seconds, REQUEST_SECONDS) if self._ran else None
            return await self._outlive(self._channels.request("shell", msg_type, content), seconds)
        except (KernelDied, TimeoutError):
            if not self._ran:
                raise
        await self._restart()
        return await self._outlive(self._channels.request("shell", msg_type, content), None)

    async def _first(self, future: asyncio.Future[Any], seconds: float | None) -> None:
        await asyncio.wait([future, self._death], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    async def _outlive(self, future: asyncio.Future[Any], seconds: float | None) -> Any:
        """Wait for a future as long as the kernel lives."""
        await self._first(future, seconds)
        if future.done():
            return future.result()
        if self._death.done():
            raise KernelDied("it is being ended" if self._death.cancelled() else self._death.result())
        raise TimeoutError(f"no answer within {seconds:g} s")

    def _on_shell(self, msg: dict[str, Any], size: int) -> None:
        self._channels.hold("iopub", False)
        if (cell := self._cells.get(msg["parent_header"].get("msg_id"))) is not None:
            cell.on_shell(msg)

    def _on_iopub(self, msg: dict[str, Any], size: int) -> None:
        if not self._welcome.done():
            self._welcome.set_result(None)
        if (cell := self._cells.get(msg["parent_header"].get("msg_id"))) is not None:
            cell.on_iopub(msg)
        elif msg["msg_type"] == "execute_input":
            self._ran = True
            self.on_other_cell(str(msg["content"].get("code", "")))
