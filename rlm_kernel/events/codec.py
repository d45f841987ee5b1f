"""Events as lines of JSON, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
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


def to_json(event: Event) -> str:
    """Return an event as one line: a flat object with its ``type``, then its fields."""
    return json.dumps({"type": event.type, **asdict(event)}, default=repr)


def from_json(line: str) -> Event:
    """Read an event; unknown fields are ignored, so that a newer writer can be read.

    Raises
    ------
    ValueError
        The line is not JSON, of an unknown type, or a field is missing or wrong.
    """
    content: Any = json.loads(line)
    kind = EVENTS.get(str(content.get("type"))) if isinstance(content, dict) else None
    if kind is None:
        raise ValueError(f"no event: {line[:80]!r}")
    return schema.build(kind, content)
