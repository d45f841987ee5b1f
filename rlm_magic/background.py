"""Runs that go on while other cells run: ``%%rlm --background``, and ``%rlm_stop``."""

from __future__ import annotations

import contextvars
import copy
import sys
import threading
from argparse import Namespace
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TextIO

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from rlm_kernel import Approver, Completion, RLMError, Run
from rlm_kernel.sinks.text import line as one_line
from rlm_kernel.sinks.text import plain
from rlm_magic.display import watch_from_thread
from rlm_magic.names import NAMES

ANSWER_CHARACTERS = 200
"""How much of an answer is shown where there is no tree."""


def check(arguments: Namespace, *, notebook: bool) -> None:
    """Refuse what cannot be done in the background, before anything is begun.

    Raises
    ------
    UsageError
        In one line.
    """
    if arguments.vs_plain is not None:
        raise UsageError("--vs-plain compares when the run has ended. Leave it out, or --background.")
    if arguments.approve and not (notebook and find_spec("anywidget")):
        raise UsageError("--approve with --background needs the form of a notebook with widgets. Leave one out.")


def kept(context: Any) -> Any:
    """Return an input as it is now: the cells that run meanwhile may change a list, a dict or a frame."""
    try:
        return copy.deepcopy(context)
    except Exception:  # then it is no input either, and is refused in its own words
        return context


class BackgroundRun:
    """A run with the thread that shows it, and that fills its names in the end.

    Parameters
    ----------
    run
        It has not been started.
    shell
        IPython's.
    arguments
        What stood on the line.
    approver
        Who approves its cells.
    """

    def __init__(self, run: Run, shell: Any, arguments: Namespace, approver: Approver | None) -> None:
        self.run = run
        self._namespace: dict[str, Any] = shell.user_ns
        self._into, self._result, self._quiet = arguments.into, arguments.result, arguments.quiet
        self._notebook = hasattr(shell, "kernel")
        self._taken: list[str] = []
        """Names that a newer run has."""
        shown = self._notebook and not self._quiet
        self._follow = watch_from_thread(run, shown=shown, approver=approver)
        NAMES.promise(run, self._namespace, self._into, self._result)
        run.when_done(self._fill)

    def begin(self, when_done: Callable[[], object]) -> None:
        """Start the run, follow it in a thread, with its outputs in this cell, and return at once."""
        self.run.start()
        if not self._notebook:
            name = self.run.id
            _say(f"The run {name} goes on. %rlm_show {name} shows its tree, %rlm_stop {name} stops it.")
        context = contextvars.copy_context()  # ipykernel keeps in it which cell an output belongs to
        thread = threading.Thread(target=context.run, args=(self._to_the_end, when_done), name=f"rlm-{self.run.id}")
        thread.start()  # no daemon: a process that ends waits until the run has been stopped

    def _fill(self, completion: Completion) -> None:
        """Fill the names, in the run's thread: who has waited for its result can use them."""
        values = {self._into: completion.answer, self._result: completion}
        if completion.stop_reason != "cancelled":
            own = {name: value for name, value in values.items() if name is not None}
            self._taken = NAMES.keep(self.run, self._namespace, own)

    def _to_the_end(self, when_done: Callable[[], object]) -> None:
        try:
            self._say_what_came(self._follow())
        except RLMError as error:
            self._say_failed(f"The run failed: {' '.join(str(error).split())}")
        finally:
            NAMES.forget(self.run)
            when_done()

    def _say_what_came(self, completion: Completion) -> None:
        if completion.stop_reason == "cancelled":
            self._say_failed("The run was stopped.")
        elif self._quiet:
            _say(plain(completion.text))
        elif not self._notebook:
            _say(f"The run {self.run.id}: {one_line(completion.text, ANSWER_CHARACTERS)}")
        for name in self._taken:
            _say(f"The variable {name} was not set: a newer run has it. %rlm_show {self.run.id} shows this answer.")

    def _say_failed(self, what: str) -> None:
        unset = f" The variable {self._into} was not set." if self._into else ""
        _say(f"{what} Its journal is {self.run.directory}.{unset}", sys.stderr)


def _say(text: str, stream: TextIO | None = None) -> None:
    print(f"{text}\n", end="", file=stream)


class Background:
    """The runs of this process that go on in the background."""

    def __init__(self) -> None:
        self._going: dict[Run, BackgroundRun] = {}

    @property
    def ids(self) -> list[str]:
        """Theirs, the oldest first."""
        return [run.id for run in list(self._going)]

    def begin(self, run: Run, shell: Any, arguments: Namespace, approver: Approver | None) -> None:
        """Start a run, show it in this cell's output, and return at once."""
        self._going[run] = BackgroundRun(run, shell, arguments, approver)
        self._going[run].begin(lambda: self._going.pop(run, None))

    def stop(self, name: str) -> None:
        """Stop the run of an id, or of its beginning; all, where that is empty.

        Raises
        ------
        UsageError
            There is none of that name.
        """
        found = [run for run in list(self._going) if run.id.startswith(name)]
        if name and not found:
            raise UsageError(f"There is no run {name!r} in the background. There are: {', '.join(self.ids) or 'none'}.")
        for run in found:
            run.cancel()


BACKGROUND = Background()


@magics_class
class BackgroundMagics(Magics):
    """``%rlm_stop``."""

    @line_magic
    def rlm_stop(self, line: str) -> None:
        """Stop a run of ``--background``: ``%rlm_stop RUN``, by its id or the beginning of it; without one, all."""
        for name in line.split() or [""]:
            BACKGROUND.stop(name)
