"""Loads the input: a file that the host put where the box can read it becomes a Python value."""

from __future__ import annotations

import json
from collections.abc import Mapping
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
        return wire.Loaded(type=kind, length=len(value), unit="characters", description=f"a str of {len(value):,} characters")
    if isinstance(value, Mapping):
        size = _characters(value.values())
        return wire.Loaded(type=kind, length=len(value), unit="keys", description=f"a dict of {len(value):,} keys, {size}")
    if isinstance(value, list):
        size = _characters(value)
        return wire.Loaded(type=kind, length=len(value), unit="items", description=f"a list of {len(value):,} items, {size}")
    return wire.Loaded(type=kind, length=1, unit="value", description=f"a value of type {kind}")


def _characters(values: Any) -> str:
    items = list(values)
    if all(isinstance(item, str) for item in items):
        return f"all str, {sum(map(len, items)):,} characters in total"
    kinds = sorted({type(item).__name__ for item in items})
    return f"of type {', '.join(kinds[:6])}"
