"""What a function of the host's returned becomes JSON, or an error that says what would."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import uuid
from collections import deque
from collections.abc import Iterable, KeysView, Mapping, ValuesView
from collections.abc import Set as AnySet
from typing import Any

from rlm_kernel import wire
from rlm_kernel.host.inputs import frames
from rlm_kernel.host.secret import Secret

MAX_DEPTH = 100
"""How deep lists and dicts may be nested."""

POSSIBLE = "text, numbers, True, False, None, and lists, tuples and dicts of them (with text as keys)"
MORE = "; dataclasses, pydantic models, sets, dates, enums, arrays and DataFrames are converted"


class NotJSONError(ValueError):
    """A value that JSON cannot carry; ``path`` leads to it, innermost step first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []

    def at(self, whole: str) -> str:
        """Return where it is and what is wrong with it."""
        return f"{whole}{''.join(reversed(self.path))[:200]} {self}"


def to_json(value: Any) -> Any:
    """Convert what a tool returned into JSON values.

    Dataclasses, named tuples and pydantic models become dicts, sets and other collections lists, DataFrames lists of
    records (what is missing is null), dates ISO 8601 text, enums their values, decimals, UUIDs and paths text, arrays
    and numpy numbers what their ``tolist`` says.

    Raises
    ------
    NotJSONError
        JSON cannot carry it: no NaN, no bytes, no keys but text, nothing nested deeper than 100 levels.
    """
    return _Converter(convert=True).value(value, 0)


def check_json(value: Any) -> Any:
    """Return a JSON value as it is, tuples as lists; nothing else is converted.

    Raises
    ------
    NotJSONError
        It is no JSON.
    """
    return _Converter(convert=False).value(value, 0)


def dump(value: Any) -> str:
    """Return JSON values as text."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class _Converter:
    def __init__(self, *, convert: bool) -> None:
        self._convert = convert
        self._room = wire.CALL_CHARACTERS

    def value(self, value: Any, depth: int) -> Any:
        if value is None or type(value) in (bool, int, str):
            return self._counted(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise NotJSONError(f"is {value}, and JSON has no such number. Use None instead.")
            return self._counted(float(value))
        if self._convert and isinstance(value, enum.Enum):
            return self.value(value.value, depth)
        if isinstance(value, str):
            return self._counted(str.__str__(value))
        if isinstance(value, int):
            return self._counted(int(value))
        if depth >= MAX_DEPTH:
            raise NotJSONError(f"is nested deeper than {MAX_DEPTH} levels, or holds itself. Make it flat.")
        if isinstance(value, dict):
            return self._dict(value.items(), depth)
        if isinstance(value, list) or type(value) is tuple or (isinstance(value, tuple) and not self._convert):
            return self._list(value, depth)
        if isinstance(value, Secret):
            raise NotJSONError("is a Secret, which has to be an entry of its own.")
        if not self._convert:
            raise _refusal(value, f"Expected {POSSIBLE}.")
        return self._converted(value, depth)

    def _counted(self, value: Any) -> Any:
        """Stop early at what can only become too long."""
        self._room -= len(value) + 2 if isinstance(value, str) else 1
        if self._room < 0:
            raise NotJSONError(f"has more than {wire.CALL_CHARACTERS:,} characters of JSON. Make it smaller.")
        return value

    def _dict(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        fresh: dict[str, Any] = {}
        self._counted(None)
        for key, item in items:
            if not isinstance(key, str):
                raise NotJSONError(f"has the key {repr(key)[:40]} ({type(key).__name__}). Make all keys text.")
            try:
                fresh[self._counted(str.__str__(key))] = self.value(item, depth + 1)
            except NotJSONError as error:
                error.path.append(f"[{key[:40]!r}]")
                raise
        return fresh

    def _list(self, items: Iterable[Any], depth: int) -> list[Any]:
        fresh: list[Any] = []
        self._counted(None)
        for number, item in enumerate(items):
            try:
                fresh.append(self.value(item, depth + 1))
            except NotJSONError as error:
                error.path.append(f"[{number}]")
                raise
        return fresh

    def _converted(self, value: Any, depth: int) -> Any:
        if library := frames.library(value):
            return self._list(_records(value, library), depth)
        if hasattr(value, "model_dump") and hasattr(type(value), "model_fields"):  # pydantic's
            return self.value(value.model_dump(mode="json"), depth + 1)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._dict(((f.name, getattr(value, f.name)) for f in dataclasses.fields(value)), depth)
        if isinstance(value, tuple):
            return self._dict(value._asdict().items(), depth) if hasattr(value, "_asdict") else self._list(value, depth)
        if isinstance(value, Mapping):
            return self._dict(value.items(), depth)
        if isinstance(value, KeysView | AnySet):
            return self._list(_in_order(value), depth)
        if isinstance(value, ValuesView | deque):
            return self._list(value, depth)
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, decimal.Decimal | uuid.UUID | pathlib.PurePath):
            return str(value)
        if callable(to_list := getattr(value, "tolist", None)) and not isinstance(value, type):  # numpy's and others'
            return self.value(to_list(), depth + 1)
        raise _refusal(value, f"Return {POSSIBLE}{MORE}.")


def _refusal(value: Any, advice: str) -> NotJSONError:
    if isinstance(value, bytes | bytearray | memoryview):
        advice = "Decode it to text, or use base64."
    return NotJSONError(f"is of type {type(value).__name__}, which JSON cannot carry. {advice}")


def _in_order(values: Iterable[Any]) -> list[Any]:
    """Sort a set, so that the same set gives the same text; as it comes where its values have no order."""
    items = list(values)
    try:
        return sorted(items)
    except TypeError:
        return items


def _records(frame: Any, library: frames.Library) -> list[dict[Any, Any]]:
    if library == "polars":
        return list(frame.fill_nan(None).to_dicts())
    if not frame.columns.is_unique:
        raise NotJSONError("is a DataFrame with several columns of one name. Give each its own.")
    return list(frame.astype(object).where(frame.notna(), None).to_dict(orient="records"))
