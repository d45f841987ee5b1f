"""The journal: every event of a run as a line of JSON, in a directory of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path

from rlm_kernel.errors import RLMError
from rlm_kernel.events.codec import from_json, to_json
from rlm_kernel.events.types import Event, RunStarted, TextDelta

EVENTS_FILE = "events.jsonl"
RUN_FILE = "run.json"


class Journal:
    """A sink that appends each event to ``events.jsonl``, and writes what the run is to ``run.json``.

    Owned by the run's event loop. An event is in the file when the call returns.

    Raises
    ------
    RLMError
        From any call: the directory cannot be written. A run does not go on without its journal.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._file: BufferedRandom | None = None

    def __call__(self, event: Event) -> None:
        """Append an event and flush it; pieces of text on their way are not kept."""
        if isinstance(event, TextDelta):
            return
        try:
            if self._file is None:
                self._file = self._open()
            if isinstance(event, RunStarted):
                (self._run_dir / RUN_FILE).write_text(_run(event), encoding="utf-8")
            self._file.write(to_json(event).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise RLMError(
                f"The journal {str(self._run_dir)!r} cannot be written: {error.strerror}. "
                "Choose another place with runs_dir= or RLM_RUNS_DIR."
            ) from error

    def _open(self) -> BufferedRandom:
        self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (self._run_dir / EVENTS_FILE).open("a+b")
        _drop_cut_line(file)
        return file

    def close(self) -> None:
        """Close the file. Safe to call twice, and after a failure."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what could not be written has been told by the call that wrote it
                file.close()


def read(run_dir: str | Path) -> Iterator[Event]:
    """Yield a journal's events; a last line that was cut off in mid-write is left out.

    Raises
    ------
    RLMError
        There is no journal, or a line in its middle is no event.
    """
    path = Path(run_dir, EVENTS_FILE)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.endswith(b"\n"):  # else it was cut off, and is the last
                    yield _event(line, f"{str(path)!r}, line {number}")
    except OSError as error:
        raise RLMError(f"There is no journal at {str(run_dir)!r}: {error.strerror}.") from error


def default_runs_dir() -> Path:
    """Return where journals go: ``RLM_RUNS_DIR``, else ``rlm/runs`` in Jupyter's data directory."""
    if chosen := os.environ.get("RLM_RUNS_DIR"):
        return Path(chosen).expanduser()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir(), "rlm", "runs")


def _event(line: bytes, where: str) -> Event:
    try:
        return from_json(line.decode())
    except ValueError as error:
        raise RLMError(f"{where} is damaged: {error}.") from error


def _drop_cut_line(file: BufferedRandom) -> None:
    """Remove what a writer that was killed left behind the last line end, so that the next line is a line."""
    end = start = file.seek(0, os.SEEK_END)
    while start > 0:
        before = max(0, start - 65_536)
        file.seek(before)
        if (newline := file.read(start - before).rfind(b"\n")) >= 0:
            start = before + newline + 1
            break
        start = before
    if start < end:
        file.truncate(start)


def _run(event: RunStarted) -> str:
    what = {"run": event.run, "question": event.question, "started": event.time, "version": event.version}
    return json.dumps({**what, "options": event.options}, indent=1)
