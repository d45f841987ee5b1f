"""Events as lines of JSON, and back."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, is_dataclass
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
    """Return an event as one line of JSON: a flat object with its ``type``, then its fields.

    JSON has no NaN and no infinities: inside values they become ``null``. The line can be written as UTF-8.
    """
    return encode({"type": event.type, **_values(event)})


def to_content(event: Event) -> dict[str, Any]:
    """Return what `to_json` encodes, as dicts that may be changed."""
    return {"type": event.type, **asdict(event)}


def encode(content: dict[str, Any]) -> str:
    """Return JSON that can be written as UTF-8 and is one line to everybody: what breaks that is escaped."""
    try:
        text = _UTF8.encode(content)
    except ValueError:
        content = _finite(content)
        text = _UTF8.encode(content)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return _ASCII.encode(content)
    return text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029").replace("\x85", "\\u0085")


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
    return from_content(content)


def from_content(content: Any) -> Event:
    """Read an event out of a line's JSON, as `from_json` does."""
    if not isinstance(content, dict):
        raise ValueError(f"not an event, but a JSON {type(content).__name__}: {str(content)[:80]!r}")
    if missing := [name for name in _ALWAYS if name not in content]:
        raise ValueError(f"an event without {', '.join(missing)}: {str(content)[:80]!r}")
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


_UTF8 = json.JSONEncoder(default=_plain, allow_nan=False, ensure_ascii=False)
_ASCII = json.JSONEncoder(default=_plain, allow_nan=False)
"""Made once: `json.dumps` makes one for each call."""


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
