"""Messages out of values. The texts are the files beside this one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from string import Template

from rlm_kernel import wire
from rlm_kernel.events.types import CellStatus
from rlm_kernel.events.values import Message

OUTPUT_CHARACTERS = 20_000
"""What a model sees of one cell's output."""

SUB_CHARACTERS = 400_000

NAMES_CHARACTERS = 5_000
"""What a model sees of a list of names."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")

_ENDINGS = {
    "ok": "",
    "error": "",
    "interrupted": "The cell was interrupted.",
    "timeout": "The cell ran too long and was stopped.",
    "died": "The kernel died.",
}


@dataclass
class CellRecord:
    """What a cell did, for the model: its output as text, how it ended, and the REPL's state."""

    status: CellStatus = "ok"
    report: wire.CellReport | None = None
    output: list[str] = field(default_factory=list)
    restart: str | None = None
    """Why the kernel had to be restarted."""
    lost: dict[str, str] = field(default_factory=dict)
    """The variables that went with it, and their types."""

    def answers(self) -> bool:
        """Whether the cell said that ``answer`` is ready."""
        return self.report is not None and self.report.ready


def opening(question: str, context: str, iterations: int, system_prompt: str | None = None) -> list[Message]:
    """Return the first messages: the system prompt, then the question and what the context is."""
    system = system_prompt or _text(
        "system", output_characters=f"{OUTPUT_CHARACTERS:,}", sub_characters=f"{SUB_CHARACTERS:,}"
    )
    first = _text("opening", question=question, context=context, iterations=str(iterations))
    return [Message("system", system), Message("user", first)]


def observation(records: Sequence[CellRecord], problem: str | None, iteration: int, iterations: int) -> Message:
    """Return what the model hears after a turn: each cell's output, or why nothing ran, and the turn's number."""
    parts = [problem] if problem else []
    for number, record in enumerate(records, 1):
        label = "Output:" if len(records) == 1 else f"Output of cell {number}:"
        parts.append(f"{label}\n{_shown(record)}")
    variables = records[-1].report.variables if records and records[-1].report else {}
    if variables:
        parts.append(f"Your variables: {_listed(variables)}")
    parts.append(f"Iteration {iteration + 1} of {iterations}.")
    return Message("user", "\n\n".join(parts))


def last_resort() -> Message:
    """Return the request for an answer when the turns are used up."""
    return Message("user", _text("last_resort"))


def plain(text: str) -> str:
    """Return text without terminal colours."""
    return _ANSI.sub("", text)


def _shown(record: CellRecord) -> str:
    text = plain("".join(record.output)).rstrip()
    if len(text) > OUTPUT_CHARACTERS:
        text = f"{text[:OUTPUT_CHARACTERS]}\n... {len(text) - OUTPUT_CHARACTERS:,} more characters were cut off."
    notes = [_ENDINGS[record.status]]
    if record.restart is not None:
        lost = f"Your variables are lost: {_listed(record.lost)}." if record.lost else "You had no variables to lose."
        notes.append(f"The kernel was restarted because {record.restart}. {lost} `context` is loaded again.")
    if record.report is not None and record.report.restored:
        notes.append(f"Reserved names were put back: {_short(', '.join(record.report.restored))}.")
    return "\n".join(filter(None, [text or "(the cell printed nothing)", *notes]))


def _listed(variables: Mapping[str, str]) -> str:
    return _short(", ".join(f"{name} ({kind})" for name, kind in variables.items()))


def _short(names: str) -> str:
    """Cut a list of names: they come from the kernel, which may say anything."""
    return names if len(names) <= NAMES_CHARACTERS else f"{names[:NAMES_CHARACTERS]} ..."


@cache
def _template(name: str) -> Template:
    return Template((files(__name__) / f"{name}.md").read_text(encoding="utf-8").strip())


def _text(name: str, **values: str) -> str:
    return _template(name).substitute(values)
