"""Plain data as text, for values that leave the box: JSON, and what Python has beside it.

The kernel writes it (`dump`), and no method of the value's own is called: types are looked at as they are, and
subclasses of plain types cross as the plain type. The host reads it (`load`), and believes nothing: JSON is all that is
parsed, each object in it is one of the tags below, and what would take long to build is refused.

    {"dict": {...}}      a dict whose keys are texts
    {"pairs": [[k, v]]}  another dict
    {"tuple": [...]}, {"set": [...]}, {"frozenset": [...]}
    {"bytes": "base64"}, {"float": "nan"}
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

CHARACTERS = 8_000_000
"""The longest text."""
DEPTH = 100
INT_BITS = 10_000
ODD_KEYS = 20_000
"""Keys of dicts and items of sets that are no texts: numbers can be chosen so that they collide in a table."""

_NAME = type.__dict__["__name__"]


class NotData(ValueError):
    """Something in a value is no plain data.

    Attributes
    ----------
    kind
        Its type.
    where
        Where it is in the value, such as ``[3]['name']``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind
        self.where = ""


class TooBig(ValueError):
    """The value's text would be too long."""


def type_name(kind: type) -> str:
    """Return a type's name, without asking its metaclass, which may be anybody's code."""
    return str(_NAME.__get__(kind))


def dump(value: Any) -> str:
    """Write a value as ASCII.

    Raises
    ------
    NotData
        Something in it is no plain data, or too deep.
    TooBig
        The text would have more than `CHARACTERS` characters.
    """
    text = json.dumps(_Packing().pack(value, DEPTH))
    if len(text) > CHARACTERS:
        raise TooBig
    return text


class _Packing:
    """One value on its way out."""

    def __init__(self) -> None:
        self._room = CHARACTERS
        self._odd = ODD_KEYS

    def pack(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return self._spend(4, value)
        if issubclass(kind, str):
            return self._spend(str.__len__(value), str.__str__(value))
        if issubclass(kind, int):
            return self._int(int.__add__(value, 0))
        if issubclass(kind, float):
            number = float.__pos__(value)
            return self._spend(3, number if math.isfinite(number) else {"float": repr(number)})
        if issubclass(kind, bytes | bytearray):
            self._spend(len(memoryview(value)), None)
            return {"bytes": base64.b64encode(memoryview(value)).decode()}
        if depth == 0 and issubclass(kind, list | tuple | set | frozenset | dict):
            raise NotData(f"{type_name(kind)} in more than {DEPTH} others")
        if issubclass(kind, list):
            return self._items(self._copied(list, value), depth)
        if issubclass(kind, tuple):
            return {"tuple": self._items(self._copied(tuple, value), depth)}
        if issubclass(kind, set):
            return {"set": self._keys(self._copied(set, value), depth)}
        if issubclass(kind, frozenset):
            return {"frozenset": self._keys(self._copied(frozenset, value), depth)}
        if issubclass(kind, dict):
            return self._dict(value, depth)
        raise NotData(type_name(kind))

    def _int(self, number: int) -> int:
        if number.bit_length() > INT_BITS:
            raise NotData(f"int of {number.bit_length():,} bits")
        return int(self._spend(1 + number.bit_length() // 4, number))

    def _dict(self, value: Any, depth: int) -> Any:
        self._spend(3 * dict.__len__(value), None)
        pairs = list(dict.items(value))  # at once: a cell may change it meanwhile
        if all(issubclass(type(key), str) for key, _ in pairs):
            return {"dict": {self.pack(key, depth): self._within(key, each, depth) for key, each in pairs}}
        keys = self._keys([key for key, _ in pairs], depth)
        values = [self._within(key, each, depth) for key, each in pairs]
        return {"pairs": [list(pair) for pair in zip(keys, values, strict=True)]}

    def _items(self, values: list[Any], depth: int) -> list[Any]:
        return [self._within(number, each, depth) for number, each in enumerate(values)]

    def _keys(self, values: list[Any], depth: int) -> list[Any]:
        self._odd -= sum(not issubclass(type(each), str | bytes) for each in values)
        if self._odd < 0:
            raise TooBig
        return [self.pack(each, depth - 1) for each in values]

    def _within(self, key: Any, value: Any, depth: int) -> Any:
        try:
            return self.pack(value, depth - 1)
        except NotData as error:
            shown = repr(key)[:40] if type(key) in (str, int) else "..."
            error.where = f"[{shown}]{error.where}"[:200]
            raise

    def _copied(self, base: Any, value: Any) -> list[Any]:
        self._spend(2 * base.__len__(value), None)
        return list(base.__iter__(value))

    def _spend(self, characters: int, result: Any) -> Any:
        self._room -= characters
        if self._room < 0:
            raise TooBig
        return result


def load(text: str) -> Any:
    """Read what `dump` has written, or what a hostile kernel has.

    Raises
    ------
    ValueError
        It is nothing of the kind.
    """
    if len(text) > CHARACTERS:
        raise ValueError(f"more than {CHARACTERS:,} characters")
    try:
        return _Unpacking().unpack(json.loads(text, parse_constant=_no_constant), DEPTH)
    except (TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__} in a value") from None


class _Unpacking:
    """One value on its way in."""

    def __init__(self) -> None:
        self._odd = ODD_KEYS

    def unpack(self, value: Any, depth: int) -> Any:
        if depth < 0:
            raise ValueError("a value that is too deep")
        if isinstance(value, list):
            return [self.unpack(each, depth - 1) for each in value]
        if not isinstance(value, dict):
            return value
        ((tag, content),) = value.items()
        match tag, content:
            case "dict", dict():
                return {key: self.unpack(each, depth - 1) for key, each in content.items()}
            case "pairs", list():
                keys = self._keys([key for key, _ in content], depth)
                return dict(zip(keys, (self.unpack(each, depth - 1) for _, each in content), strict=True))
            case "tuple", list():
                return tuple(self.unpack(content, depth))
            case "set", list():
                return set(self._keys(content, depth))
            case "frozenset", list():
                return frozenset(self._keys(content, depth))
            case "bytes", str():
                return base64.b64decode(content, validate=True)
            case "float", "nan" | "inf" | "-inf":
                return float(content)
        raise ValueError("an unknown kind of value")

    def _keys(self, values: list[Any], depth: int) -> list[Any]:
        keys = [self.unpack(each, depth - 1) for each in values]
        self._odd -= sum(not isinstance(each, str | bytes) for each in keys)
        if self._odd < 0:
            raise ValueError(f"more than {ODD_KEYS:,} keys that are no texts")
        return keys


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
