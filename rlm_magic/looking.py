"""``%rlm_runs``, ``%rlm_show``, ``%rlm_config``, ``%rlm_models``: what there is, and what is set."""

from __future__ import annotations

import os
import time
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class
from IPython.display import display

from rlm_kernel import RLMError, SavedRun, find, providers, runs
from rlm_kernel.arguments import CONFIGURED
from rlm_kernel.sinks.text import line as one_line
from rlm_magic.table import Table

RUNS = 20
QUESTION_CHARACTERS = 60


@magics_class
class LookingMagics(Magics):
    """Shows runs, options and models. Nothing is asked, changed or paid.

    Parameters
    ----------
    shell
        IPython's.
    rlm
        The magic whose options are shown.
    """

    def __init__(self, shell: Any, rlm: Any) -> None:
        super().__init__(shell=shell)
        self._rlm = rlm
        self._before = {name: getattr(rlm, name) for name in CONFIGURED}  # %config changes IPython's own, too

    @line_magic
    def rlm_runs(self, line: str) -> None:
        """List the newest runs: ``%rlm_runs``, ``%rlm_runs 50``."""
        if line.strip() and not line.strip().isdecimal():
            raise UsageError(f"%rlm_runs {line.strip()}: expected a number of runs, or nothing.")
        rows = [_row(saved) for saved in runs(self._rlm.runs_dir)[: int(line.strip() or RUNS)]]
        display(Table(("run", "began", "state", "question", "used"), rows, "There are no runs yet."))

    @line_magic
    def rlm_show(self, line: str) -> None:
        """Show a run's tree: ``%rlm_show RUN``, by its id, the beginning of it, its directory, or ``last``.

        ``rlm_kernel.find(RUN)`` is the run itself, with ``.tree``, ``.to_notebook()`` and ``.export(format)``.
        """
        try:
            display(find(line.strip() or "last", self._rlm.runs_dir))
        except RLMError as error:
            raise UsageError(" ".join(str(error).split())) from None

    @line_magic
    def rlm_config(self, line: str) -> None:
        """Show the options that are set here, and where each comes from. ``%config RLMMagics`` lists all there are."""
        if line.strip():
            raise UsageError("%rlm_config shows what is set. To set: %config RLMMagics.model = 'provider/model'")
        rows = []
        for name in CONFIGURED:
            if (value := getattr(self._rlm, name)) is not None:
                source = "IPython's configuration" if self._before.get(name) == value else "%config, in this session"
                rows.append((name, repr(value), source))
            elif name == "runs_dir" and (folder := os.environ.get("RLM_RUNS_DIR")):
                rows.append((name, repr(folder), "the environment, RLM_RUNS_DIR"))
        empty = "Nothing is set, so every option has its default. To set: %config RLMMagics.model = 'provider/model'"
        display(Table(("option", "value", "from"), rows, empty))

    @line_magic
    def rlm_models(self, line: str) -> None:
        """List what can be named as a model, and whether its key is here. Keys are looked for, and never shown."""
        rows = [("✓" if each.works else "-", each.model, each.detail) for each in providers()]
        display(Table(("", "model", ""), rows, "There are no providers."))


def _row(saved: SavedRun) -> tuple[str, ...]:
    usage = getattr(saved.last, "usage", None)
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(saved.started))
    question = one_line(saved.question, QUESTION_CHARACTERS)
    return saved.id, began, saved.state, question, "" if usage is None else str(usage)
