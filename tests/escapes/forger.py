"""Words for attempts on the protocol, run in the box: messages built by hand, signed with any key, sent anywhere."""

from __future__ import annotations

import json
from typing import Any

from IPython.core.getipython import get_ipython
from jupyter_client.session import DELIM, Session

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
    session = Session(key=key or kernel.session.key, signature_scheme=kernel.session.signature_scheme)
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
    kernel.bridge._loop.add_callback(kernel.bridge._drain)


def to_shell(frames: list[bytes]) -> None:
    """Send where replies go."""
    kernel.shell_stream.send_multipart([*identity, *frames])


def to_iopub(frames: list[bytes]) -> None:
    """Send where outputs go."""
    kernel.iopub_thread.send_multipart([b"forged", *frames])


def call(prompt: str, call_id: str, cell: str | None = None) -> dict[str, Any]:
    """Return the content of an honest call."""
    return {"id": call_id, "kind": "llm", "prompts": [prompt], "model": None, "cell": cell}


def own_cell() -> Any:
    """Return the header of the request that runs this cell."""
    return json.loads(json.dumps(kernel.get_parent("shell")["header"], default=str))


def _bytes(part: Any) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part, default=str).encode()
