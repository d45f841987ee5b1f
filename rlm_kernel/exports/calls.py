"""The tools and sub-calls of a cell as a folded tree, children and their cells within: HTML for Markdown pages.

It is one line, with every text escaped by `rlm_kernel.exports.markup`, so that Markdown sees one block of HTML in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlm_kernel.events.tree import Cell, Iteration, Node, ToolUse, Tree
from rlm_kernel.exports import markup
from rlm_kernel.sinks.text import check_line, count, measures, tool_line, turn_name, words

FOLDED_CHARACTERS = 2_000_000
"""About how much of prompts and replies a page holds, of all sub-calls together: so many are cut shorter."""
LEAST_CHARACTERS = 200
"""But not shorter than this."""

_MARKS = {"running": "●", "ok": "✓", "error": "✗", "cancelled": "■"}


@dataclass(frozen=True)
class Folded:
    """How much of it is shown.

    Attributes
    ----------
    characters
        Of each prompt, reply, code and output.
    calls
        Of one cell, and as many of its tools.
    """

    characters: int | None
    calls: int

    @classmethod
    def of(cls, tree: Tree, characters: int | None, calls: int) -> Folded:
        """Return it for a page that shows so many characters of a text: a fifth of them, or less for many calls."""
        if characters is None:
            return cls(None, calls)
        fair = FOLDED_CHARACTERS // (2 * sum(1 for _ in tree.root.walk()))
        return cls(min(max(1, characters // 5), max(LEAST_CHARACTERS, fair)), calls)

    def of_cell(self, cell: Cell) -> str:
        """Return what a cell asked for, or an empty text."""
        return self._list(cell.calls, cell.tools)

    def strays(self, node: Node) -> str:
        """Return the calls of a node that no known cell made, or an empty text."""
        known = {call.id for turn in node.iterations for cell in turn.cells for call in cell.calls}
        return self._list([call for call in node.calls if call.id not in known], [])

    def _list(self, calls: list[Node], tools: list[ToolUse]) -> str:
        if not calls and not tools:
            return ""
        nouns = [count(len(calls), "sub-call") if calls else "", count(len(tools), "tool call") if tools else ""]
        rows = [*map(self._tool, tools[: self.calls]), *map(self._call, calls[: self.calls])]
        more = max(0, len(calls) - self.calls) + max(0, len(tools) - self.calls)
        if more:
            rows.append(f"<p>… {count(more, 'more call')}</p>")
        return _details(" and ".join(filter(None, nouns)), "".join(rows))

    def _tool(self, tool: ToolUse) -> str:
        return f"<div>{_MARKS[tool.state]} {markup.inline(tool_line(tool), 200)}</div>"

    def _call(self, call: Node) -> str:
        reply = "running" if call.state == "running" else markup.inline(call.error or call.text, 90) or "(empty)"
        kind = "child RLM · " if call.kind == "rlm" else ""
        took = " · ".join(filter(None, [markup.inline(call.model), measures(call)]))
        head = f"{_MARKS[call.state]} {call.id} {markup.inline(call.question, 60)} → {reply} <i>{kind}{took}</i>"
        inside = [
            self._text(call.question),
            *(f"<div>{markup.inline(check_line(check), 200)}</div>" for check in call.checks),
            *(self._iteration(turn) for turn in call.iterations),
            self.strays(call) if call.kind == "rlm" else "",
            *(f"<div>{markup.inline(note, 200)}</div>" for note in call.notes),
            self._text(call.text) if call.text else "",
            self._text(call.error) if call.error else "",
        ]
        return _details(head, "".join(inside))

    def _iteration(self, turn: Iteration) -> str:
        said = words(turn.text)
        head = " ".join(filter(None, [turn_name(turn), markup.inline(said), f"<i>{measures(turn)}</i>"]))
        return _details(head, f"{self._text(said) if said else ''}{''.join(map(self._cell, turn.cells))}")

    def _cell(self, cell: Cell) -> str:
        outputs = "".join(self._text(output.text) for output in cell.outputs if output.text)
        status = "" if cell.status in ("ok", None) else f"<div>{cell.status}</div>"
        return f"{self._text(cell.code)}{outputs}{status}{self.of_cell(cell)}"

    def _text(self, text: str) -> str:
        return markup.block(text, self.characters)


def _details(head: str, inside: str) -> str:
    return f"<details><summary>{head}</summary>{inside}</details>"
