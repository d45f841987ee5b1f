"""A person who approves cells: the run waits in its thread, and is answered from the one that has the screen."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from rlm_kernel.host.verify.verdict import ProposedCell, Verdict

CHOICES = "[r]un, [e]dit, [s]kip, s[t]op: "
NO_REASON = "The user has skipped it."


class Approver:
    """An ``approve=`` that waits for a decision: of a form that calls `decide`, or of `ask`, in a terminal.

    Attributes
    ----------
    waiting
        The cell that is to be decided on, if there is one.
    """

    def __init__(self) -> None:
        self.waiting: ProposedCell | None = None
        self._verdict = Verdict.allow()
        self._closed = False
        self._decided = threading.Event()

    def __call__(self, cell: ProposedCell) -> Verdict:
        """Wait for the decision on a cell. Called in a thread of the run."""
        self._decided.clear()
        self.waiting = cell
        if self._closed:
            return Verdict.stop()
        self._decided.wait()
        return self._verdict

    def decide(self, verdict: Verdict) -> None:
        """Decide on the cell that is waiting; from any thread. Nothing happens when there is none."""
        if self.waiting is not None:
            self.waiting, self._verdict = None, verdict
            self._decided.set()

    def close(self) -> None:
        """Stop waiting: nobody is there any more."""
        self._closed = True
        self.decide(Verdict.stop())

    def ask(self, read: Callable[[str], str] | None = None, write: Callable[[str], None] = print) -> None:
        """Ask about the cell that is waiting, by lines of text. Ctrl-C and the end of input stop the run."""
        cell, read = self.waiting, read or input  # a notebook has another one while a cell runs
        if cell is None:
            return
        write(f"\n{title(cell)}\n{cell.code}")
        try:
            self.decide(_answer(cell.code, read, write))
        except (KeyboardInterrupt, EOFError):
            self.decide(Verdict.stop())


def title(cell: ProposedCell) -> str:
    """Return a line that says which cell it is."""
    return f"Cell {cell.cell}" if cell.depth == 0 else f"Cell {cell.cell} of the child {cell.node}"


def _answer(code: str, read: Callable[[str], str], write: Callable[[str], None]) -> Verdict:
    while True:
        match read(CHOICES).strip().lower():
            case "" | "r" | "run":
                return Verdict.allow()
            case "s" | "skip":
                return Verdict.refuse(read("Why, for the model: ").strip() or NO_REASON)
            case "t" | "stop":
                return Verdict.stop()
            case "e" | "edit" if sys.stdin is not None and sys.stdin.isatty():
                changed = _edited(code, write)
                if changed is not None:
                    return Verdict.allow() if changed == code else Verdict.rewrite(changed)
            case "e" | "edit":
                write(
                    "Editing needs a terminal, or a notebook with widgets. Skip it, and say what should be different."
                )
            case _:
                write("Please answer with r, e, s or t.")


def _edited(code: str, write: Callable[[str], None]) -> str | None:
    """Let the person's editor change code; ``None`` when it could not."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cell.py"
        path.write_text(f"{code}\n", encoding="utf-8")
        try:
            subprocess.run([*shlex.split(editor), str(path)], check=True)  # noqa: S603 - the person's own editor
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            write(f"The editor {editor!r} failed: {error}. Set EDITOR to another one.")
            return None
        return path.read_text(encoding="utf-8").rstrip("\n")
