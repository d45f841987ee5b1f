"""How big an input is. A file is not read, and of a big value only a sample is looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rlm_kernel.host.estimate import words
from rlm_kernel.host.inputs import frames
from rlm_kernel.host.inputs.formats import kind_of
from rlm_kernel.host.inputs.paths import text_bytes
from rlm_kernel.host.options.context import ContextOptions
from rlm_kernel.host.plain_text import as_text

BYTES_PER_TOKEN = 4
"""Roughly, of text in UTF-8, whatever the language."""
SAMPLE = 4096
"""Items of a list or dict that are looked at, and pieces of a text."""
ROWS = 1024
"""Rows of a frame."""
PIECE = 256
"""Characters of a piece."""
DEEPEST = 100


@dataclass(frozen=True)
class InputSize:
    """How big an input is.

    Attributes
    ----------
    bytes
        As a file. Of values that are not text it is an estimate.
    what
        ``text``, ``JSON``, ``tables`` or ``data``.
    """

    bytes: int
    what: str

    @property
    def tokens(self) -> int | None:
        """Roughly, if a model read all of it: 4 bytes a token; ``None`` for what is no text."""
        return self.bytes // BYTES_PER_TOKEN if self.what in ("text", "JSON") else None

    def __str__(self) -> str:
        known = f"{words.size(self.bytes)} of {self.what}"
        return known if self.tokens is None else f"{known}, {words.tokens(self.tokens)}"


def measure(context: Any, options: ContextOptions) -> InputSize:
    """Measure what `rlm_kernel.host.inputs.check` accepts."""
    if isinstance(context, Path):
        return _of_path(context, options)
    if isinstance(context, str):
        return InputSize(_of_text(context), "text")
    if isinstance(context, bytes | bytearray | memoryview):
        return InputSize(memoryview(context).nbytes, _what(kind_of(None, options.encoding, options.context_format)))
    if frames.library(context):
        return InputSize(_of_frame(context, options), "tables")
    if isinstance(context, Mapping) and all(isinstance(value, str) for value in islice(context.values(), SAMPLE)):
        return InputSize(_of_items(context), "text")  # most likely files
    return InputSize(_of_items(context), "JSON")


def _of_path(path: Path, options: ContextOptions) -> InputSize:
    if path.is_dir():
        return InputSize(text_bytes(path, options.encoding or "utf-8"), "text")
    return InputSize(path.stat().st_size, _what(kind_of(path, options.encoding, options.context_format)))


def _what(kind: str) -> str:
    return {"bytes": "data", "parquet": "tables", "json": "JSON", "jsonl": "JSON"}.get(kind, "text")


def _of_text(text: str) -> int:
    """Return about how many bytes a text has in UTF-8."""
    if text.isascii() or len(text) <= SAMPLE * PIECE:
        return len(text.encode("utf-8", "surrogatepass")) if not text.isascii() else len(text)
    step = len(text) // SAMPLE
    pieces = "".join(text[start : start + PIECE] for start in range(0, len(text), step))
    return len(text) * len(pieces.encode("utf-8", "surrogatepass")) // len(pieces)


def _of_frame(frame: Any, options: ContextOptions) -> int:
    """Return about how many bytes a frame has as text, by some of its rows."""
    step = -(-len(frame) // ROWS)
    with suppress(Exception):  # columns that neither CSV nor JSON can hold; the run says so, if Arrow cannot either
        some = frame[::step]
        return len(as_text(some, options).encode("utf-8", "surrogatepass")) * len(frame) // len(some)
    return frames.size(frame)


def _of_items(value: Collection[Any]) -> int:
    return round(_json_bytes(value, SAMPLE, 0, 0))


def _json_bytes(value: Any, most: int, turn: int, depth: int) -> float:
    """Return about how many bytes a value has as JSON, by at most ``most`` of its items; ``turn`` says which."""
    if isinstance(value, str):
        return len(value) + 2 if value.isascii() else _of_text(value) + 2
    if not isinstance(value, Mapping | list | tuple):
        return len(str(value)) if isinstance(value, int | float) and abs(value) < 1e18 else 4
    count, keyed = len(value), isinstance(value, Mapping)
    if count == 0 or depth > DEEPEST:
        return 2
    step = max(1, -(-count // most))
    items: Any = value.items() if isinstance(value, Mapping) else value
    some = list(islice(items, turn % step, None, step))
    each, total = max(1, most // len(some)), 0.0
    for index, item in enumerate(some):
        key, inner = item if keyed else ("", item)
        total += (len(str(key)) + 4 if keyed else 0) + 2 + _json_bytes(inner, each, index, depth + 1)
    return total * count / len(some)
