"""The signed channels to one kernel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jupyter_client.manager import KernelManager

from rlm_kernel import wire
from rlm_kernel.errors import WireError
from rlm_kernel.packing import Messages
from rlm_kernel.zmtp import Peer

Message = dict[str, Any]
Handler = Callable[[Message, int], None]
"""Takes a message and its size in bytes."""


LIMITS = {"shell": 64 << 20, "iopub": 16 << 20, "control": wire.MESSAGE_BYTES}
"""The longest message of a kernel's, in bytes, by channel: the host's memory is not the kernel's to fill."""

REST_SECONDS = 0.005
"""How long messages may wait for one on another channel. Each that wakes the host takes the processor from the kernel:
a short cell's outputs are read when it has ended.
"""

MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, WireError)
"""What a message that is no message raises on its way in."""


class Connection:
    """Sends and receives Jupyter messages; belongs to the event loop that opened it.

    Parameters
    ----------
    manager
        The kernel's manager: where its sockets are, and the key that signs.
    handlers
        What receives the messages of ``shell``, ``iopub`` and ``control``, replies to `request` included.
    """

    def __init__(self, manager: KernelManager, handlers: Mapping[str, Handler]) -> None:
        self.connection_file = manager.connection_file
        self._manager = manager
        self._session = Messages(key=manager.session.key, signature_scheme=manager.session.signature_scheme)
        self._replies: dict[str, asyncio.Future[Message]] = {}
        self._resting = asyncio.get_running_loop().call_soon(lambda: None)
        self.breach: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done when the kernel has gone beyond its bounds, with what it did; then it is of no use any more."""
        self._peers = {
            channel: Peer(
                "SUB" if channel == "iopub" else "DEALER",
                partial(self._receive, handle),
                identity=self._session.bsession,
                limit=LIMITS[channel],
                on_breach=partial(self._breached, channel),
            )
            for channel, handle in handlers.items()
        }

    async def open(self) -> None:
        """Connect. What is sent meanwhile goes out when the kernel is ready.

        Raises
        ------
        OSError
            Nobody listens.
        """
        info = self._manager.get_connection_info()
        for channel, peer in self._peers.items():
            port = info[f"{channel}_port"]  # type: ignore[literal-required]
            await peer.connect(f"{info['ip']}-{port}" if info["transport"] == "ipc" else (info["ip"], port))

    def send(self, channel: str, msg_type: str, content: Message) -> str:
        """Send a message and return its id."""
        message = self._session.msg(msg_type, content)
        self._peers[channel].send(self._session.serialize(message))
        return str(message["header"]["msg_id"])

    def request(self, channel: str, msg_type: str, content: Message) -> asyncio.Future[Message]:
        """Send a message whose reply's content the future becomes."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        request = self.send(channel, msg_type, content)
        self._replies[request] = future
        future.add_done_callback(lambda _: self._replies.pop(request, None))
        return future

    def hold(self, channel: str, held: bool) -> None:
        """Read no more messages of a channel, or go on: what is not read waits in the kernel."""
        self._peers[channel].hold(held)

    def rest(self, channel: str) -> None:
        """Read no more messages of a channel for a moment, or until `hold` says to go on."""
        self._resting.cancel()
        self.hold(channel, True)
        self._resting = asyncio.get_running_loop().call_later(REST_SECONDS, self.hold, channel, False)

    async def drained(self, channel: str) -> None:
        """Wait until the kernel has taken most of what was sent to it."""
        await self._peers[channel].drained.wait()

    def close(self) -> None:
        """Close the channels; what was not sent yet is dropped."""
        for peer in self._peers.values():
            peer.close()

    def _breached(self, channel: str) -> None:
        if not self.breach.done():
            self.breach.set_result(f"it sent a message on {channel} that is longer than {LIMITS[channel] >> 20} MiB")

    def _receive(self, handle: Handler, frames: list[bytes], size: int) -> None:
        """Check a message's signature and shape; the kernel is hostile, so what fails either is dropped."""
        session = self._session
        with contextlib.suppress(*MALFORMED):
            msg = session.deserialize(session.feed_identities(frames)[1])
            if not (isinstance(msg["content"], dict) and isinstance(msg["parent_header"], dict)):
                return
            if msg["msg_type"].endswith("_reply"):  # not the request's busy and idle on iopub
                future = self._replies.pop(str(msg["parent_header"].get("msg_id")), None)
                if future is not None and not future.done():
                    future.set_result(msg["content"])
            handle(msg, size)
