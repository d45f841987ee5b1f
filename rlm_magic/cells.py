"""The notebook's own cells as an input, by their numbers: ``cells:3-9``, ``cells:2,5-``, ``notebook``."""

from __future__ import annotations

import re
from base64 import b64encode
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
        {"cell": number, "code": codes[number], "output": _text(shell, number)}
        for number in numbers
        if codes[number].strip()
    ]
    if not cells:
        raise ContextError(f"{name}: no cell has run here yet.")
    return cells


def _numbers(name: str, last: int) -> list[int]:
    text = name.removeprefix("cells:")
    if not _RANGES.fullmatch(text):
        raise ContextError(f"{name}: expected numbers of cells, such as cells:3-9, cells:2,5 or cells:4-.")
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, end = part.partition("-")
        numbers += range(int(first), int(end or last if dash else first) + 1)
        if int(first) < 1 or int(end or first) > last or int(end or first) < int(first):
            raise ContextError(f"{name}: the cells that have run here are numbered 1 to {last}.")
    return numbers


def outputs(shell: Any, number: int) -> list[tuple[str, dict[str, Any]]]:
    """Return a cell's outputs as kinds and MIME bundles, as far as IPython keeps them: no displays."""
    history = shell.history_manager
    kept = [_output(output.output_type, output.bundle) for output in history.outputs.get(number, ())]
    if failed := history.exceptions.get(number):
        kept.append(("error", {"text/plain": f"{failed['ename']}: {failed['evalue']}"}))
    return kept


def _output(kind: str, bundle: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if "stream" in bundle:
        return {"out_stream": "stdout", "err_stream": "stderr"}[kind], {"text/plain": "".join(bundle["stream"])}
    data = {mime: b64encode(data).decode() if isinstance(data, bytes) else data for mime, data in bundle.items()}
    return kind, {mime: data for mime, data in data.items() if isinstance(data, str)}


def _text(shell: Any, number: int) -> str:
    texts = [str(bundle.get("text/plain", "")) for _, bundle in outputs(shell, number)]
    return plain("\n".join(text.rstrip("\n") for text in texts if text))
