"""Shows a little of any value, in bounded time and space: what a preview is made of."""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Collection, Iterable, Sized
from itertools import chain, islice
from statistics import median
from typing import Any

from rlm_kernel.data import type_name

LOOKED_AT = 10_000
"""How many items of a long list decide what is said of all."""
BLOCKS = 50
"""A sample is so many runs of neighbours: every n-th item alone would miss what repeats every n items."""
NAME_CHARACTERS = 40


def printable(text: str) -> str:
    """Escape, as `repr` does, whatever is not seen: controls except newline and tab, directions, lone surrogates."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def brief(value: Any, characters: int) -> str:
    """Return a value's `repr`, shortened within; of objects that are no plain data, only the type."""
    if isinstance(value, str):
        shown = repr(value[:characters])
        if len(value) <= characters and len(shown) <= characters + 2:
            return shown
        return f"{shown[:characters]}... ({len(value):,} characters)"
    text = _BRIEF.repr(value)
    return text if len(text) <= characters else f"{text[:characters]}..."


def at_length(value: Any, characters: int) -> str | None:
    """Return a text, or the `repr` of other plain data, for somebody who wants to read it; ``None`` of other objects.

    No method of the value's own is called, and no more is looked at than can be shown.
    """
    if issubclass(type(value), str):
        text = str.__getitem__(value, slice(characters))
        more = str.__len__(value) - len(text)
        return text if more <= 0 else f"{text}\n... and {more:,} more characters"
    return _Long(characters).repr(value) if type(value) in _PLAIN else None


def sized(value: Any) -> str:
    """Name a value's type and size, or show the value where it is as short."""
    kind = type(value).__name__[:NAME_CHARACTERS]
    units = {str: "characters", bytes: "bytes", list: "items", tuple: "items", dict: "keys"}
    unit = next((unit for base, unit in units.items() if isinstance(value, base)), None)
    if unit is None or (isinstance(value, str) and len(value) <= NAME_CHARACTERS):
        return brief(value, NAME_CHARACTERS)
    return f"{kind} of {len(value):,} {unit}"


def named(names: Iterable[Any], most: int, total: int) -> str:
    """Return the first ``most`` of ``total`` names, as a list in a sentence."""
    shown = [brief(name, NAME_CHARACTERS) for name in islice(names, most)]
    return ", ".join(shown) + (f" and {total - len(shown):,} more" if total > len(shown) else "")


def spread(size: int, most: int, blocks: int = BLOCKS) -> list[slice]:
    """Return the slices of ``most`` out of ``size``: some blocks, evenly spread, with both ends; or one of all."""
    if size <= most:
        return [slice(0, size)]
    length = most // blocks
    starts = [(size - length) * block // (blocks - 1) for block in range(blocks)]
    return [slice(start, start + length) for start in starts]


def some(values: Collection[Any], most: int = LOOKED_AT) -> Collection[Any]:
    """Return all, or at most ``most``: blocks of a list, else the first."""
    if len(values) <= most:
        return values
    if isinstance(values, list):
        return [item for part in spread(len(values), most) for item in values[part]]
    return list(islice(values, most))


def lengths(values: Iterable[Sized]) -> str:
    """Return the smallest, the median and the greatest length."""
    counts = sorted(map(len, values))
    return f"min {counts[0]:,}, median {median(counts):,.0f}, max {counts[-1]:,}"


def fenced(text: str) -> str:
    """Put text between lines of backticks that do not occur in it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


class _Brief(reprlib.Repr):
    """Bounded for plain data of any size: dicts keep their order, and no foreign ``__repr__`` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 3, 12, 6, 6
        self.maxstring = self.maxother = 80

    def repr1(self, x: Any, level: int) -> str:
        if type(x) in (bool, float, type(None)):
            return repr(x)
        if type(x) in _PLAIN:
            return super().repr1(x, level)
        return f"<{type_name(type(x))[:NAME_CHARACTERS]}>"

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        if level <= 0 and x:
            return "{...}"
        pairs = (f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in islice(x.items(), self.maxdict))
        more = [f"... {len(x) - self.maxdict:,} more"] if len(x) > self.maxdict else []
        return "{" + ", ".join(chain(pairs, more)) + "}"

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x) if len(x) <= self.maxother else f"{x[: self.maxother]!r}... ({len(x):,} bytes)"

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < 256 else f"<int of {x.bit_length():,} bits>"


class _Long(_Brief):
    """The same for whoever has asked for it, until so many characters are used up; for one value."""

    def __init__(self, characters: int) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 6, 500, 500, 500
        self.maxstring = self.maxother = 2_000
        self._left = characters

    def repr1(self, x: Any, level: int) -> str:
        self._left -= 2
        if self._left < 0:
            return "..."
        text = super().repr1(x, level)
        if type(x) not in (dict, list, tuple):
            self._left -= len(text)
        return text


_PLAIN = (dict, list, tuple, str, bytes, int, bool, float, type(None))
_BRIEF = _Brief()


def _escaped(character: str) -> str:
    if character in "\n\t" or character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")
