"""What crosses the wall when somebody looks into a live kernel; beside `wire`, which encodes and decodes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LOOKS = 4
"""How many may be under way in a kernel: what never ends is not added to."""


@dataclass(frozen=True, slots=True)
class Look:
    """Ask for the names there are, or for a variable, or a slice of it: its ``value`` as data, or as ``text``."""

    what: Literal["names", "value", "text"]
    name: str = ""
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there, or why it is not shown.

    ``names`` maps the variables that cells have made to types, ``given`` inputs and ``answer``. ``marks`` maps the
    former to texts, each another one when the variable was changed. ``data`` is what `rlm_kernel.data` has written, or
    text. ``inner`` is the type that cannot cross, and ``where`` it is in the value.
    """

    problem: Literal["missing", "no_data", "no_parts", "too_big", "raised", "busy"] | None = None
    type: str = ""
    data: str = ""
    names: dict[str, str] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    length: int = 0
    inner: str = ""
    where: str = ""
