"""Writes a list or dict as JSON, a piece at a time: the whole text is never in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO

PIECE_CHARACTERS = 1 << 20
GROWTH = 8
"""A piece may hold this many times the items of the one before it, so that big items after small ones cost little."""


def write_json(value: Sequence[Any] | Mapping[str, Any], file: BinaryIO) -> None:
    """Write UTF-8; lone surrogates are kept (``surrogatepass``).

    Items go to the encoder in batches of about `PIECE_CHARACTERS`, because `json.dump` would encode each number in
    Python, three times slower.

    Raises
    ------
    TypeError, ValueError, RecursionError
        It holds something that JSON has not, or holds itself.
    """
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    named = isinstance(value, Mapping)
    items = iter(value.items() if isinstance(value, Mapping) else value)
    file.write(b"{" if named else b"[")
    count, separator = 1, ""
    while batch := list(islice(items, count)):
        piece = encode(dict(batch) if named else batch)[1:-1]
        file.write((separator + piece).encode("utf-8", "surrogatepass"))
        count = max(1, min(count * GROWTH, count * PIECE_CHARACTERS // max(len(piece), 1)))
        separator = ", "
    file.write(b"}" if named else b"]")
