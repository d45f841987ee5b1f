"""The call tree for a terminal, with rich: whole, or the end of it that fits on a screen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.console import Group
from rich.text import Text
from rich.tree import Tree as RichTree

from rlm_kernel.events.tree import Cell, Iteration, Node, Tree
from rlm_kernel.sinks.text import (
    check_line,
    count,
    first_line,
    line,
    measures,
    plain,
    seconds,
    state,
    tool_line,
    totals,
    words,
)

LISTED_CALLS = 5
OUTPUT_LINES = 4
OUTPUT_CHARACTERS = 10_000
"""Where the lines of an output are looked for; of the rest they are only counted."""
QUESTION_CHARACTERS = 2_000
ANSWER_CHARACTERS = 20_000
NESTED = 4
"""A child's part of the room that its parent has."""
STYLES = {"ok": "green", "error": "red", "running": "cyan", "cancelled": "yellow"}


# Lone surrogates, which no terminal's encoding holds, and the controls that reorder what stands beside them.
_UNSAFE = re.compile("[\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def render(tree: Tree) -> Group:
    """Return the tree for ``rich.print``. Texts of models are plain `rich.text.Text`: no markup of theirs counts."""
    style = state_style(tree)
    root = RichTree(text((state(tree), style), "  ", (_cut(tree.question, QUESTION_CHARACTERS), "bold")))
    _add_turns(root, tree.root)
    rows: list[RichTree | Text] = [root, text((totals(tree), "dim"))]
    if tree.answer:
        rows.append(text((_cut(tree.answer, ANSWER_CHARACTERS), f"bold {style}")))
    if tree.error:
        rows.append(text((_cut(tree.error, QUESTION_CHARACTERS), "red")))
    return Group(*rows)


def render_end(tree: Tree, room: int) -> RichTree:
    """Return the last turns of a tree, enough to fill ``room`` lines and not much more, however long the run is."""
    root = RichTree(text((state(tree), state_style(tree)), "  ", (line(tree.question, 200), "bold")))
    _add_turns(root, tree.root, max(room, 1))
    return root


def state_style(tree: Tree) -> str:
    """Return the colour of how a run stands."""
    return "yellow" if tree.state == "ok" and tree.stop_reason != "answered" else STYLES[tree.state]


def text(*parts: str | tuple[str, str]) -> Text:
    """Put texts and styles together; the only way anything gets onto the terminal."""
    return Text.assemble(*(_safe(part) if isinstance(part, str) else (_safe(part[0]), part[1]) for part in parts))


def _add_turns(branch: RichTree, node: Node, room: int | None = None) -> None:
    """Add a node's turns; with ``room``, the last that may fill so many lines."""
    turns = node.iterations if room is None else _last_turns(node, room)
    if len(turns) < len(node.iterations):
        branch.add(text((f"… {count(len(node.iterations) - len(turns), 'earlier turn')}", "dim")))
    for turn in turns:
        said = line(words(turn.text[:10_000]), 100) or ("" if turn.replied else "…")
        below = branch.add(text(f"{'Last words:' if turn.last else f'{turn.index}.'} {said} ", (measures(turn), "dim")))
        for cell in turn.cells if room is None else turn.cells[-room:]:
            _add_cell(below, cell, room)
    for note in node.notes if room is None else node.notes[-room:]:
        branch.add(text((line(note, 120), "yellow")))
    if node.error and node.depth:
        branch.add(text((line(node.error, 120), "red")))


def _last_turns(node: Node, room: int) -> Sequence[Iteration]:
    lines = first = 0
    for first in range(len(node.iterations) - 1, -1, -1):
        cells = node.iterations[first].cells[-room:]
        lines += 1 + sum(1 + min(len(cell.calls), LISTED_CALLS) for cell in cells)
        if lines >= room:
            break
    return node.iterations[first:]


def _add_cell(branch: RichTree, cell: Cell, room: int | None) -> None:
    style = "cyan" if cell.status is None else "green" if cell.status == "ok" else "red"
    ending = "running" if cell.status is None else cell.status
    calls = count(len(cell.calls), "call") if cell.calls else ""
    took = " · ".join(filter(None, [calls, seconds(cell.seconds)]))
    head = text((ending, style), " ", (first_line(cell.code, 90), "bold"), " ", (took, "dim"))
    below = branch.add(head)
    _add_output(below, cell)
    for tool in cell.tools[:LISTED_CALLS]:
        below.add(text((tool_line(tool), STYLES[tool.state]), " ", (seconds(tool.seconds), "dim")))
    following = room is not None and cell.status is None  # then the last calls are of interest
    more = len(cell.calls) - LISTED_CALLS
    if following and more > 0:
        below.add(text((f"… {count(more, 'earlier call')}", "dim")))
    for call in cell.calls[-LISTED_CALLS:] if following else cell.calls[:LISTED_CALLS]:
        _add_call(below, call, None if room is None else max(room // NESTED, 1))
    if not following and more > 0:
        below.add(text((f"… {count(more, 'more call')}", "dim")))


def _add_output(branch: RichTree, cell: Cell) -> None:
    failed = cell.status not in (None, "ok")
    whole = "".join(output.text for output in cell.outputs)
    piece, rest = whole[:OUTPUT_CHARACTERS], whole[OUTPUT_CHARACTERS:]
    if failed:  # an error says at its end what it is
        piece, rest = whole[-OUTPUT_CHARACTERS:], whole[:-OUTPUT_CHARACTERS]
    rows = [row for row in piece.split("\n") if row.strip()]
    shown = rows[-OUTPUT_LINES:] if failed else rows[:OUTPUT_LINES]
    more = len(rows) - len(shown) + rest.count("\n")
    for row in shown:
        branch.add(text((line(row, 110), "red" if failed else "dim")))
    if more:
        branch.add(text((f"… {count(more, 'more line')}", "dim")))


def _add_call(branch: RichTree, call: Node, room: int | None) -> None:
    reply = "…" if call.state == "running" else line(call.error or call.text, 60) or "(empty)"
    asked = line(call.question, 40)
    head = text((f"{call.id} ", "dim"), asked, " → ", (reply, STYLES[call.state]), " ", (measures(call), "dim"))
    below = branch.add(head)
    for check in call.checks:
        below.add(text((check_line(check), "yellow")))
    if call.kind == "rlm":
        _add_turns(below, call, room)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[:most]}\n… {count(len(words) - most, 'more character')}"


def _safe(words: str) -> str:
    return _UNSAFE.sub("", plain(words))
