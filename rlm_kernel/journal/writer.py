"""Appends every event of a run to its journal: whole lines, on the disk before what was paid for is used."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from rlm_kernel.errors import RLMError
from rlm_kernel.events.codec import encode, to_content, to_json
from rlm_kernel.events.types import Event, RunFinished, RunResumed, RunStarted, TextDelta
from rlm_kernel.journal import figures
from rlm_kernel.journal.blobs import Blobs, big_texts, put_at

EVENTS_FILE = "events.jsonl"
RUN_FILE = "run.json"
LOCK_PAUSES = (0.001, 0.01, 0.1)
"""Seconds between tries for the lock: who looks whether a run is live has it for a moment."""
BLOBS_KEY = "blobs"
"""In a line: the places of its big texts, each with its blob's name."""


class Journal:
    """A sink that appends each event to ``events.jsonl``, and writes what the run is to ``run.json``.

    Owned by the run's event loop. An event is in the file when the call returns, where the end of the process cannot
    harm it, and on the disk after `commit`. One process writes at a time.

    Raises
    ------
    RLMError
        From any call: the directory cannot be written, or another process writes to it. A run does not go on without
        its journal. What could not be written is tried again by the next call, and by `close`.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._blobs = Blobs(run_dir)
        self._counting = figures.Counting()
        self._file: FileIO | None = None
        self._unwritten = b""
        self._new_blobs: list[Path] = []
        self._end = 0
        """Of the file's whole lines."""

    def __call__(self, event: Event) -> None:
        """Append an event; pieces of text on their way are not kept."""
        if isinstance(event, TextDelta):
            return
        try:
            file = self.open()
            if isinstance(event, RunStarted | RunResumed):
                self._describe(event)
            self._unwritten += self._line(event)
            self._write(file)
        except OSError as error:
            raise self._failure(error) from error
        self._counting.apply(event)
        if isinstance(event, RunFinished):
            self._sum_up(event)

    def open(self) -> FileIO:
        """Take the journal for writing; what a writer that was killed left behind the last line is dropped."""
        if self._file is None:
            try:
                self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = (self.run_dir / EVENTS_FILE).open("a+b", buffering=0)
                try:
                    _lock(file)
                    self._end = _drop_cut_line(file)
                except BaseException:
                    file.close()
                    raise
            except BlockingIOError:
                raise RLMError(
                    f"The run {self.run_dir.name} is being written by another process. Nothing was changed: wait for "
                    "its end, stop it, or fork the run."
                ) from None
            except OSError as error:
                raise self._failure(error) from error
            self._file = file
        return self._file

    async def commit(self) -> None:
        """Wait until all that was written is on the disk. The bus calls this once for all that wait."""
        if self._file is None:
            return
        blobs, self._new_blobs = self._new_blobs, []
        try:
            copy = os.dup(self._file.fileno())  # the journal may be closed meanwhile
            await asyncio.to_thread(_to_disk, copy, blobs)
        except OSError as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file. Safe to call twice, and after a failure."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what could not be written has been told by the call that wrote it
                self._write(file)
            with suppress(OSError):
                file.close()

    def _line(self, event: Event) -> bytes:
        """Return an event's line, its big texts in files of their own."""
        found = big_texts(event)
        if not found:
            return to_json(event).encode() + b"\n"
        content, names = to_content(event), []
        for place, text in found:
            name, file = self._blobs.put(text)
            names.append((place, name))
            put_at(content, place, None)
            if file is not None:
                self._new_blobs.append(file)
        return encode({**content, BLOBS_KEY: names}).encode() + b"\n"

    def _write(self, file: FileIO) -> None:
        """Write whole lines only: what a full disk has taken of one is taken back."""
        data = self._unwritten
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            with suppress(OSError):
                file.truncate(self._end)
            raise
        self._end += len(self._unwritten)
        self._unwritten = b""

    def _describe(self, event: RunStarted | RunResumed) -> None:
        """Write ``run.json``, whole or not at all."""
        if isinstance(event, RunStarted):
            what = {"run": event.run, "question": event.question, "started": event.time, "version": event.version}
        else:
            what = _described(self.run_dir / RUN_FILE)
            before = figures.Figures.from_json(what.pop(figures.KEY, None))
            self._counting = figures.Counting(None if before is None else before.input_bytes)
            what |= {"run": event.run, "resumed": event.time}
            if event.question is not None:
                what |= {"question": event.question}
            if event.forked_from is not None:
                what |= {"forked_from": event.forked_from, "turns": event.turns}
        self._write_description({**what, "options": event.options})

    def _sum_up(self, event: RunFinished) -> None:
        """Add to ``run.json`` what the run came to. The events tell it too, so where that fails nothing is lost."""
        if what := _described(self.run_dir / RUN_FILE):
            with suppress(OSError):
                self._write_description(what | {figures.KEY: self._counting.figures(event).to_json()})

    def _write_description(self, what: dict[str, Any]) -> None:
        file = self.run_dir / RUN_FILE
        part = file.with_suffix(".part")
        with part.open("w", encoding="utf-8") as opened:
            json.dump(what, opened, indent=1)
            opened.flush()
            os.fsync(opened.fileno())
        part.replace(file)

    def _failure(self, error: OSError) -> RLMError:
        return RLMError(
            f"The journal {str(self.run_dir)!r} cannot be written: {error.strerror}. "
            "What is in it stays. Make room, or choose another place with runs_dir= or RLM_RUNS_DIR."
        )


def _described(file: Path) -> dict[str, Any]:
    """Return what ``run.json`` says; nothing where it is missing or damaged: the events say it too."""
    try:
        what = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return what if isinstance(what, dict) else {}


def _to_disk(descriptor: int, blobs: list[Path]) -> None:
    """Wait until files are on the disk: what lines refer to first."""
    try:
        for path in blobs:
            with path.open("rb") as blob:
                os.fsync(blob.fileno())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(file: FileIO) -> None:
    for pause in (*LOCK_PAUSES, None):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if pause is None:
                raise
            time.sleep(pause)


def _drop_cut_line(file: FileIO) -> int:
    """Remove what stands behind the last line end, so that the next line is a line; return the file's length."""
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
    return start
