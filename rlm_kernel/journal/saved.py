"""A run on disk, for people: what it was, how it stands, its tree and its exports."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rlm_kernel.errors import RLMError
from rlm_kernel.events.tree import Tree, fold
from rlm_kernel.events.types import Event, RunFinished
from rlm_kernel.journal.reader import last_event, read
from rlm_kernel.journal.writer import EVENTS_FILE, RUN_FILE

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from pandas import DataFrame


class SavedRun:
    """A run on disk. Nothing of it is changed here.

    Parameters
    ----------
    directory
        The run's own, with its ``events.jsonl``.

    Attributes
    ----------
    id
        The run's name: that of its directory.

    Raises
    ------
    RLMError
        There is no journal.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).expanduser().absolute()
        self.id = self.directory.name
        if not (self.directory / EVENTS_FILE).exists():
            raise RLMError(f"There is no journal at {str(directory)!r}: expected a folder with {EVENTS_FILE} in it.")

    @cached_property
    def info(self) -> dict[str, Any]:
        """What ``run.json`` tells: ``run``, ``question``, ``started`` (Unix seconds), ``version``, ``options``."""
        try:
            content = json.loads((self.directory / RUN_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            content = None
        if isinstance(content, dict):
            return content
        tree = self.tree  # the events tell it too
        return {"run": tree.run, "question": tree.question, "started": tree.started, "options": tree.options}

    @property
    def question(self) -> str:
        """What was asked."""
        return str(self.info.get("question", ""))

    @property
    def started(self) -> float:
        """When it began, in Unix seconds."""
        started = self.info.get("started")
        return float(started) if isinstance(started, int | float) else 0.0

    @property
    def forked_from(self) -> str | None:
        """The run whose first turns it has."""
        return self.info.get("forked_from")

    @property
    def is_live(self) -> bool:
        """Whether a process is writing it."""
        try:
            with (self.directory / EVENTS_FILE).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @cached_property
    def last(self) -> Event | None:
        """The last event, without reading the others."""
        return last_event(self.directory)

    @property
    def state(self) -> str:
        """How it stands: ``running``, a stop reason such as ``answered``, or ``interrupted`` when it never ended."""
        if isinstance(self.last, RunFinished):
            return self.last.stop_reason
        return "running" if self.is_live else "interrupted"

    def events(self, *, missing: Literal["raise", "mark"] = "mark") -> Iterator[Event]:
        """Yield its events; see `rlm_kernel.journal.read`."""
        return read(self.directory, missing=missing)

    @cached_property
    def tree(self) -> Tree:
        """How the answer was found."""
        return fold(self.events())

    def export(self, format: str) -> str:  # noqa: A002 - the word that people look for
        """Return the run in another form: ``html``, ``notebook``, ``markdown``, ``viewer`` or ``chat``.

        A page (``html``) also shows what was read of the input, where that is still there.

        Raises
        ------
        OptionError
            There is no such form.
        """
        from rlm_kernel.exports import export

        if format == "html":
            from rlm_kernel.exports.html import to_html
            from rlm_kernel.provenance.for_tree import Reading

            return to_html(self.events(), Reading(self.directory))
        return str(export(self.events(), format))

    def to_notebook(self) -> NotebookNode:
        """Return the run as a notebook of nbformat's; see `rlm_kernel.exports.notebook.to_notebook`."""
        from rlm_kernel.exports.notebook import to_notebook

        return to_notebook(self.events())

    def to_frame(self, of: Any = "calls") -> DataFrame:
        """Return a pandas frame; see `rlm_kernel.exports.frame.to_frame`."""
        from rlm_kernel.exports.frame import to_frame

        return to_frame(self.events(), of=of)

    def __repr__(self) -> str:
        return f"SavedRun({self.id!r}, {self.state})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from rlm_kernel.sinks.html import render, render_text

        return {"text/plain": render_text(self.tree), "text/html": render(self.tree)}
