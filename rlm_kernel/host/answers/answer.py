"""How a node ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlm_kernel import wire
from rlm_kernel.events.types import StopReason


@dataclass(frozen=True)
class Answer:
    """An answer's JSON value and its text, both empty when there is none, and why the node stopped.

    ``typed`` is the value as the caller's ``answer_type``, in a tuple of one, once it has been checked.
    """

    value: Any = None
    text: str = ""
    stop_reason: StopReason = "answered"
    typed: tuple[Any, ...] = ()

    @classmethod
    def of_text(cls, text: str) -> Answer:
        """Build an answer that is only text."""
        return cls(text, text) if text else cls()

    @classmethod
    def of_report(cls, report: wire.CellReport) -> Answer:
        """Read the REPL's ``answer``: its value where that is JSON, else its text."""
        return cls(report.value, report.text) if report.is_json else cls.of_text(report.text)

    @property
    def result(self) -> Any:
        """What the caller gets: the typed value, else the JSON value."""
        return self.typed[0] if self.typed else self.value
