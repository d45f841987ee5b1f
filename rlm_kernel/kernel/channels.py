"""Shell and control: what ipykernel takes for streams of ZeroMQ's.

The host binds the kernel's channels and passes the listening descriptors in. Whoever connects speaks ZeroMQ's protocol
(`rlm_kernel.zmtp`): the host, or a client such as jupyter console.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tornado.ioloop import IOLoop

from rlm_kernel.zmtp import Kind, Peer, packed


@dataclass(slots=True)
class Part:
    """A part of a message, as ipykernel asks for it (`zmq.Frame`)."""

    bytes: bytes

    @property
    def buffer(self) -> memoryview:
        """The same without a copy."""
        return memoryview(self.bytes)


class Router:
    """Shell or control, used like a `ZMQStream`. Belongs to the thread of its loop.

    A reply waits for `flush`, which ipykernel calls when it has said on iopub that it is idle: so whoever hears the
    reply has heard the rest, and is woken once.
    """

    def __init__(self, listening: socket.socket, io_loop: IOLoop) -> None:
        self.io_loop = io_loop
        self._listening = listening
        self._peers: dict[bytes, Peer] = {}
        self._waiting: list[Sequence[bytes]] = []
        self._tasks: set[asyncio.Future[Any]] = set()

    def on_recv(self, callback: Callable[[list[Part]], Any], copy: bool = False) -> None:
        """Begin to serve; each message goes to ``callback``, sender first, and what that awaits becomes a task."""
        self._callback = callback
        self.io_loop.add_callback(serve, self._listening, lambda: Client(self._heard, self._met, self._lost))

    def send_multipart(self, parts: Sequence[bytes], **_: Any) -> None:
        """Send a message to the client that its first part names, at the loop's next turn at the latest."""
        if not self._waiting:
            self.io_loop.asyncio_loop.call_soon(self.flush)  # type: ignore[attr-defined]
        self._waiting.append(parts)

    def flush(self, *_: Any) -> int:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        for parts in waiting:
            self.send_now(parts)
        return len(waiting)

    def send_now(self, parts: Sequence[bytes]) -> None:
        """Send a message to the client that its first part names; if that one has gone, it is dropped. Any thread."""
        peer = self._peers.get(parts[0])
        if peer is not None:
            peer.send(parts[1:])

    def _met(self, client: Client) -> None:
        self._peers[client.other] = client  # who comes back under its name is the one from now on

    def _lost(self, client: Client) -> None:
        if self._peers.get(client.other) is client:
            del self._peers[client.other]

    def _heard(self, client: Client, parts: list[bytes]) -> None:
        result = self._callback([Part(client.other), *map(Part, parts)])
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(result)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


class Client(Peer):
    """One connection of a client's, which each callback takes first. Any thread may send.

    What the other end takes at once is written by the thread that has something to say: to wake the loop's thread for
    it costs more than to write it. The rest is handed over to the loop, and then what follows, too, so that the order
    stays. `_writing` is held by the thread that writes or hands over.
    """

    KIND: Kind = "ROUTER"

    def __init__(
        self,
        on_message: Callable[[Any, list[bytes]], None],
        on_ready: Callable[[Any], None],
        on_lost: Callable[[Any], None],
    ) -> None:
        super().__init__(self.KIND, lambda parts, size: on_message(self, parts))
        self._on_ready = on_ready
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._writing = threading.Lock()
        self._handed_over = self._taken_over = 0
        """What the loop has been asked to write, and what of it has been given to the transport."""

    @property
    def unsent(self) -> int:
        """The bytes that wait for the other end, but for what the loop has not been given yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def send(self, parts: Sequence[bytes]) -> None:
        """Send a message; see `send_packed`."""
        self.send_packed(packed(parts))

    def send_packed(self, data: bytes) -> None:
        """Write it, or hand over to the loop what the other end does not take at once."""
        with self._writing:
            if self._transport is None:
                return
            if self._handed_over == self._taken_over and not self.unsent:
                with contextlib.suppress(OSError):
                    data = data[self._own.send(data) :]
                if not data:
                    return
            self._handed_over += 1
            self._loop.call_soon_threadsafe(self._write, data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep a socket to write to beside the loop. Called by asyncio."""
        self._own: socket.socket = transport.get_extra_info("socket").dup()
        super().connection_made(transport)

    def become_ready(self) -> None:
        """Name a client that has not given itself a name. Called when the other end is ready."""
        self.other = self.other or uuid.uuid4().bytes
        super().become_ready()
        self._on_ready(self)

    def pause_writing(self) -> None:
        """Go on reading: a host that reads no more calls may still answer some, or interrupt. Called by asyncio."""

    def resume_writing(self) -> None:
        """Go on. Called by asyncio."""

    def connection_lost(self, error: Exception | None) -> None:
        """Tell that it has gone. Called by asyncio."""
        with self._writing:
            super().connection_lost(error)
            self._own.close()
        self._on_lost(self)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
        self._taken_over += 1


async def serve(listening: socket.socket, make: Callable[[], Peer]) -> None:
    """Take every connection, in the running loop."""
    # Not create_unix_server: from Python 3.13 on that looks up the socket's path, which the box need not show.
    await asyncio.get_running_loop().create_server(make, sock=listening)
