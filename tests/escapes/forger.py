"""Words for attempts on the protocol, run in the box: messages built by hand, signed with any key, sent anywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from IPython.core.getipython import get_ipython
from jupyter_client.session import DELIM, Session

from rlm_kernel import wire
from rlm_kernel.errors import LLMCallError
from rlm_kernel.kernel.bridge import value_of

kernel: Any = get_ipython().kernel  # type: ignore[union-attr]
identity = kernel.bridge._host


def message(
    msg_type: str,
    content: Any,
    *,
    parent: Any = None,
    metadata: Any = None,
    header: Any = None,
    key: bytes | None = None,
    buffers: tuple[bytes, ...] = (),
) -> list[bytes]:
    """Build a signed message. Every part may be bytes, which then stand as they are."""
    session = signing(key or kernel.session.key)
    parts = [
        _bytes(header or session.msg_header(msg_type)),
        _bytes(parent or {}),
        _bytes(metadata or {}),
        _bytes(content),
    ]
    return [DELIM, session.sign(parts), *parts, *buffers]


def to_control(frames: list[bytes]) -> None:
    """Send where sub-calls go."""
    kernel.bridge._outbox.append([*identity, *frames])
    kernel.bridge._loop.call_soon_threadsafe(kernel.bridge._drain)


def to_shell(frames: list[bytes]) -> None:
    """Send where replies go."""
    kernel.shell_stream.send_multipart([*identity, *frames])


def to_iopub(frames: list[bytes]) -> None:
    """Send where outputs go."""
    kernel.iopub_thread.send_multipart([b"forged", *frames])


def asked(content: Any) -> str:
    """Send a call past the REPL's functions, wait, and return its first result; raise what the host says."""
    msg_type = "rlm_tool" if isinstance(content, wire.ToolCall) else "rlm_call"
    return value_of(kernel.bridge.request(msg_type, content)[0])


def whatever(attack: Callable[[], Any]) -> None:
    """Do something, whether or not the host refuses it."""
    with suppress(LLMCallError):
        attack()


def call(prompt: str, call_id: str, cell: str | None = None) -> dict[str, Any]:
    """Return the content of an honest call."""
    return {"id": call_id, "kind": "llm", "prompts": [prompt], "model": None, "cell": cell}


def tool_call(tool: Any, call_id: str, *args: Any) -> dict[str, Any]:
    """Return the content of a tool's call."""
    return {"id": call_id, "tool": tool, "args": args}


def piece(upload: str, text: str, kind: str = "text") -> list[bytes]:
    """Return a piece of an input for a child."""
    return message("rlm_context", {"id": upload, "kind": kind, "text": text})


def own_cell() -> Any:
    """Return the header of the request that runs this cell."""
    return json.loads(json.dumps(kernel.get_parent("shell")["header"], default=str))


@cache
def signing(key: bytes) -> Session:
    """Return what makes headers, with an id for each, and signs."""
    return Session(key=key, signature_scheme=kernel.session.signature_scheme)


def _bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part, default=str).encode()
