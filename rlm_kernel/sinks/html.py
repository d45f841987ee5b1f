"""The call tree as one piece of HTML for a notebook's output: nested ``<details>``, no scripts, nothing from elsewhere.

Everything that a model or a document wrote is escaped in `_Page._text`, and isolated where it stands within a
line, so that neither markup nor right-to-left text of its own reaches what stands beside it. The look is in
`rlm_kernel.sinks.style`; where a page strips even inline styles, as GitHub does, the headings and the folding remain.
"""

from __future__ import annotations

import math
import re
from html import escape

from rlm_kernel.events.tree import Cell, Iteration, Node, Output, ToolUse, Tree
from rlm_kernel.sinks.style import SHEET, inline
from rlm_kernel.sinks.text import (
    by_hand,
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
    turn_name,
    words,
)

TEXT_CHARACTERS = 10_000
"""What is shown of one text."""
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"
"""Classes of what MathJax leaves alone: two prices are no formula."""
PAGE_CHARACTERS = 800_000
"""About how long the HTML of a run gets: texts are cut shorter as it fills, then calls and turns are only counted."""
LISTED_CALLS = 100
"""Calls listed below one cell."""

_ICONS = {
    None: "●",
    "ok": "✓",
    "error": "✗",
    "interrupted": "■",
    "timeout": "⧖",
    "died": "✗",
    "skipped": "↷",
    "cancelled": "■",
}
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_IMAGES = ("image/png", "image/jpeg")
_MARKUP_CHARACTERS = 200  # around one text, styles included, about
_CUTS = ((PAGE_CHARACTERS / 2, TEXT_CHARACTERS), (PAGE_CHARACTERS / 8, 1_000), (-math.inf, 160))


def render(tree: Tree) -> str:
    """Return the tree as an HTML fragment."""
    return _encodable(f'<div class="{NO_FORMULAS}">{inline(_Page().run(tree))}</div>')


def render_text(tree: Tree) -> str:
    """Return the tree as plain text: the answer, the totals, then the cells and how many calls they made."""
    own, absent = by_hand(tree.root), "(no answer yet)" if tree.state == "running" else "(no answer)"
    answer = _cut(tree.answer or tree.error or ("" if own else absent), TEXT_CHARACTERS)
    rows = [*([answer, ""] if answer else []), f"[{state(tree)}] {totals(tree)}"]
    for iteration in tree.root.iterations:
        said = line(words(iteration.text[:TEXT_CHARACTERS]), 90) or "(no words)"
        took = measures(iteration)
        if not own:
            rows.append(f"  {'  ' if iteration.last else f'{iteration.index}.'} {said}{f' ({took})' if took else ''}")
        for cell in iteration.cells:
            calls = f", {count(len(cell.calls), 'call')}" if cell.calls else ""
            rows.append(
                f"     {_icon(cell.status)} {first_line(cell.code, 70)} ({seconds(cell.seconds) or 'running'}{calls})"
            )
    return _encodable("\n".join(rows))


