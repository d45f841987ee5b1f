"""Takes secret values out of texts, JSON values and events, wherever they have got to."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import mmap
import re
import types
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote, quote_plus

from rlm_kernel.events.types import Event
from rlm_kernel.host.secret import MIN_CHARACTERS

REDACTED = "***"

MAX_DEPTH = 150
"""What is nested deeper is not looked through, and so not shown. The kernel sends nothing deeper than 100."""

BASE64_CHARACTERS = 8
"""Fewer characters of base64 say too little to be told from other text."""

_OURS = {field.name for field in dataclasses.fields(Event)} | {"run", "call"}
"""Fields of events that hold numbers and names that the host has made."""

T = TypeVar("T")
E = TypeVar("E", bound=Event)


class Redactor:
    """Replaces secret values by ``***``.

    A value is found as it is, without white space around it, as Python and JSON escape it in a literal, as it stands in
    a URL, and in base64, alone or as a part of something longer such as ``user:password``. What has been changed in
    another way, or cut in two pieces, is not found: a tool decides itself what it tells of a secret.

    Parameters
    ----------
    values
        The secrets. What has less than 4 characters is ignored.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        plain = {form for value in values for form in (value, value.strip()) if len(form.strip()) >= MIN_CHARACTERS}
        forms = sorted({form for value in plain for form in _forms(value)}, key=len)
        self._signs = [form for number, form in enumerate(forms) if not any(short in form for short in forms[:number])]
        """A text without any of these has none of the forms: `in` looks ten times faster than a regular expression."""
        self._pattern = re.compile("|".join(map(re.escape, reversed(forms))))
        self._numbers = {number for value in plain for number in _numbers(value)}

    def __bool__(self) -> bool:
        return bool(self._signs)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        for sign in self._signs:
            if sign in text:
                return self._pattern.sub(REDACTED, text)
        return text

    def is_in(self, path: Path) -> bool:
        """Whether a file holds a secret.

        Raises
        ------
        OSError
            It cannot be read.
        """
        if not self._signs or path.stat().st_size == 0:
            return False
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(sign.encode("utf-8", "surrogatepass")) >= 0 for sign in self._signs)

    def value(self, value: T) -> T:
        """Return a JSON value, or a dataclass of texts, without secrets; the same object where it has none."""
        return self._value(value, 0) if self._signs else value

    def event(self, event: E) -> E:
        """Return an event without secrets; the same object where it has none."""
        return self._fields(event, 0) if self._signs else event

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int | float):
            return REDACTED if self._numbers and type(value) is not bool and value in self._numbers else value
        if depth >= MAX_DEPTH:
            return REDACTED
        if isinstance(value, dict):
            fresh = {self._value(key, depth): self._value(item, depth + 1) for key, item in value.items()}
            same = len(fresh) == len(value) and all(map(_same, fresh, value, fresh.values(), value.values()))
            return value if same else fresh
        if isinstance(value, list | tuple):
            items = [self._value(item, depth + 1) for item in value]
            same = all(new is old for new, old in zip(items, value, strict=True))
            return value if same else tuple(items) if isinstance(value, tuple) else items
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._fields(value, depth + 1)
        return value

    def _fields(self, value: Any, depth: int) -> Any:
        changes = {}
        for name in _texts(type(value)):  # type: ignore[arg-type]
            old = getattr(value, name)
            new = self._value(old, depth)
            if new is not old:
                changes[name] = new
        return dataclasses.replace(value, **changes) if changes else value


def _same(new_key: Any, old_key: Any, new: Any, old: Any) -> bool:
    return new_key is old_key and new is old


@cache
def _texts(cls: type[Any]) -> tuple[str, ...]:
    """Names of the fields that can hold what somebody has written."""
    hints = get_type_hints(cls)
    return tuple(f.name for f in dataclasses.fields(cls) if f.name not in _OURS and _is_open(hints[f.name]))


def _is_open(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(map(_is_open, get_args(hint)))
    return origin is not Literal and hint not in (int, float, bool, type(None))


def _forms(value: str) -> Iterator[str]:
    """Yield what a value may look like in a text."""
    yield value
    yield repr(value)[1:-1]
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    for escaped in (repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        for offset in range(3):
            yield from _base64(escaped.encode("utf-8", "surrogatepass"), offset)
    data = value.encode("utf-8", "surrogatepass")
    for quoted in (quote(data, ""), quote(data, "/"), quote(data, "!*'()"), quote_plus(data)):
        yield quoted
        yield re.sub(r"%..", lambda match: match[0].lower(), quoted)
    for offset in range(3):
        yield from _base64(data, offset)


def _base64(data: bytes, offset: int) -> Iterator[str]:
    """Yield what base64 makes of data behind ``offset`` other bytes, without the characters it shares with others."""
    encoded = base64.b64encode(bytes(offset) + data).decode()
    piece = encoded[math.ceil(offset * 8 / 6) : (offset + len(data)) * 8 // 6]
    if len(piece) >= BASE64_CHARACTERS:
        yield piece
        yield piece.translate(str.maketrans("+/", "-_"))


def _numbers(value: str) -> Iterator[int | float]:
    """Yield the number that prints as the value, if there is one: a tool may return a PIN as a number."""
    for kind in (int, float):
        try:
            number = kind(value)
            if str(number) == value:
                yield number
        except ValueError:
            pass
