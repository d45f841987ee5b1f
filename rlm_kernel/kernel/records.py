"""Reads JSON, and JSON Lines: one value per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlm_kernel.errors import ContextError
from rlm_kernel.kernel.text import check_text, read_text

AS_TEXT = "context_format='text' loads the file as text."
BYTE_ORDER_MARK = "\ufeff"


def read_json(path: str, encoding: str, errors: str) -> Any:
    """Return the value of a JSON file; a byte order mark is skipped.

    Raises
    ------
    ContextError
        It cannot be decoded, or is not JSON; the text names the line and column.
    """
    text = read_text(path, encoding, errors)
    if text.startswith(BYTE_ORDER_MARK):
        text = text[1:]
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        reason = f"it is not JSON: {error.msg} at line {error.lineno:,}, column {error.colno:,}"
        if error.msg == "Extra data":
            reason += ". If each line is a value of its own, say context_format='jsonl'"
    except (RecursionError, ValueError) as error:
        reason = _limits(error)
    raise ContextError(f"{reason}. {AS_TEXT}")


def read_jsonl(path: str, encoding: str, errors: str) -> list[Any]:
    """Return the values of a file with one per line; empty lines are skipped. The text is never in memory whole.

    Raises
    ------
    ContextError
        It cannot be decoded, has no values, or a line is not JSON; the text names the line.
    """
    values: list[Any] = []
    names: dict[str, str] = {}
    for number, line in enumerate(_lines(path, encoding, errors), 1):
        if not line or line.isspace():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            reason = f"it is not JSON: {error.msg} at column {error.colno:,}"
        except (RecursionError, ValueError) as error:
            reason = _limits(error)
        else:
            if type(value) is dict:  # rows share their names: half the memory, and faster for the caches' sake
                value = {names.setdefault(name, name): item for name, item in value.items()}
            values.append(value)
            continue
        raise ContextError(f"line {number:,} cannot be read: {reason}. {AS_TEXT}")
    if not values:
        raise ContextError(f"it has no values: every line is empty. {AS_TEXT}")
    return values


def _lines(path: str, encoding: str, errors: str) -> Iterator[str]:
    with Path(path).open(encoding=encoding, errors=errors) as file:
        try:
            yield file.readline().removeprefix(BYTE_ORDER_MARK)
            yield from file
        except UnicodeError:
            check_text(path, encoding, errors)  # says which byte
            raise


def _limits(error: Exception) -> str:
    """Say which limit of Python's own reader stopped it."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply for Python's JSON reader (RecursionError)"
    return f"Python's JSON reader refuses it ({error})"
