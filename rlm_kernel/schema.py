"""Checks JSON against a dataclass, field by field. What the wire and the journal have in common."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


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
    for name, hint, required in _fields(cls):  # type: ignore[arg-type]
        if name in content:
            values[name] = _check(content[name], hint, f"{cls.__name__}.{name}")
        elif required:
            raise ValueError(f"{cls.__name__}.{name} is missing.")
    return cls(**values)


@cache
def _fields(cls: type[Any]) -> list[tuple[str, Any, bool]]:
    hints = get_type_hints(cls)
    return [(f.name, hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(cls)]


def _check(value: Any, hint: Any, where: str) -> Any:
    if hint is Any or type(value) is hint:  # exact: a bool is no int here
        return value
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal and isinstance(value, str) and value in args:
        return value
    if origin in (Union, types.UnionType):
        member = next((a for a in args if a is not type(None)), None)
        return None if value is None and type(None) in args else _check(value, member, where)
    if origin in (list, tuple) and isinstance(value, list):
        return origin(_check(item, args[0], where) for item in value)
    if origin is dict and isinstance(value, dict):
        return {_check(k, args[0], where): _check(v, args[1], where) for k, v in value.items()}
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**1000:
        return float(value)
    if origin is Literal:
        raise ValueError(f"{where}: {str(value)[:40]!r} is none of {', '.join(map(repr, args))}.")
    raise ValueError(f"{where}: unexpected {type(value).__name__}.")
