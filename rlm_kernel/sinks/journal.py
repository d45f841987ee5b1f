"""The journal: every event of a run as a line of JSON, in a directory of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from rlm_kernel.errors import RLMError
from rlm_kernel.events.codec import from_json, to_json
from rlm_kernel.events.types import Event, RunStarted, TextDelta

EVENTS_FILE = "events.jsonl"
RUN_FILE = "run.json"


class Journal:
    """A sink that appends each event to ``events.jsonl``, and writes what the run is to ``run.json``.

    Raises
    ------
    RLMError
        From any call: the directory cannot be written. A run does not go on without its journal.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._file: IO[str] | None = None

    def __call__(self, event: Event) -> None:
        """Append an event and flush it; pieces of text on their way are not kept."""
        if isinstance(event, TextDelta):
            return
        try:
            if self._file is None:
                self._run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = (self._run_dir / EVENTS_FILE).open("a", encoding="utf-8")
            if isinstance(event, RunStarted):
                (self._run_dir / RUN_FILE).write_text(_run(event), encoding="utf-8")
            self._file.write(to_json(event) + "\n")
            self._file.flush()
        except OSError as error:
            raise RLMError(
                f"The journal {str(self._run_dir)!r} cannot be written: {error.strerror}. "
                "Choose another place with runs_dir= or RLM_RUNS_DIR."
            ) from error

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read(run_dir: str | Path) -> Iterator[Event]:
    """Yield a journal's events; a last line that was cut off in mid-write is left out.

    Raises
    ------
    RLMError
        There is no journal, or a line in its middle is no event.
    """
    path = Path(run_dir, EVENTS_FILE)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise RLMError(f"There is no journal at {str(run_dir)!r}: {error.strerror}.") from error
    for number, line in enumerate(lines[:-1], 1):  # what stands behind the last line end was cut off
        try:
            yield from_json(line)
        except ValueError as error:
            raise RLMError(f"{str(path)!r}, line {number} is damaged: {error}") from error


def default_runs_dir() -> Path:
    """Return where journals go: ``RLM_RUNS_DIR``, else ``rlm/runs`` in Jupyter's data directory."""
    if chosen := os.environ.get("RLM_RUNS_DIR"):
        return Path(chosen).expanduser()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir(), "rlm", "runs")


def _run(event: RunStarted) -> str:
    what = {"run": event.run, "question": event.question, "started": event.time, "version": event.version}
    return json.dumps({**what, "options": event.options}, indent=1)
