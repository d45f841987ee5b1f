"""What one kernel has asked for and waits for: sub-calls and tools in flight, and inputs on their way to children."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import RLMError, WireError
from rlm_kernel.host.connection import Connection
from rlm_kernel.host.uploads import Uploads

log = logging.getLogger("rlm_kernel")

AnyCall = wire.Call | wire.ToolCall
Serve = Callable[[AnyCall], Awaitable[wire.Reply]]

KINDS: dict[str, type[wire.Call] | type[wire.ToolCall]] = {"rlm_call": wire.Call, "rlm_tool": wire.ToolCall}
"""What a kernel may ask for, by message type."""
WAITING_CALLS = 5_000
WAITING_BYTES = 256 << 20
"""Prompts and tools that wait for an answer, of one kernel, before the host stops reading more."""
TOOLS = 64
"""Calls of tools under way, of one kernel, until their results are sent: these may be long, and the calls are short."""


class Calls:
    """The calls of one kernel, from one connection to the next."""

    def __init__(self, serve: Serve, uploads: Uploads) -> None:
        self.uploads = uploads
        self._serve = serve
        self._connection: Connection | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bytes = self._prompts = 0
        self._sub_calls = 0
        self._tools = asyncio.Semaphore(TOOLS)
        self._holding = False

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def stop_the_clock(self) -> bool:
        """Whether a cell waits for a model, which is not its own time; waiting for a tool is."""
        return self._sub_calls > 0

    @contextmanager
    def in_own_time(self) -> Iterator[None]:
        """Let the cell's clock run while one of its sub-calls is here: no model is asked."""
        self._sub_calls -= 1
        try:
            yield
        finally:
            self._sub_calls += 1

    def connect(self, connection: Connection) -> None:
        """Answer over this connection from now on."""
        self._connection, self._holding = connection, False

    def on_control(self, msg: dict[str, Any], size: int) -> None:
        """Take a message of the control channel.

        Raises
        ------
        WireError
            It is not what its type says.
        """
        if (kind := KINDS.get(msg["msg_type"])) is not None:
            try:
                call: AnyCall = wire.decode(kind, msg["content"])
            except WireError as error:
                self._refuse(msg["content"], str(error))
                return
            if call.id not in self._tasks:
                self._tasks[call.id] = asyncio.create_task(self._answer(call, size))
                self._bytes += size
                self._prompts += _prompts(call)
                self._sub_calls += kind is wire.Call
                self._hold_or_go_on()
        elif msg["msg_type"] == "rlm_context":
            self.uploads.add(wire.decode(wire.Part, msg["content"]))
        elif msg["msg_type"] == "rlm_cancel":
            for call_id in wire.decode(wire.Cancel, msg["content"]).ids:
                if call_id in self._tasks:
                    self._tasks[call_id].cancel()

    def cancel(self) -> None:
        """Cancel every call: the cell that asked is of no use any more."""
        for task in self._tasks.values():
            task.cancel()

    async def end(self) -> None:
        """Cancel every call and wait until they have ended."""
        tasks = list(self._tasks.values())
        self.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse(self, content: Any, reason: str) -> None:
        """Say what was wrong with a call, if it says who waits for the answer: a cell should not wait for ever."""
        call, prompts = content.get("id"), content.get("prompts")
        count = len(prompts) if isinstance(prompts, list) and len(prompts) <= wire.CALL_PROMPTS else 1
        if isinstance(call, str) and call not in self._tasks and self._connection is not None:
            reply = wire.Reply(call, [wire.CallResult(error=f"The call is malformed: {reason}")] * count)
            self._connection.send("control", "rlm_reply", wire.encode(reply))

    async def _answer(self, call: AnyCall, size: int) -> None:
        try:
            if isinstance(call, wire.ToolCall):
                async with self._tools:
                    await self._send(await self._reply(call))
            else:
                await self._send(await self._reply(call))
        finally:
            self._tasks.pop(call.id, None)
            self._bytes -= size
            self._prompts -= _prompts(call)
            self._sub_calls -= isinstance(call, wire.Call)
            self._hold_or_go_on()

    async def _reply(self, call: AnyCall) -> wire.Reply:
        try:
            return await self._serve(call)
        except RLMError as error:
            reason = str(error)
        except Exception as error:  # a fault of ours or of a caller's function must not leave the cell waiting
            log.exception("sub-call %s failed", call.id[:100])
            reason = f"The host failed: {type(error).__name__}: {error}"
        return wire.Reply(call.id, [wire.CallResult(error=reason)] * _prompts(call))

    async def _send(self, reply: wire.Reply) -> None:
        """Send a reply when the kernel has taken those before it: what it does not read is not kept for it."""
        if self._connection is not None:
            await self._connection.drained("control")
            self._connection.send("control", "rlm_reply", wire.encode(reply))

    def _hold_or_go_on(self) -> None:
        """Read no more calls while too many wait: they are kept in the kernel, not in the host's memory."""
        full = self._prompts >= WAITING_CALLS or self._bytes >= WAITING_BYTES
        if full != self._holding and self._connection is not None:
            self._holding = full
            self._connection.hold("control", full)


def _prompts(call: AnyCall) -> int:
    """Return how much a call asks: an empty batch is something too."""
    return max(len(call.prompts), 1) if isinstance(call, wire.Call) else 1
