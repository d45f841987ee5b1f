"""JSON lines that every reader takes: strict ones refuse NaN and halves of surrogate pairs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from rlm_kernel.exports.markup import encodable

_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
"""Line ends to some readers, which JSON does not escape."""


def json_lines(values: Iterable[Any]) -> str:
    """Return values as lines of JSON: NaN and infinities as ``null``, halves of surrogate pairs as U+FFFD."""
    return "".join(f"{_line(value)}\n" for value in values)


def _line(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    return encodable(text).translate(_LINE_ENDS)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
