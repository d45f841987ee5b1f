"""JSON lines that another program has written, and values out of them that may be anything."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from rlm_kernel.errors import RLMError

Record = dict[str, Any]


def objects(path: str | Path) -> list[tuple[int, Record]]:
    """Return the objects of a file and the numbers of their lines; a last line that was cut off is left out.

    Raises
    ------
    RLMError
        The file cannot be read, is empty, no text, or not made of JSON objects.
    """
    found = list(_objects(Path(path)))
    if not found:
        raise _nothing(path)
    return found


def first(path: str | Path) -> tuple[int, Record]:
    """Return the first object of a file and the number of its line.

    Raises
    ------
    RLMError
        As in `objects`.
    """
    found = next(_objects(Path(path)), None)
    if found is None:
        raise _nothing(path)
    return found


def _nothing(path: str | Path) -> RLMError:
    return RLMError(f"{str(path)!r} holds nothing. Expected a log: one JSON object a line.")


def _objects(path: Path) -> Iterator[tuple[int, Record]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                except (ValueError, RecursionError):
                    if number > 1 and not line.endswith(b"\n"):  # the writer was stopped
                        return
                    raise RLMError(
                        f"{str(path)!r}, line {number}, is not JSON. Expected a log: one JSON object a line."
                    ) from None
                if not isinstance(value, dict):
                    raise RLMError(
                        f"{str(path)!r}, line {number}, is no JSON object. Expected a log of another harness."
                    )
                yield number, value
    except OSError as error:
        raise RLMError(f"The log {str(path)!r} cannot be read: {error.strerror}.") from error


def text(value: Any) -> str:
    """Return a text; what is none as JSON, and nothing as an empty one."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def record(value: Any) -> Record:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def records(value: Any) -> list[Record]:
    """Return the objects of a list, or none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """Return a finite number that is not negative, or ``None``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) and value >= 0 else None
    except OverflowError:
        return None


def count(value: Any) -> int:
    """Return a whole number that is not negative, or 0."""
    return int(number(value) or 0)


def moment(value: Any) -> float | None:
    """Return Unix seconds of an ISO time, taken as this machine's where it names no zone, or of milliseconds."""
    if (milliseconds := number(value)) is not None:
        return milliseconds / 1000
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None
