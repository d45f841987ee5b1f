"""Checks JSON against a dataclass, field by field. What the wire and the journal have in common."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Check = Callable[[Any], Any]
"""Returns the value that a field gets, or raises `ValueError`."""


def build(cls: type[T], content: Any) -> T:
    """Build a dataclass from a JSON object; unknown keys are ignored, so that a newer writer can be read.

    Raises
    ------
    ValueError
        A field is missing or of the wrong type; the text names it.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{cls.__name__}: expected an object, got {type(content).__name__}.")
    values: dict[str, Any] = {}
    for name, check, required in _fields(cls):  # type: ignore[arg-type]
        if name in content:
            values[name] = check(content[name])
        elif required:
            raise ValueError(f"{cls.__name__}.{name} is missing.")
    return cls(**values)


@cache
def _fields(cls: type[Any]) -> list[tuple[str, Check, bool]]:
    hints = get_type_hints(cls)
    return [
        (each.name, _check(hints[each.name], f"{cls.__name__}.{each.name}"), _is_required(each)) for each in fields(cls)
    ]


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _check(hint: Any, where: str) -> Check:
    """Return what checks values of a type, made once for each field: every event and message goes through it."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (Union, types.UnionType):
        member = _check(next(each for each in args if each is not types.NoneType), where)
        return member if types.NoneType not in args else lambda value: None if value is None else member(value)
    inner = [_check(each, where) for each in args if each is not Ellipsis] if origin in (list, tuple, dict) else []

    def check(value: Any) -> Any:
        if type(value) is hint:  # exact: a bool is no int here
            return value
        if origin is Literal:
            if isinstance(value, str) and value in args:
                return value
            raise ValueError(f"{where}: {str(value)[:40]!r} is none of {', '.join(map(repr, args))}.")
        if origin in (list, tuple) and isinstance(value, list):
            return origin(map(inner[0], value))
        if origin is dict and isinstance(value, dict):
            return {inner[0](key): inner[1](item) for key, item in value.items()}
        if is_dataclass(hint) and isinstance(hint, type):
            return build(hint, value)
        if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1000:
            return float(value)
        raise ValueError(f"{where}: unexpected {type(value).__name__}.")

    return check
