"""Writes a list or dict as JSON, a piece at a time: neither the text nor a copy of the items is ever in memory."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
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


def has_text_keys(value: Any) -> bool:
    """Whether every dict in it has only text as keys: JSON would turn 1 into "1" without a word.

    Walks depth first and remembers only where it is; what holds itself is left to the encoder to refuse.
    """
    walks, path, inside = [iter((value,))], [0], {0}
    while walks:
        item = next(walks[-1], None)
        if item is None:
            walks.pop()
            inside.discard(path.pop())
        elif id(item) not in inside:
            if isinstance(item, dict) and not all(issubclass(kind, str) for kind in set(map(type, item))):
                return False
            if containers := _containers(item.values() if isinstance(item, dict) else item):
                walks.append(containers)
                path.append(id(item))
                inside.add(id(item))
    return True


def _containers(values: Collection[Any]) -> Iterator[Any] | None:
    """Return those that hold others; looks at each type once, because most lists are long and flat."""
    kinds = {kind for kind in set(map(type, values)) if issubclass(kind, (dict, list, tuple))}
    return (value for value in values if type(value) in kinds) if kinds else None
