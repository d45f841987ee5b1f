"""How both ends of the wall turn a Jupyter message into bytes: as Jupyter does, and any text there is."""

from __future__ import annotations

import json
from typing import Any

from jupyter_client.jsonutil import json_clean, json_default

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
