"""Events as lines of JSON, and back."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from rlm_kernel import schema
from rlm_kernel.events import types
from rlm_kernel.events.types import Event

EVENTS: dict[str, type[Event]] = {
    kind.type: kind
    for kind in vars(types).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}
"""Every event by its ``type``."""

_ALWAYS = ("type", *(field.name for field in fields(Event)))


def to_json(event: Event) -> str:
    """Return an event as one line of ASCII: a flat object with its ``type``, then its fields.

    JSON has no NaN and no infinities: inside values they become ``null``.
    """
    content = {"type": event.type, **_values(event)}
    try:
        return _ENCODER.encode(content)
    except ValueError:
        return _ENCODER.encode(_finite(content))


def from_json(line: str) -> Event:
    """Read an event; unknown fields are ignored, so that a newer writer can be read.

    Raises
    ------
    ValueError
        The line is not JSON, of an unknown type, or a field is missing or wrong.
    """
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}): {line[:80]!r}") from None
    if not isinstance(content, dict):
        raise ValueError(f"not an event, but a JSON {type(content).__name__}: {line[:80]!r}")
    if missing := [name for name in _ALWAYS if name not in content]:
        raise ValueError(f"an event without {', '.join(missing)}: {line[:80]!r}")
    kind = EVENTS.get(content["type"]) if isinstance(content["type"], str) else None
    if kind is None:
        raise ValueError(f"unknown event type {content['type']!r}; this version knows {', '.join(EVENTS)}")
    return schema.build(kind, content)


def _plain(value: Any) -> Any:
    return _values(value) if is_dataclass(value) and not isinstance(value, type) else repr(value)


def _values(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields; the encoder asks again for what is nested."""
    return {name: getattr(value, name) for name in _names(type(value))}  # type: ignore[arg-type]


@cache
def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))


_ENCODER = json.JSONEncoder(default=_plain, allow_nan=False)
"""Made once: `json.dumps` makes one for each call."""


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
