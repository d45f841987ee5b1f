"""The names of the model's REPL in a person's own kernel, where they ask models."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import LLMCallError, RLMError
from rlm_kernel.events.types import CellStatus
from rlm_kernel.host import inputs
from rlm_kernel.host.folder import PrivateFolder
from rlm_kernel.host.options import Options
from rlm_kernel.host.own.run import CellRun, Ended, Output
from rlm_kernel.host.resume.again import PreparedInput
from rlm_kernel.host.run import Run

OWN = ("exit", "quit")
"""Names that stay as the person's kernel has them."""


@dataclass
class _Input:
    """An input that was loaded, and its file for the journal once there is one."""

    name: str
    value: Any
    decoding: Mapping[str, Any]
    prepared: PreparedInput | None = None


class OwnRepl:
    """``llm_query``, ``rlm_query``, ``context``, ``answer`` and the others in a person's own kernel.

    Each cell that asks is a run of its own, with its own limits and journal. Whoever runs the cells says where each
    begins and ends.

    Parameters
    ----------
    user_ns
        The kernel's names.
    options
        Returns the options of the next run, as keywords of `rlm_kernel.RLM`; raises `OptionError` to refuse it.
    show
        Called with a cell's run when it has begun; what it returns is called in the main thread while the cell waits,
        and when the run has ended.
    """

    def __init__(
        self,
        user_ns: dict[str, Any],
        options: Callable[[], Mapping[str, Any]],
        show: Callable[[Run], Callable[[], None]],
    ) -> None:
        from rlm_kernel.host.own.asking import Asking
        from rlm_kernel.kernel.namespace import Namespace  # the kernel's side: it is this process that plays it

        self._options = options
        self._show = show
        self._code: str | None = None
        self._run: CellRun | None = None
        self._update: Callable[[], None] | None = None
        self._begins = threading.Lock()
        """Of the threads of a cell, one begins its run."""
        self._inputs: list[_Input] = []
        self._loaded: list[wire.Loaded] = []
        self._folder: PrivateFolder | None = None
        own = {name: user_ns[name] for name in OWN if name in user_ns}
        bridge: Any = Asking(self._begun, self._tick)
        self._names = Namespace(user_ns, bridge)
        user_ns.update(own, context=None)

    def load(self, context: Any, **decoding: Any) -> str:
        """Make an input ``context``, and ``context_N``; return what it is, in a line.

        Parameters
        ----------
        context
            As for `RLM.completion`. A file is read as the model's REPL reads it, anything else stays the object it is.
        decoding
            The options ``encoding``, ``encoding_errors`` and ``context_format``.

        Raises
        ------
        ContextError
            It is empty, cannot be read, or could not cross into a model's REPL.
        """
        from rlm_kernel.kernel.context import describe, load

        given = _Input(f"context_{len(self._inputs)}", context, decoding)
        inputs.check(context, **{name: value for name, value in decoding.items() if name != "encoding_errors"})
        value = context
        if isinstance(context, Path):
            given.prepared = self._prepare(given)
            value = load(given.prepared.load)
        self._inputs.append(given)
        self._loaded.append(describe(value))
        self._names.bind(given.name, value)
        return f"{given.name}: {self._loaded[-1].description}"

    def begin_cell(self, code: str) -> None:
        """Say that a cell begins. Names that are gone come back; those that mean something else by now stay so."""
        self._code = code
        self._names.begin_cell()

    def interrupt(self) -> None:
        """End every call of the cell, in whatever thread it waits. May be called by a signal's handler."""
        if (run := self._run) is not None:
            run.interrupt()

    def end_cell(self, status: CellStatus, outputs: Callable[[], list[Output]], error: str = "") -> None:
        """Say how the cell has ended. If it has asked anything, its run ends with it; ``outputs`` is called then."""
        run, update, self._code, self._run, self._update = self._run, self._update, None, None, None
        if run is not None:
            run.end(Ended(status, outputs(), error, self._names.read()))
        if update is not None:
            update()

    def _begun(self) -> CellRun:
        """Return the cell's run; the first time, begin it."""
        with self._begins:
            if self._run is not None:
                return self._run
            if self._code is None:
                raise LLMCallError("No cell is running, so there is nothing that this call belongs to. Ask in a cell.")
            self._run = run = CellRun(Options.of(**self._options()), self._code, self._loaded, self._prepared)
            try:
                run.begin()
            except RLMError:
                self._run = None
                raise
            self._update = self._show(run)
            return run

    def _tick(self) -> None:
        if self._update is not None and threading.current_thread() is threading.main_thread():
            self._update()

    def _prepared(self) -> list[PreparedInput]:
        """Return the inputs as files that the journal can keep."""
        for given in self._inputs:
            given.prepared = given.prepared or self._prepare(given)
        return [given.prepared for given in self._inputs if given.prepared is not None]

    def _prepare(self, given: _Input) -> PreparedInput:
        if self._folder is None:
            self._folder = PrivateFolder()
            atexit.register(self._folder.remove)
        folder, value = self._folder.path, given.value
        own = isinstance(value, Path)
        shown = {value: str(value.absolute())} if own else {}
        load = inputs.prepare(value, folder, given.name, shown, **given.decoding)
        return PreparedInput(load, Path(load.path) if own else folder / given.name, own)
