"""The signed channels to one kernel."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import zmq
from jupyter_client.client import KernelClient
from jupyter_client.manager import KernelManager
from zmq.eventloop.zmqstream import ZMQStream

from rlm_kernel import wire
from rlm_kernel.errors import WireError

Message = dict[str, Any]
Handler = Callable[[Message, int], None]
"""Takes a message and its size in bytes."""


@dataclass(frozen=True)
class _Bounds:
    """What a kernel may send: the host's memory is not the kernel's to fill.

    A longer message closes the connection. When more wait than may wait, the host stops reading and the rest stays
    in the kernel, whose queues are unbounded: nothing is lost (`rlm_kernel.kernel.app`).
    """

    message_bytes: int
    waiting: int


BOUNDS = {
    "shell": _Bounds(128 << 20, 4),
    "iopub": _Bounds(16 << 20, 32),
    "control": _Bounds(wire.MESSAGE_BYTES, 32),
}


MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, WireError)
"""What a message that is no message raises on its way in."""


class Connection:
    """Sends and receives Jupyter messages; belongs to the event loop that made it.

    Streams instead of jupyter_client's asyncio channels: those miss a wake-up when a reply is sent between two
    messages, and with 32 threads calling at once every wait hung within a second.

    Parameters
    ----------
    manager
        The kernel's manager: where its sockets are, and the key that signs.
    handlers
        What receives the messages of ``shell``, ``iopub`` and ``control``, replies to `request` included.
    """

    def __init__(self, manager: KernelManager, handlers: Mapping[str, Handler]) -> None:
        context = zmq.Context()
        context.sndhwm = 0  # a kernel that does not read loses nothing
        context.reconnect_ivl = 2
        self.connection_file = manager.connection_file
        self._client = KernelClient(context=context, session=manager.session)
        self._client.load_connection_info(manager.get_connection_info())
        self._replies: dict[str, asyncio.Future[Message]] = {}
        self._streams: dict[str, ZMQStream] = {}
        self._handlers = handlers
        for channel in handlers:
            context.rcvhwm, context.maxmsgsize = BOUNDS[channel].waiting, BOUNDS[channel].message_bytes
            connect = getattr(self._client, f"connect_{channel}")
            stream = ZMQStream(connect(identity=self._client.session.bsession))
            self._streams[channel] = stream
            self.resume(channel)

    def send(self, channel: str, msg_type: str, content: Message) -> str:
        """Send a message and return its id."""
        msg_id: str = self._client.session.send(self._streams[channel], msg_type, content)["header"]["msg_id"]
        return msg_id

    def request(self, channel: str, msg_type: str, content: Message) -> asyncio.Future[Message]:
        """Send a message whose reply's content the future becomes."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._replies[self.send(channel, msg_type, content)] = future
        return future

    def pause(self, channel: str) -> None:
        """Read no more messages of a channel until `resume`."""
        self._streams[channel].stop_on_recv()

    def resume(self, channel: str) -> None:
        """Read a channel's messages."""
        self._streams[channel].on_recv(partial(self._receive, self._handlers[channel]))

    async def close(self) -> None:
        """Close the channels; what was not sent yet is dropped."""
        for stream in self._streams.values():
            stream.stop_on_recv()
        await asyncio.sleep(0)  # a stream that is closed while it has an event to handle complains
        for stream in self._streams.values():
            stream.close(linger=0)
        self._client.context.term()

    def _receive(self, handle: Handler, frames: list[bytes]) -> None:
        """Check a message's signature and shape; the kernel is hostile, so what fails either is dropped."""
        session = self._client.session
        with contextlib.suppress(*MALFORMED):
            msg = session.deserialize(session.feed_identities(frames)[1])
            if not (isinstance(msg["content"], dict) and isinstance(msg["parent_header"], dict)):
                return
            if msg["msg_type"].endswith("_reply"):  # not the request's busy and idle on iopub
                future = self._replies.pop(str(msg["parent_header"].get("msg_id")), None)
                if future is not None and not future.done():
                    future.set_result(msg["content"])
            handle(msg, sum(map(len, frames)))
