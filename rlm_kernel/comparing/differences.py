"""Where two trees first differ: turn by turn, in the order in which things happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from rlm_kernel.events.tree import Cell, Iteration, Tree
from rlm_kernel.sinks.text import count, words

SNIPPET_CHARACTERS = 200

What = Literal["words", "code", "calls", "outputs", "turns", "answer"]


@dataclass(frozen=True)
class Difference:
    """Where the ways of two runs parted.

    Attributes
    ----------
    first, second
        The names of the runs.
    turn
        The root's turn, from 1.
    what
        ``words`` or ``code`` of the root model's reply, what its cells' ``calls`` were asked or answered, the cells'
        ``outputs``, the number of ``turns``, or only the ``answer``.
    left, right
        The first line of each that differs.
    """

    first: str
    second: str
    turn: int
    what: What
    left: str
    right: str


def first_difference(first: str, one: Tree, second: str, other: Tree) -> Difference | None:
    """Return where two runs' root nodes first differ; ``None`` where they did and answered the same."""
    turns = list(zip_longest(one.root.iterations, other.root.iterations))
    for number, (left, right) in enumerate(turns, 1):
        if left is None or right is None:
            counts = [count(len(tree.root.iterations), "turn") for tree in (one, other)]
            return Difference(first, second, number, "turns", *counts)
        for what, a, b in _aspects(left, right):
            if a != b:
                return Difference(first, second, number, what, *_snippets(a, b))
    if one.answer != other.answer:
        return Difference(first, second, len(turns), "answer", *_snippets(one.answer, other.answer))
    return None


def _aspects(left: Iteration, right: Iteration) -> Iterator[tuple[What, str, str]]:
    """Yield what two turns are compared by, what came first first."""
    yield "words", words(left.text), words(right.text)
    yield "code", _code(left), _code(right)
    for a, b in zip(left.cells, right.cells, strict=False):
        yield "calls", _calls(a), _calls(b)
        yield "outputs", _outputs(a), _outputs(b)


def _code(turn: Iteration) -> str:
    return "\n\n".join(cell.code for cell in turn.cells)


def _calls(cell: Cell) -> str:
    calls = [f"{call.question} → {call.error or call.text}" for call in cell.calls]
    return "\n".join([*calls, *(f"{tool.tool} {tool.arguments} → {tool.text}" for tool in cell.tools)])


def _outputs(cell: Cell) -> str:
    return "".join(output.text for output in cell.outputs) + (f"\n({cell.status})" if cell.status != "ok" else "")


def _snippets(left: str, right: str) -> tuple[str, str]:
    """Return the line of each in which they begin to differ; a long one from shortly before."""
    same = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    start = max(left.rfind("\n", 0, same) + 1, same - SNIPPET_CHARACTERS // 2)
    return _line(left, start), _line(right, start)


def _line(text: str, start: int) -> str:
    end = text.find("\n", start)
    whole = text[start:] if end < 0 else text[start:end]
    cut = whole[:SNIPPET_CHARACTERS]
    return f"{'… ' if start and text[start - 1] != chr(10) else ''}{cut}{' …' if len(whole) > len(cut) else ''}"
