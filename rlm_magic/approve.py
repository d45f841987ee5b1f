"""A form below the call tree in which a person approves cells."""

from __future__ import annotations

import threading
from importlib.resources import files
from typing import Any

from traitlets import Dict, Unicode

from rlm_kernel import Approver, ProposedCell, Verdict
from rlm_magic.hearing import Hearing

NO_REASON = "The user has skipped it."
STATIC = files("rlm_magic").joinpath("static")


class Form(Hearing):
    """Shows the cell that is waiting, and hears what becomes of it.

    Attributes
    ----------
    cell
        The cell that is waiting; empty when there is none.
    told
        What became of the one before.
    heard
        Whether its buttons reach the kernel while the cell runs.
    """

    _esm = STATIC.joinpath("approve.js").read_text(encoding="utf-8")
    _css = STATIC.joinpath("approve.css").read_text(encoding="utf-8")
    cell = Dict().tag(sync=True)
    told = Unicode("").tag(sync=True)

    def __init__(self, approver: Approver) -> None:
        super().__init__()
        self.heard = threading.Event()
        self._approver = approver
        self._number = 0
        self._code = ""
        self.on_msg(self._hear)

    def show(self, cell: ProposedCell) -> None:
        """Show a cell."""
        self._number, self._code = self._number + 1, cell.code
        place = "" if cell.depth == 0 else f" of the child {cell.node}"
        self.cell = {"id": self._number, "title": f"Cell {cell.cell}{place}", "code": cell.code}

    def end(self) -> None:
        """Show that nothing is waiting."""
        self.cell = {}

    def _hear(self, _widget: object, content: Any, _buffers: object) -> None:
        """Take a decision. A page that somebody has tampered with can do no more than a person could."""
        match content:
            case {"type": "here"}:
                self.heard.set()
            case {"type": "verdict", "id": self._number, "kind": "run", "code": str(code)}:
                same = code == self._code
                self._decide("run" if same else "changed", Verdict.allow() if same else Verdict.rewrite(code))
            case {"type": "verdict", "id": self._number, "kind": "skip", "reason": str(reason)}:
                self._decide("skipped", Verdict.refuse(reason.strip() or NO_REASON))
            case {"type": "verdict", "id": self._number, "kind": "stop"}:
                self._decide("the run is stopped", Verdict.stop())

    def _decide(self, what: str, verdict: Verdict) -> None:
        if self.cell:
            self.told = f"{self.cell['title']}: {what}"
            self.end()
            self._approver.decide(verdict)
