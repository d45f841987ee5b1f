"""Reads a journal, whatever happened to its writer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from rlm_kernel.errors import RLMError
from rlm_kernel.events.codec import from_content
from rlm_kernel.events.types import SCHEMA_VERSION, Event
from rlm_kernel.journal import versions
from rlm_kernel.journal.blobs import Blobs, put_at
from rlm_kernel.journal.writer import BLOBS_KEY, EVENTS_FILE


def read(run_dir: str | Path, *, missing: Literal["raise", "mark"] = "mark") -> Iterator[Event]:
    """Yield a journal's events; a last line that was cut off in mid-write is left out.

    Parameters
    ----------
    run_dir
        The run's directory. A live process may still write to it.
    missing
        What becomes of a big text whose file is missing or damaged: an error, or a text that says so.

    Raises
    ------
    RLMError
        There is no journal; it is not ours, or newer than this program; or a line in its middle is no event.
    """
    folder = Path(run_dir).expanduser()
    path, blobs, version = folder / EVENTS_FILE, Blobs(folder), SCHEMA_VERSION
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):  # it was cut off, and is the last
                    return
                content = _content(line, f"{str(path)!r}, line {number}")
                if number == 1:
                    version = _version(content, str(folder))
                try:
                    for place, name in content.pop(BLOBS_KEY, ()):
                        put_at(content, place, _text(blobs, name, missing))
                    yield from_content(versions.upgraded(content, version))
                except (ValueError, TypeError) as error:
                    raise RLMError(f"{str(path)!r}, line {number} is damaged: {error}.") from error
    except OSError as error:
        raise RLMError(f"There is no journal at {str(run_dir)!r}: {error.strerror}.") from error


def last_event(run_dir: Path) -> Event | None:
    """Return the last whole event of a journal, without reading the others; ``None`` where there is none."""
    try:
        with (run_dir / EVENTS_FILE).open("rb") as file:
            end, tail = file.seek(0, 2), b""
            while end > 0 and tail.rstrip(b"\n").count(b"\n") < 2:
                start = max(0, end - 65_536)
                file.seek(start)
                tail, end = file.read(end - start) + tail, start
        lines = tail[: tail.rfind(b"\n") + 1].splitlines()
        content = json.loads(lines[-1])
        content.pop(BLOBS_KEY, None)
        return from_content(content)
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _content(line: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise RLMError(f"{where} is damaged: not JSON ({error}).") from error
    if not isinstance(content, dict):
        raise RLMError(f"{where} is damaged: not an event, but a JSON {type(content).__name__}.")
    return content


def _version(content: dict[str, Any], where: str) -> int:
    """Return the version that a journal's first line tells; a journal may begin with any event."""
    return versions.check(content["version"], f"{where!r}") if "version" in content else SCHEMA_VERSION


def _text(blobs: Blobs, name: str, missing: str) -> str:
    try:
        return blobs.get(name)
    except ValueError as error:
        if missing == "raise" or not isinstance(name, str):
            raise
        return f"[This text is not there any more: {error}.]"
