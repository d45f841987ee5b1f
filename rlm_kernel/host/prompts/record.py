"""What a cell did, for the model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel import wire
from rlm_kernel.events.types import CellStatus

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_ENDS_LINE = ("display_data", "execute_result", "error")
"""Outputs that are whole: the next one begins on a line of its own."""

ENDINGS = {
    "ok": "",
    "error": "",
    "interrupted": "The cell was interrupted.",
    "timeout": "The cell ran too long and was stopped.",
    "died": "The kernel died.",
    "skipped": "The cell was not run.",
}


@dataclass
class CellRecord:
    """What a cell did, for the model: its output as text, how it ended, and the REPL's state.

    Attributes
    ----------
    output
        Its outputs in order, each a kind (``stdout``, ``stderr``, ``display_data``, ``execute_result``, ``error``) and
        a text. What has no plain text, an image alone, is not there.
    restart
        Why the kernel had to be restarted.
    lost
        The variables that went with it, and their types.
    """

    status: CellStatus = "ok"
    report: wire.CellReport | None = None
    output: list[tuple[str, str]] = field(default_factory=list)
    restart: str | None = None
    lost: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take an output: its kind, and its MIME bundle."""
        text = data.get("text/plain")
        if text is not None:
            self.output.append((kind, f"{text}\n" if kind in _ENDS_LINE else str(text)))

    def text(self, *kinds: str) -> str:
        """Return the outputs of these kinds, or all, as they were written, without terminal colours."""
        return plain("".join(text for kind, text in self.output if not kinds or kind in kinds))

    def answers(self) -> bool:
        """Whether the cell said that ``answer`` is ready."""
        return self.report is not None and self.report.ready


def plain(text: str) -> str:
    """Return text without terminal colours."""
    return _ANSI.sub("", text)
