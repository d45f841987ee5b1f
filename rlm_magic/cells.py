"""The notebook's own cells as an input, by their numbers: ``cells:3-9``, ``cells:2,5-``, ``notebook``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from rlm_kernel import ContextError
from rlm_kernel.sinks.text import plain

_RANGES = re.compile(r"\d+(-\d*)?(,\d+(-\d*)?)*")


def from_history(name: str, shell: Any) -> list[dict[str, Any]] | None:
    """Return the cells that a name stands for: number, code and output of each; ``None`` if it stands for no cells.

    The running cell is not one of them.

    Raises
    ------
    ContextError
        It is no range, or a cell with such a number has not run.
    """
    codes = shell.history_manager.input_hist_raw
    last = len(codes) - 2  # the first is nothing, and the last runs
    if name == "notebook":
        numbers: Iterable[int] = range(1, last + 1)
    elif name.startswith("cells:"):
        numbers = _numbers(name, last)
    else:
        return None
    cells = [
        {"cell": number, "code": codes[number], "output": _output(shell.history_manager, number)}
        for number in numbers
        if codes[number].strip()
    ]
    if not cells:
        raise ContextError(f"--context {name}: no cell has run here yet.")
    return cells


def _numbers(name: str, last: int) -> list[int]:
    text = name.removeprefix("cells:")
    if not _RANGES.fullmatch(text):
        raise ContextError(f"--context {name!r}: expected numbers of cells, such as cells:3-9, cells:2,5 or cells:4-.")
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, end = part.partition("-")
        numbers += range(int(first), int(end or last if dash else first) + 1)
        if int(first) < 1 or int(end or first) > last or int(end or first) < int(first):
            raise ContextError(f"--context {name!r}: the cells that have run here are numbered 1 to {last}.")
    return numbers


def _output(history: Any, number: int) -> str:
    """Return a cell's output as text, as far as IPython keeps it."""
    texts = [_text(output.bundle) for output in history.outputs.get(number, ())]
    if failed := history.exceptions.get(number):
        texts.append(f"{failed['ename']}: {failed['evalue']}")
    return plain("\n".join(text.rstrip("\n") for text in texts if text))


def _text(bundle: dict[str, Any]) -> str:
    return "".join(bundle["stream"]) if "stream" in bundle else str(bundle.get("text/plain", ""))
