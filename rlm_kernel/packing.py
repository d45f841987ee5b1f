"""How both ends of the wall turn a Jupyter message into bytes: as Jupyter does, and any text there is."""

from __future__ import annotations

import json
from typing import Any

from jupyter_client.jsonutil import json_clean, json_default
from jupyter_client.session import json_packer


def pack(value: Any) -> bytes:
    """Return JSON as UTF-8.

    Jupyter's own packer raises on a lone surrogate, which UTF-8 cannot hold, and then the message is lost: a model's
    reply, a file's name or a cell's error may have one. Escaped, it crosses.
    """
    try:
        packed: bytes = json_packer(value)
    except UnicodeEncodeError:
        packed = json.dumps(json_clean(value), default=json_default, allow_nan=False).encode()
    return packed
