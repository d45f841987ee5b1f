"""Jupyter messages as both ends of the wall write and read them: the protocol's, and no more work than it needs."""

from __future__ import annotations

import json
from hmac import compare_digest
from typing import Any

from jupyter_client.jsonutil import json_clean, json_default
from jupyter_client.session import Session

_UTF8 = json.JSONEncoder(default=json_default, ensure_ascii=False, allow_nan=False)
"""Made once: `json.dumps` makes one for each call."""


def pack(value: Any) -> bytes:
    """Return JSON as UTF-8.

    Jupyter's own packer raises on a lone surrogate, which UTF-8 cannot hold, and then the message is lost: a model's
    reply, a file's name or a cell's error may have one. Escaped, it crosses.
    """
    if value == {}:  # two parts of most messages
        return b"{}"
    try:
        return _UTF8.encode(value).encode()
    except (TypeError, ValueError):
        return json.dumps(json_clean(value), default=json_default, allow_nan=False).encode()


class Messages(Session):
    """Makes, signs and checks messages.

    Half the time of a stock session goes into dates, which nobody here asks for (they stay text), and into packing the
    same parent's header again for each message of a cell.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pack = pack
        self._parent: tuple[Any, bytes] = (None, b"{}")

    def serialize(self, msg: dict[str, Any], ident: list[bytes] | bytes | None = None) -> list[bytes]:
        """Return a message's parts, signed; see `Session.serialize`."""
        parent = self._parent
        if parent[0] is not msg["parent_header"]:
            parent = self._parent = (msg["parent_header"], pack(msg["parent_header"]))
        parts = [pack(msg["header"]), parent[1], pack(msg["metadata"]), pack(msg["content"])]
        identities = [] if ident is None else [ident] if isinstance(ident, bytes) else ident
        return [*identities, b"<IDS|MSG>", self.sign(parts), *parts]

    def deserialize(self, msg_list: list[Any], content: bool = True, copy: bool = True) -> dict[str, Any]:
        """Check a message's signature, which counts once, and return it; see `Session.deserialize`.

        Raises
        ------
        ValueError, TypeError, KeyError
            It is not signed with the key, has come before, or is no message.
        """
        signature, *parts = msg_list[:5] if copy else [part.bytes for part in msg_list[:5]]
        if self.auth is not None:
            if signature in self.digest_history or not compare_digest(signature, self.sign(parts)):
                raise ValueError("The signature is not one of this key's, or has come before.")
            if content:
                self._add_digest(signature)
        header, parent, metadata, body = ({} if part == b"{}" else self.unpack(part) for part in parts)
        return {
            "header": header,
            "msg_id": header["msg_id"],
            "msg_type": header["msg_type"],
            "parent_header": parent,
            "metadata": metadata,
            "content": body if content else parts[3],
            "buffers": [part if copy else part.buffer for part in msg_list[5:]],
        }
