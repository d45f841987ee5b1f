"""A real HTTP server on loopback that speaks OpenAI's chat completions and Anthropic's messages.

    with FakeServer(["first reply", Status(429, headers={"Retry-After": "0"}), "second reply"]) as server:
        OpenAIModel("any", ModelOptions(base_url=server.openai_url))
        AnthropicModel("any", ModelOptions(base_url=server.anthropic_url))

The script says what each request in turn gets, whichever protocol it comes in: a `str` is a reply's text. A
function from `Request` to such an item serves requests that come in no certain order.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.providers.items import AGAIN, Cut, Hang, Item, NoChoices, Raw, Status, Text
from tests.providers.protocols import Protocol, protocol_of

__all__ = ["AGAIN", "Cut", "FakeServer", "Hang", "Item", "NoChoices", "Raw", "Request", "Status", "Text"]

HANG_SECONDS = 30.0


@dataclass(frozen=True)
class Request:
    """What a client sent; the names of headers are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The last message's text, in either protocol."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(block["text"] for block in content)


class FakeServer:
    """The server, from ``__enter__`` to ``__exit__``.

    Attributes
    ----------
    requests
        All requests so far.
    waiting, disconnected
        Set when a `Hang` has begun, and when its client has closed the connection.
    """

    def __init__(self, script: Iterable[Item] | Callable[[Request], Item]) -> None:
        self.requests: list[Request] = []
        self.waiting = threading.Event()
        self.disconnected = threading.Event()
        self._function = script if callable(script) else None
        self._items = deque() if callable(script) else deque(script)
        handler = type("Handler", (_Handler,), {"fake": self})
        self._http = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def anthropic_url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def openai_url(self) -> str:
        return f"{self.anthropic_url}/v1"

    def next(self, request: Request) -> Item:
        self.requests.append(request)
        if self._function is not None:
            return self._function(request)
        try:
            return self._items.popleft()
        except IndexError:
            return Status(500, "the fake server's script is used up")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening; may be called twice."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # clients that connect all at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may leave when they like
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = HANG_SECONDS
    fake: FakeServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        protocol = protocol_of(urlsplit(self.path).path)
        if protocol is None:
            self._whole(404, json.dumps({"error": {"message": f"no {self.path}"}}))
            return
        item = self.fake.next(Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        if isinstance(item, str):
            item = Text(item)
        if isinstance(item, Status):
            self._whole(item.code, json.dumps(protocol.error(item)), headers=item.headers)
        elif isinstance(item, Raw):
            self._whole(item.status, item.body, item.content_type)
        elif isinstance(item, Hang):
            self._hang(protocol, item)
        elif isinstance(item, Cut):
            self._cut(protocol, item)
        elif body.get("stream"):
            self._stream(protocol.events(item), delay=getattr(item, "delay", 0.0))
        else:
            self._whole(200, json.dumps(protocol.whole(item)), headers=getattr(item, "headers", None))

    def _whole(
        self, status: int, body: str, kind: str = "application/json", headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body.encode())), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _stream(self, events: Iterable[str], delay: float) -> None:
        self._begin_stream()
        time.sleep(delay)
        for event in events:
            self._chunk(event)
        self._chunk("")

    def _cut(self, protocol: Protocol, item: Cut) -> None:
        self._begin_stream()
        self._chunk(protocol.beginning(item.text))
        if item.polite:
            self._chunk("")
        self.close_connection = True

    def _hang(self, protocol: Protocol, item: Hang) -> None:
        if item.text:
            self._begin_stream()
            self._chunk(protocol.beginning(item.text))
        self.fake.waiting.set()
        try:
            left = self.connection.recv(1) == b""
        except ConnectionResetError:
            left = True
        if left:
            self.fake.disconnected.set()
        self.close_connection = True
