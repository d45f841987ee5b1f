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
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

HANG_SECONDS = 30.0


@dataclass(frozen=True)
class Text:
    """A good reply; ``usage`` is (input, output) tokens, ``text=None`` is OpenAI's null content."""

    text: str | None
    usage: tuple[int, int] | None = (7, 5)


@dataclass(frozen=True)
class Status:
    """An error in the protocol's own form."""

    code: int
    message: str = "no"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Any body with status 200 unless told otherwise."""

    body: str
    content_type: str = "text/html"
    status: int = 200


@dataclass(frozen=True)
class Cut:
    """A stream that ends in the middle: by a broken connection, or (``polite``) by a proper end of the body."""

    text: str
    polite: bool = False


@dataclass(frozen=True)
class Hang:
    """A reply that never comes, after the piece ``text`` if it is not empty; ends when the client leaves."""

    text: str = ""


@dataclass(frozen=True)
class NoChoices:
    """OpenAI's empty ``choices``."""


Item = str | Text | Status | Raw | Cut | Hang | NoChoices


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
        protocol = {"/v1/chat/completions": OpenAIProtocol, "/v1/messages": AnthropicProtocol}.get(self.path)
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
            self._stream(protocol.events(item))
        else:
            self._whole(200, json.dumps(protocol.whole(item)))

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

    def _stream(self, events: Iterable[str]) -> None:
        self._begin_stream()
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


def halves(text: str) -> Iterator[str]:
    """Two pieces, so that a client must join."""
    yield from filter(None, (text[: len(text) // 2], text[len(text) // 2 :]))


class OpenAIProtocol:
    """Bodies of chat completions."""

    @staticmethod
    def error(item: Status) -> dict[str, Any]:
        return {"error": {"message": item.message, "type": "error", "code": item.code}}

    @staticmethod
    def whole(item: Text | NoChoices) -> dict[str, Any]:
        choices: list[dict[str, Any]] = []
        if isinstance(item, Text):
            message = {"role": "assistant", "content": item.text}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": choices} | (
            OpenAIProtocol._usage(item)
        )

    @classmethod
    def events(cls, item: Text | NoChoices) -> Iterator[str]:
        if isinstance(item, Text):
            for piece in halves(item.text or ""):
                yield cls._chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
            yield cls._chunk([{"index": 0, "delta": {"content": None}, "finish_reason": "stop"}])
        if usage := cls._usage(item):
            yield cls._chunk([], **usage)
        yield "data: [DONE]\n\n"

    @classmethod
    def beginning(cls, text: str) -> str:
        return cls._chunk([{"index": 0, "delta": {"content": text}, "finish_reason": None}])

    @staticmethod
    def _usage(item: Text | NoChoices) -> dict[str, Any]:
        if not isinstance(item, Text) or item.usage is None:
            return {}
        prompt, completion = item.usage
        return {
            "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        }

    @staticmethod
    def _chunk(choices: list[dict[str, Any]], **more: Any) -> str:
        body = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "fake", "choices": choices, **more}
        return f"data: {json.dumps(body)}\n\n"


class AnthropicProtocol:
    """Events of messages; two of the input tokens are reported as read from the cache."""

    @staticmethod
    def error(item: Status) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "api_error", "message": item.message}}

    @classmethod
    def whole(cls, item: Text | NoChoices) -> dict[str, Any]:
        usage = item.usage if isinstance(item, Text) else None
        text = (item.text or "") if isinstance(item, Text) else ""
        content = [{"type": "text", "text": text}] if text else []
        counts = usage and {"input_tokens": usage[0] - 2, "cache_read_input_tokens": 2, "output_tokens": usage[1]}
        return {"id": "1", "type": "message", "role": "assistant", "model": "fake", "content": content} | {
            "stop_reason": "end_turn",
            "usage": counts,
        }

    @classmethod
    def events(cls, item: Text | NoChoices) -> Iterator[str]:
        whole = cls.whole(item)
        usage = whole["usage"]
        begun = usage and {**usage, "output_tokens": 0}
        yield cls._event("message_start", message={**whole, "content": [], "stop_reason": None, "usage": begun})
        text = "".join(block["text"] for block in whole["content"])
        for index, piece in enumerate(halves(text)):  # a block each: a client must join blocks too
            yield from cls._block(index, piece)
        yield cls._event(
            "message_delta",
            delta={"stop_reason": "end_turn"},
            usage=usage and {"output_tokens": usage["output_tokens"]},
        )
        yield cls._event("message_stop")

    @classmethod
    def beginning(cls, text: str) -> str:
        begun = {**cls.whole(Text(None)), "stop_reason": None}
        return cls._event("message_start", message=begun) + "".join(cls._block(0, text))

    @classmethod
    def _block(cls, index: int, text: str) -> Iterator[str]:
        yield cls._event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        yield cls._event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})
        yield cls._event("content_block_stop", index=index)

    @staticmethod
    def _event(kind: str, **body: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n"


Protocol = type[OpenAIProtocol] | type[AnthropicProtocol]