class _Page:
    """One rendering; counts what it has shown, so that any run fits into a notebook."""

    def __init__(self) -> None:
        self._room = PAGE_CHARACTERS

    def run(self, tree: Tree) -> str:
        kind = {"ok": "ok" if tree.stop_reason == "answered" else "stopped", "cancelled": "stopped"}.get(
            tree.state, tree.state
        )
        look = "answer" if kind == "ok" else "partial"
        answer = f'<div class="{look}">{self._text(tree.answer)}</div>' if tree.answer else ""
        running = f"{_mark(None)} " if kind == "running" else ""
        failure = f'<div class="failure">{self._text(tree.error)}</div>' if tree.error else ""
        return (
            f'<div class="rlm"><style>{SHEET}</style>'
            f'<div><span class="badge {kind}">{running}{escape(state(tree))}</span> '
            f'<b class="q">{self._inline(tree.question)}</b></div>'
            f"{answer}{failure}"
            f'<div class="dim">{escape(totals(tree))}</div>{self._node(tree.root)}</div>'
        )

    def _node(self, node: Node) -> str:
        """Return an RLM node: what its input is, its turns, and its calls that no known cell made."""
        of_cells = {call.id for turn in node.iterations for cell in turn.cells for call in cell.calls}
        strays = [call for call in node.calls if call.id not in of_cells]
        context = node.context.get("description", "")
        about = " · ".join(filter(None, [node.model, f"context: {context}" if context else ""]))
        notes = "".join(f'<p class="note">{self._text(note)}</p>' for note in node.notes if self._room > 0)
        failure = f'<p class="error">{self._text(node.error)}</p>' if node.error and node.depth else ""
        show = self._by_hand if by_hand(node) else self._iteration
        shown = [show(turn) for turn in node.iterations if self._room > 0]
        more = _more(len(node.iterations) - len(shown), "iteration")
        head = f'<div class="dim">{self._text(about)}</div>' if about else ""
        return f"{head}{''.join(shown)}{more}{self._calls(strays)}{notes}{failure}"

    def _iteration(self, turn: Iteration) -> str:
        said = words(turn.text)
        status = "" if turn.replied else f' <span class="running">{_mark(None)} the model is writing …</span>'
        head = f"<b>{turn_name(turn)}</b> {self._inline(line(said, 160))}{status} {_dim(measures(turn))}"
        rest = f"<p>{self._text(said)}</p>" if len(said) > 160 or "\n" in said else ""
        shown = [self._cell(cell) for cell in turn.cells if self._room > 0]
        more = _more(len(turn.cells) - len(shown), "cell")
        return f"<details open><summary>{head}</summary>{rest}{''.join(shown)}{more}</details>"

    def _by_hand(self, turn: Iteration) -> str:
        """Return the calls of a person's cells. The cells themselves stand above, or are folded: no words go before."""
        return "".join(
            f'<details><summary class="dim">the cell</summary><pre>{self._text(cell.code)}</pre>'
            f"{self._outputs(cell)}</details>{self._tools(cell.tools)}{self._calls(cell.calls)}"
            for cell in turn.cells
        )

    def _cell(self, cell: Cell) -> str:
        kind = "running" if cell.status is None else "ok" if cell.status == "ok" else "error"
        status = "running" if cell.status is None else "" if cell.status in ("ok", "error") else cell.status
        calls = count(len(cell.calls), "call") if cell.calls else ""
        head = (
            f'<span class="{kind}">{_mark(cell.status)} {status}</span> '
            f"<code>{self._inline(first_line(cell.code, 90))}</code>{self._outcome(cell)} "
            f"{_dim(' · '.join(filter(None, [calls, seconds(cell.seconds)])))}"
        )
        unfolded = " open" if cell.status is None else ""
        return (
            f"<details{unfolded}><summary>{head}</summary><pre>{self._text(cell.code)}</pre>{self._outputs(cell)}"
            f"{self._tools(cell.tools)}{self._calls(cell.calls)}</details>"
        )

    def _outcome(self, cell: Cell) -> str:
        """Return the first words a cell printed or, if it failed, the last of its error."""
        texts = [output.text for output in cell.outputs if output.text.strip()]
        if not texts:
            return ""
        if cell.status not in (None, "ok"):
            reason = texts[-1][-4000:].strip().split("\n")[-1]
            return f' → <span class="error">{self._inline(line(reason, 90))}</span>'
        return f" → {self._inline(line(texts[0], 60))}"

    def _outputs(self, cell: Cell) -> str:
        return "".join(self._output(output) for output in cell.outputs if self._room > 0)

    def _output(self, output: Output) -> str:
        for mime in _IMAGES:
            data = output.data.get(mime)
            if isinstance(data, str) and len(data) < self._room and _BASE64.fullmatch(data):
                self._room -= len(data)
                return f'<img src="data:{mime};base64,{"".join(data.split())}" alt="">'
        if not output.text.strip():
            return ""
        kind = {"error": "out bad", "stderr": "out warn"}.get(output.kind, "out")
        return f'<pre class="{kind}">{self._text(output.text)}</pre>'

    def _tools(self, tools: list[ToolUse]) -> str:
        shown = [self._tool(tool) for tool in tools[:LISTED_CALLS] if self._room > 0]
        return "".join(shown) + _more(len(tools) - len(shown), "tool call")

    def _tool(self, tool: ToolUse) -> str:
        kind = {"running": "running", "ok": "ok"}.get(tool.state, "error")
        mark = _mark(None if tool.state == "running" else tool.state)
        took = _dim(seconds(tool.seconds))
        return f'<div><span class="{kind}">{mark}</span> <code>{self._inline(tool_line(tool))}</code> {took}</div>'

    def _calls(self, calls: list[Node]) -> str:
        shown = [self._call(call) for call in calls[:LISTED_CALLS] if self._room > 0]
        return "".join(shown) + _more(len(calls) - len(shown), "call")

    def _call(self, call: Node) -> str:
        kind = {"running": "running", "ok": "ok"}.get(call.state, "error")
        reply = "running" if call.state == "running" else line(call.error or call.text, 90) or "(empty)"
        tag = ' <b class="dim">child RLM</b>' if call.kind == "rlm" else ""
        head = (
            f'<span class="{kind}">{_mark(None if call.state == "running" else call.state)}</span> '
            f"{_dim(call.id)}{tag} {self._inline(line(call.question, 60))} → "
            f'<b class="{kind if kind != "ok" else "reply"}">{self._inline(reply)}</b> '
            f'<span class="dim">{self._inline(call.model)} {escape(measures(call))}</span>'
        )
        below = self._node(call) if call.kind == "rlm" else ""
        ending = f'<pre class="out bad">{self._text(call.error)}</pre>' if call.error and not below else ""
        reply = f'<pre class="out">{self._text(call.text)}</pre>' if call.text else ""
        checks = "".join(f'<p class="note">{self._text(check_line(check))}</p>' for check in call.checks)
        return (
            f"<details><summary>{head}</summary><pre>{self._text(call.question)}</pre>"
            f"{checks}{below}{reply}{ending}</details>"
        )

    def _inline(self, text: str) -> str:
        return f"<bdi>{self._text(text)}</bdi>"

    def _text(self, text: str) -> str:
        """Escape a text and cut it to what there is room for."""
        limit = next(cut for room, cut in _CUTS if self._room > room)
        shown = escape(_cut(text, limit))
        self._room -= len(shown) + _MARKUP_CHARACTERS
        return shown


def _cut(text: str, limit: int) -> str:
    more = f"\n… {count(len(text) - limit, 'more character')}" if len(text) > limit else ""
    return plain(text[:limit]) + more


def _more(number: int, noun: str) -> str:
    return f'<p class="dim">… {count(number, f"more {noun}")}</p>' if number > 0 else ""


def _encodable(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate would break the notebook's message."""
    return text.encode("utf-8", "replace").decode()


def _dim(text: str) -> str:
    return f'<span class="dim">{escape(text)}</span>' if text else ""


def _mark(status: str | None) -> str:
    return '<span class="pulse">●</span>' if status is None else _icon(status)


def _icon(status: str | None) -> str:
    return _ICONS.get(status, "?")
