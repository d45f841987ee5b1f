"""Big texts, each once: files that are named by what they hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from rlm_kernel.events.values import Usage

FOLDER = "blobs"
BLOB_CHARACTERS = 4096
"""A longer text is a file of its own."""

Place = list[str | int]
"""Where in an event a text stands: names of fields, keys and numbers of items."""


class Blobs:
    """The folder of a journal's big texts. Names are SHA-256 in hex of the UTF-8."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / FOLDER
        self._known: set[str] = set()

    def put(self, text: str) -> tuple[str, Path | None]:
        """Keep a text; return its name, and its file if that is new.

        Raises
        ------
        OSError
            It cannot be written.
        """
        data = text.encode("utf-8", "surrogatepass")
        name = hashlib.sha256(data).hexdigest()
        if name in self._known:
            return name, None
        file = self._folder / name
        new = not file.exists()
        if new:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part = file.with_suffix(".part")  # whole, or not there: a writer may be killed
            part.write_bytes(data)
            part.replace(file)
        self._known.add(name)
        return name, file if new else None

    def get(self, name: Any) -> str:
        """Return a text.

        Raises
        ------
        ValueError
            It is missing or damaged.
        """
        if not isinstance(name, str) or not re.fullmatch("[0-9a-f]{64}", name):
            raise ValueError(f"{str(name)[:80]!r} is no blob's name")
        try:
            data = (self._folder / name).read_bytes()
        except OSError as error:
            raise ValueError(f"{FOLDER}/{name[:12]}… is missing ({error.strerror})") from None
        if hashlib.sha256(data).hexdigest() != name:
            raise ValueError(f"{FOLDER}/{name[:12]}… is damaged")
        return data.decode("utf-8", "surrogatepass")


def big_texts(event: Any) -> list[tuple[Place, str]]:
    """Return the big texts in an event, or in a value of one, and where they stand."""
    found: list[tuple[Place, str]] = []
    for name in _texts(type(event)):  # type: ignore[arg-type]
        value = getattr(event, name)
        if isinstance(value, str):
            if len(value) > BLOB_CHARACTERS:
                found.append(([name], value))
        elif value:
            found += _nested(value, [name])
    return found


def _nested(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        if len(value) > BLOB_CHARACTERS:
            yield place, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _nested(item, [*place, key])
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _nested(item, [*place, number])
    elif is_dataclass(value):
        for inner, text in big_texts(value):
            yield [*place, *inner], text


@cache
def _texts(cls: Any) -> tuple[str, ...]:
    """Return the names of the fields that may hold big texts."""
    hints = get_type_hints(cls)
    small = (int, float, bool, int | None, float | None, Usage)
    return tuple(f.name for f in fields(cls) if hints[f.name] not in small and get_origin(hints[f.name]) is not Literal)


def put_at(content: Any, place: Place, text: str | None) -> None:
    """Set the text at a place of an event's JSON.

    Raises
    ------
    ValueError
        There is no such place.
    """
    try:
        for step in place[:-1]:
            content = content[step]
        if content[place[-1]] is not None and text is not None:
            raise ValueError("a text stands where a blob should")
        content[place[-1]] = text
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"a blob belongs to nothing: {place}") from error
