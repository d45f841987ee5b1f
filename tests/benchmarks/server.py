"""One loopback server that speaks OpenAI's chat completions, for both sides. Run as a process of its own.

HTTP is read by hand on one event loop, so that the server costs some tens of microseconds a request and any number of
requests may sleep at once. ``GET /stats`` returns what came since the last such request, and forgets it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.scripts import Script

BACKLOG = 4096
"""Clients that may connect at the same moment."""

END_OF_HEADERS = b"\r\n\r\n"


@dataclass
class Stats:
    """What the server saw. Times are of the system's monotonic clock, which all processes share."""

    requests: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    first: float = 0.0
    last: float = 0.0

    def arrived(self) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.requests += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)


class Server:
    """What the connections share."""

    def __init__(self) -> None:
        self.stats = Stats()

    def take_stats(self) -> dict[str, float]:
        stats, self.stats = self.stats, Stats(in_flight=self.stats.in_flight)
        return asdict(stats)


class Connection(asyncio.Protocol):
    """One client: requests one after the other, each answered when its latency is over."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(END_OF_HEADERS)
        if end < 0:
            return
        begin = end + len(END_OF_HEADERS)
        headers = bytes(self._received[:end])
        length = _content_length(headers)
        if len(self._received) < begin + length:
            return
        body = bytes(self._received[begin : begin + length])
        del self._received[: begin + length]
        self._serve(headers.split(b" ", 2)[1], body)

    def _serve(self, path: bytes, body: bytes) -> None:
        if path.endswith(b"/stats"):
            self._send(200, b"application/json", json.dumps(self._server.take_stats()).encode())
            return
        self._server.stats.arrived()
        request = json.loads(body)
        try:
            script = Script.named(request["model"])
        except ValueError as error:
            self._server.stats.in_flight -= 1
            self._send(404, b"application/json", json.dumps({"error": {"message": str(error)}}).encode())
            return
        reply = script.reply(request["messages"])
        asyncio.get_running_loop().call_later(script.latency, self._reply, reply, bool(request.get("stream")))

    def _reply(self, text: str, stream: bool) -> None:
        self._server.stats.in_flight -= 1
        if stream:
            self._send(200, b"text/event-stream", _events(text))
        else:
            self._send(200, b"application/json", json.dumps(_completion(text)).encode())

    def _send(self, status: int, kind: bytes, body: bytes) -> None:
        if not self._transport.is_closing():
            head = b"HTTP/1.1 %d -\r\nContent-Type: %b\r\nContent-Length: %d" % (status, kind, len(body))
            self._transport.write(head + END_OF_HEADERS + body)


def _content_length(headers: bytes) -> int:
    for line in headers.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def _completion(text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**_body("chat.completion"), "choices": [choice], "usage": USAGE}


def _events(text: str) -> bytes:
    """Write a whole stream: the text, the end, the usage."""
    said = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks: list[dict[str, Any]] = [{"choices": [said]}, {"choices": [ended]}, {"choices": [], "usage": USAGE}]
    bodies = [json.dumps({**_body("chat.completion.chunk"), **chunk}) for chunk in chunks]
    return "".join(f"data: {body}\n\n" for body in [*bodies, "[DONE]"]).encode()


def _body(kind: str) -> dict[str, Any]:
    return {"id": "benchmark", "object": kind, "created": 0, "model": "scripted"}


async def _serve_until_stdin_ends() -> None:
    server = Server()
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, backlog=BACKLOG)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


@contextmanager
def running() -> Iterator[str]:
    """Run the server in a process of its own; its base URL."""
    command = [sys.executable, "-m", "tests.benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve_until_stdin_ends())
