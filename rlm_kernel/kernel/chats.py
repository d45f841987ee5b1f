"""Says what a list of chat messages is: who speaks, and how each message begins."""

from __future__ import annotations

from typing import Any

from rlm_kernel import wire
from rlm_kernel.kernel.shown import NAME_CHARACTERS, brief, some

LOOKED_AT = 10_000
SHOWN_ROLES = 6
EDGE_MESSAGES = 5
MESSAGE_CHARACTERS = 130


def describe_chat(value: list[Any]) -> wire.Loaded | None:
    """Describe messages with a role and a content; ``None`` for what is no chat."""
    looked = some(value, LOOKED_AT)
    if not looked or not all(map(_is_message, looked)):
        return None
    roles = [str(role)[:NAME_CHARACTERS] for role in dict.fromkeys(message["role"] for message in looked)]
    more = f" and {len(roles) - SHOWN_ROLES} more" if len(roles) > SHOWN_ROLES else ""
    characters = sum(_characters(message["content"]) for message in looked)
    part = "" if len(looked) == len(value) else f" in the {len(looked):,} that were looked at"
    line = (
        f"a list: a chat of {len(value):,} message{'s' * (len(value) != 1)} by {', '.join(roles[:SHOWN_ROLES])}{more}"
    )
    return wire.Loaded(
        None, type(value).__name__, len(value), "items", f"{line}, {characters:,} characters{part}", _preview(value)
    )


def _is_message(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("role"), str) and "content" in item


def _characters(content: Any) -> int:
    return sum(len(part) for part in _texts(content))


def _texts(content: Any) -> list[str]:
    """Return the texts of a message: its content, or the parts of it that are text."""
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return [text for text in texts if isinstance(text, str)]


def _preview(messages: list[Any]) -> str:
    size = len(messages)
    shown = [*range(min(size, EDGE_MESSAGES)), *range(max(EDGE_MESSAGES, size - EDGE_MESSAGES), size)]
    lines = [f"[{position}] {_said(messages[position])}" for position in shown]
    if size > len(lines):
        lines.insert(EDGE_MESSAGES, f"... {size - len(lines):,} more ...")
    return "\n".join(lines)


def _said(message: dict[str, Any]) -> str:
    content = message["content"]
    if texts := _texts(content):
        content = texts[0] if len(texts) == 1 else "\n".join(text[:MESSAGE_CHARACTERS] for text in texts[:3])
    return f"{message['role'][:NAME_CHARACTERS]}: {brief(content, MESSAGE_CHARACTERS)}"
