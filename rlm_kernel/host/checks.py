"""What an option's value may be, said in one line when it is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rlm_kernel.errors import OptionError


@dataclass(frozen=True)
class Number:
    """What a numeric option may be."""

    least: float = 1
    most: float | None = None
    unit: str = ""
    optional: bool = False
    whole: bool = True

    def check(self, name: str, value: Any) -> None:
        """Refuse what is no such number."""
        if value is None and self.optional:
            return
        number = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        fits = number and value >= self.least and (self.most is None or value <= self.most)
        if isinstance(value, bool) or not fits:
            kind = f"a {'whole ' if self.whole else ''}number{self.unit}"
            most = "" if self.most is None else f" and at most {self.most:g}"
            none = ", or None" if self.optional else ""
            raise OptionError(f"{name}={value!r}: expected {kind} of at least {self.least:g}{most}{none}.")


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    """Refuse what is none of the choices, and suggest the nearest."""
    known = list(choices)
    if value not in known:
        raise OptionError(f"{name}={value!r}: expected {' or '.join(known)}.{did_you_mean(value, known)}")


def check_mapping(name: str, value: Any, example: str) -> None:
    """Refuse what is no mapping."""
    if not isinstance(value, Mapping):
        raise OptionError(f"{name}: expected a mapping such as {example}, not {type(value).__name__}.")


def check_text(name: str, value: Any) -> None:
    """Refuse what is neither text nor None."""
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise OptionError(f"{name}={value!r}: expected text, or None.")


def check_function(name: str, value: Any) -> None:
    """Refuse what can be neither called nor None."""
    if value is not None and not callable(value):
        raise OptionError(f"{name}: expected a function, or None, not {type(value).__name__}.")


def did_you_mean(value: Any, known: Iterable[str]) -> str:
    """Return a question that suggests the nearest known name, or nothing."""
    near = difflib.get_close_matches(str(value), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
