"""Loads the input: a file that the host put where the box can read it becomes a Python value."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlm_kernel import wire


def load(request: wire.Load) -> Any:
    """Read and decode the file; text keeps its line ends byte for byte.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        The bytes are not text in that encoding, or not JSON.
    """
    data = Path(request.path).read_bytes()
    if request.kind == "json":
        return json.loads(data.decode("utf-8", "surrogatepass"))
    return data.decode(request.encoding, request.errors)


def describe(value: Any) -> wire.Loaded:
    """Say what an input is, without showing it: type, length, unit and one line for the model."""
    kind = type(value).__name__
    if isinstance(value, str):
        return wire.Loaded(None, kind, len(value), "characters", f"a str of {len(value):,} characters")
    if isinstance(value, dict):
        line = f"a dict of {len(value):,} keys, its values {_kinds(value.values())}"
        return wire.Loaded(None, kind, len(value), "keys", line)
    if isinstance(value, list):
        return wire.Loaded(None, kind, len(value), "items", f"a list of {len(value):,} items, {_kinds(value)}")
    return wire.Loaded(None, kind, 1, "value", f"a value of type {kind}")


def _kinds(values: Iterable[Any]) -> str:
    items = list(values)
    if all(isinstance(item, str) for item in items):
        return f"all str, {sum(map(len, items)):,} characters in total"
    return f"of type {', '.join(sorted({type(item).__name__ for item in items}))}"
