"""Finds what in a list or dict cannot cross as JSON, and says what to pass instead."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from rlm_kernel.host.inputs import frames

PLACE_CHARACTERS = 200
"""A place that is nested deeper is named by its beginning."""


def explain(value: Any) -> str | None:
    """Say where the first thing that JSON has not is, and what to do; ``None`` when there is none."""
    walks, seen = [_children("context", value)], {id(value)}
    while walks:
        place, item = next(walks[-1], (None, None))
        if place is None:
            walks.pop()
        elif isinstance(item, dict | list | tuple):
            if id(item) not in seen:
                seen.add(id(item))
                walks.append(_children(place, item))
        elif not _is_json(item):
            return f"{place} is {_what(item)}. {_instead(item)}"
    return None


def frame_in(items: Collection[Any]) -> Any | None:
    """Return the first frame directly among items; looks at each type once."""
    classes = tuple(kind for kind in set(map(type, items)) if frames.is_frame_type(kind))
    return next((item for item in items if type(item) in classes), None) if classes else None


def _children(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
    return ((_cut(f"{place}[{key!r}]"), item) for key, item in pairs)


def _cut(place: str) -> str:
    return place if len(place) <= PLACE_CHARACTERS else f"{place[:PLACE_CHARACTERS]}..."


def _is_json(item: Any) -> bool:
    if isinstance(item, float):
        return math.isfinite(item)
    return item is None or isinstance(item, str | int)


def _what(item: Any) -> str:
    return repr(item) if isinstance(item, float) else f"of type {type(item).__name__}"


def _instead(item: Any) -> str:
    if isinstance(item, float):
        return "JSON has no such number: pass None, or its text."
    if frames.library(item):
        rows = "to_dict('records')" if frames.library(item) == "pandas" else "to_dicts()"
        return f"A DataFrame crosses only by itself: join several into one, or pass each as frame.{rows}."
    if isinstance(item, bytes | bytearray | memoryview):
        return "Decode bytes to str first."
    if isinstance(item, set | frozenset):
        return "Make it a list first."
    if isinstance(item, PurePath):
        return "Pass from_paths([...]) to have files read."
    if type(item).__module__.partition(".")[0] == "numpy":
        return "Call its tolist() first."
    return "Pass text, numbers, lists and dicts of them."
