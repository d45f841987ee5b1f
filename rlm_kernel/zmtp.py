"""A Jupyter channel's connection: ZeroMQ's protocol on an asyncio stream. Host and kernel both speak it with this.

Why not libzmq: it has a thread that every message goes through, and to wake it costs more than to write the message.
And its limit on sizes is for each part of a message, and a message may have any number of parts, which it collects
before anybody sees the first: a kernel could fill the host's memory. This end takes a message only up to its bound,
holds one at a time, and stops reading when it is told to; what waits then waits at the other end. Any other client of
a kernel may be libzmq's.

Source: the ZeroMQ Message Transport Protocol, https://rfc.zeromq.org/spec/23/ (version 3.0, mechanism NULL).
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Literal

GREETING_BYTES = 64
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)

MORE, LONG, COMMAND = 1, 2, 4
PARTS = 64
"""Parts of one message; Jupyter's have six, and a buffer or two."""

UNSENT_BYTES = 64 << 20
"""What may wait for the other end to take it, before this end stops reading."""

Kind = Literal["DEALER", "ROUTER", "SUB", "XPUB"]
OnMessage = Callable[[list[bytes], int], None]
"""Takes a message's parts and its size in bytes."""


class Peer(asyncio.Protocol):
    """One connection. It belongs to the event loop that made it; messages are sent when the other end is ready.

    Parameters
    ----------
    kind
        What this end is. A ``SUB`` subscribes to everything.
    on_message
        Called for each message.
    identity
        What a ROUTER at the other end knows this end by.
    limit
        The longest message, in bytes. A longer one closes the connection.
    on_breach
        Called when a message is beyond its bounds, and the connection closed for that.

    Attributes
    ----------
    other
        The identity that the other end gives itself, once it is ready.
    """

    other = b""

    def __init__(
        self,
        kind: Kind,
        on_message: OnMessage,
        *,
        identity: bytes = b"",
        limit: int = sys.maxsize,
        on_breach: Callable[[], None] = lambda: None,
    ) -> None:
        self._kind = kind
        self._on_message = on_message
        self._identity = identity
        self._limit = limit
        self._on_breach = on_breach
        self._transport: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._size = 0
        self._greeted = self._ready = False
        self._held = self._full = False
        self.drained = asyncio.Event()
        """Set while little waits for the other end to take it."""
        self.drained.set()

    async def connect(self, address: str | tuple[str, int]) -> None:
        """Connect to the path of a unix socket, or to a host and port.

        Raises
        ------
        OSError
            Nobody listens there.
        """
        loop = asyncio.get_running_loop()
        if isinstance(address, str):
            await loop.create_unix_connection(lambda: self, address)
        else:
            await loop.create_connection(lambda: self, *address)

    def send(self, parts: Sequence[bytes]) -> None:
        """Send a message, or keep it until the other end is ready."""
        data = packed(parts)
        if self._ready and self._transport is not None:
            self._transport.write(data)
        else:
            self._waiting.append(data)

    def hold(self, held: bool) -> None:
        """Read nothing more, or go on reading."""
        self._held = held
        self._read_or_not()

    def close(self) -> None:
        """End the connection; what was not sent yet is dropped."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet. Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=UNSENT_BYTES)
        transport.write(GREETING)

    def pause_writing(self) -> None:
        """Stop reading too: who does not take what is sent may ask for nothing more. Called by asyncio."""
        self._full = True
        self.drained.clear()
        self._read_or_not()

    def resume_writing(self) -> None:
        """Go on reading. Called by asyncio."""
        self._full = False
        self.drained.set()
        self._read_or_not()

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection. Called by asyncio."""
        self._transport = None
        self.drained.set()

    def data_received(self, data: bytes) -> None:
        """Take apart what has come. Called by asyncio."""
        buffer: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            buffer = self._buffer
        taken = 0
        while (end := self._take(buffer, taken)) is not None:
            taken = end
        if buffer is data:
            self._buffer += data[taken:]
        else:
            del self._buffer[:taken]

    def _take(self, buffer: bytes | bytearray, begin: int) -> int | None:
        """Handle the greeting or frame that begins there; return its end, or ``None`` when it is not all there."""
        if self._transport is None:
            return None
        if not self._greeted:
            return self._greet(buffer, self._transport)
        head = begin + 2
        if head > len(buffer):
            return None
        flags, length = buffer[begin], buffer[begin + 1]
        if flags & LONG:
            head = begin + 9
            if head > len(buffer):
                return None
            length = int.from_bytes(buffer[begin + 1 : head], "big")
        end = head + length
        if self._size + length > self._limit or len(self._parts) >= PARTS:
            self.close()
            self._on_breach()
            return None
        if end > len(buffer):
            return None
        with memoryview(buffer) as view:
            body = bytes(view[head:end])
        if flags & COMMAND:
            self._command(body)
            return end
        self._parts.append(body)
        self._size += length
        if not flags & MORE:
            parts, size, self._parts, self._size = self._parts, self._size, [], 0
            self._on_message(parts, size)
        return end

    def _greet(self, buffer: bytes | bytearray, transport: asyncio.Transport) -> int | None:
        """Say what this end is, when the other's greeting is there."""
        if len(buffer) < GREETING_BYTES:
            return None
        self._greeted = True
        identity = _property(b"Identity", self._identity) if self._kind == "DEALER" else b""
        ready = b"\5READY" + _property(b"Socket-Type", self._kind.encode()) + identity
        transport.write(_frame(ready, COMMAND))
        return GREETING_BYTES

    def _command(self, body: bytes) -> None:
        if body.startswith(b"\5READY") and not self._ready:
            self.other = _properties(body[6:]).get(b"identity", b"")
            self.become_ready()

    def _read_or_not(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            if self._held or self._full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def become_ready(self) -> None:
        """Send what has waited for the other end. Called when that is ready."""
        assert self._transport is not None
        self._ready = True
        if self._kind == "SUB":
            self._transport.write(_frame(b"\1", 0))  # subscribe to every topic
        self._transport.write(b"".join(self._waiting))
        self._waiting.clear()


def packed(parts: Sequence[bytes]) -> bytes:
    """Return a message as it goes over the connection."""
    last = len(parts) - 1
    return b"".join(_frame(part, MORE if number < last else 0) for number, part in enumerate(parts))


def _frame(body: bytes, flags: int) -> bytes:
    if len(body) > 255:
        return struct.pack(">BQ", flags | LONG, len(body)) + body
    return struct.pack(">BB", flags, len(body)) + body


def _property(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">I", len(value)) + value


def _properties(data: bytes) -> dict[bytes, bytes]:
    """Read what a READY command says of its end; names come in small letters, and what is malformed is left out."""
    found: dict[bytes, bytes] = {}
    while data:
        name, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        length = int.from_bytes(data[:4], "big")
        found[name.lower()], data = data[4 : 4 + length], data[4 + length :]
    return found
