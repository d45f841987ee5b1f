"""What a fake server may serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

AGAIN = {"Retry-After-Ms": "1"}
"""Headers that let an SDK try again at once."""


@dataclass(frozen=True)
class Text:
    """A good reply; ``usage`` is (input, output) tokens, ``text=None`` is OpenAI's null content.

    ``finish`` is in our words, or a protocol's own. ``counts`` go into its usage and ``headers`` with it. A reply in a
    stream begins after ``delay`` seconds.
    """

    text: str | None
    usage: tuple[int, int] | None = (7, 5)
    reasoning: str = ""
    finish: str = "stop"
    delay: float = 0.0
    counts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """An error in the protocol's own form."""

    code: int
    message: str = "no"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Raw:
    """Any body with status 200 unless told otherwise."""

    body: str
    content_type: str = "text/html"
    status: int = 200


@dataclass(frozen=True)
class Cut:
    """A stream that ends in the middle: by a broken connection, or (``polite``) by a proper end of the body."""

    text: str
    polite: bool = False


@dataclass(frozen=True)
class Hang:
    """A reply that never comes, after the piece ``text`` if it is not empty; ends when the client leaves."""

    text: str = ""


@dataclass(frozen=True)
class NoChoices:
    """OpenAI's empty ``choices``."""


Item = str | Text | Status | Raw | Cut | Hang | NoChoices
