"""Asks a person about the cells of a run, in the thread that owns the screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from IPython.display import display

from rlm_kernel import Approver, ProposedCell

if TYPE_CHECKING:
    from rlm_magic.approve import Form

FORM_SECONDS = 3.0
"""How long a form may take to say that its buttons are heard, before lines of text are asked instead."""
HINT_SECONDS = 10.0
"""The same where no lines can be asked, before it is said where the form should be."""
HINT = "A cell is waiting to be approved in the form above. Where you see none, %rlm_stop ends the run."


class Asking:
    """Shows what is waiting for a decision: in a form, where the front end has widgets that are heard now.

    Parameters
    ----------
    approver
        Who waits for it.
    has_forms
        Whether this is a notebook.
    has_lines
        Whether lines of text can be asked: only a cell that runs can.
    """

    def __init__(self, approver: Approver, *, has_forms: bool, has_lines: bool = True) -> None:
        self._has_forms = has_forms
        self._has_lines = has_lines
        self._approver = approver
        self._shown: ProposedCell | None = None
        self._form: Form | None = None
        self._until = 0.0
        self._hinted = False
        if not has_lines:  # later on the notebook may have no place for it: the page may have been loaded anew
            self._open()

    @property
    def is_due(self) -> bool:
        """Whether a cell is waiting."""
        return self._approver.waiting is not None

    def __call__(self) -> None:
        """Show the cell that is waiting, or ask. Call it as long as it `is_due`."""
        cell = self._approver.waiting
        if cell is None:
            return
        if cell is not self._shown:
            self._shown = cell
            self._show(cell)
        if self._form is not None and (self._form.heard.is_set() or time.monotonic() < self._until):
            return
        if self._has_lines:
            if self._form is not None:
                self._form.end()
            self._approver.ask()
        elif not self._hinted:
            self._hinted = True
            print(HINT)  # noqa: T201

    def _show(self, cell: ProposedCell) -> None:
        if self._form is None:
            self._open()
        if self._form is not None:
            self._form.show(cell)
            self._until = self._until or time.monotonic() + (FORM_SECONDS if self._has_lines else HINT_SECONDS)

    def _open(self) -> None:
        if not self._has_forms:
            return
        try:
            from rlm_magic.approve import Form
        except ImportError:  # no widgets here
            return
        self._form = Form(self._approver)
        display(self._form)

    def close(self) -> None:
        """End: nobody will be asked any more."""
        self._approver.close()
        if self._form is not None:
            self._form.end()
