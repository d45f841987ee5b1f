"""The call tree as one piece of HTML for a notebook's output: nested ``<details>``, no scripts, nothing from elsewhere.

Everything that a model or a document wrote is escaped here, in `_text`; nothing else puts text into the page. Where a
page strips the style sheet, as GitHub does, the headings and the folding remain.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from importlib.resources import files

from rlm_kernel.events.tree import Cell, Iteration, Node, Output, Tree
from rlm_kernel.sinks.text import count, first_line, line, measures, plain, seconds, state, totals, words

TEXT_CHARACTERS = 10_000
"""What is shown of one text."""
PAGE_CHARACTERS = 800_000
"""About what is shown of a whole run; after that, texts are cut short and calls are only counted."""
LISTED_CALLS = 100
"""Calls listed below one cell."""

_ICONS = {None: "…", "ok": "✓", "error": "✗", "interrupted": "■", "timeout": "⧖", "died": "✗", "cancelled": "■"}
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
_IMAGES = ("image/png", "image/jpeg")
_IMAGE_CHARACTERS = 1_000_000


def render(tree: Tree) -> str:
    """Return the tree as an HTML fragment."""
    return _Page().run(tree)


def render_text(tree: Tree) -> str:
    """Return the tree as plain text: the answer, the totals, then the cells and how many calls they made."""
    answer = plain(tree.answer) or tree.error or "(no answer)"
    rows = [answer, "", f"[{state(tree)}] {totals(tree)}"]
    for iteration in tree.root.iterations:
        rows.append(f"  {iteration.index}. {line(words(iteration.text), 90) or '(no words)'}")
        for cell in iteration.cells:
            calls = f", {count(len(cell.calls), 'call')}" if cell.calls else ""
            rows.append(
                f"     {_icon(cell.status)} {first_line(cell.code, 70)} ({seconds(cell.seconds) or 'running'}{calls})"
            )
    return "\n".join(rows)


class _Page:
    """One rendering; counts what it has shown, so that any run fits into a notebook."""

    def __init__(self) -> None:
        self._room = PAGE_CHARACTERS

    def run(self, tree: Tree) -> str:
        kind = {"ok": "ok" if tree.stop_reason == "answered" else "stopped", "cancelled": "stopped"}.get(
            tree.state, tree.state
        )
        answer = f'<div class="answer">{self._text(tree.answer)}</div>' if tree.answer else ""
        failure = f'<div class="failure">{self._text(tree.error)}</div>' if tree.error else ""
        return (
            f'<div class="rlm"><style>{_style()}</style>'
            f'<div><span class="badge {kind}">{escape(state(tree))}</span>'
            f'<span class="q">{self._text(tree.question)}</span></div>'
            f"{answer}{failure}"
            f'<div class="dim">{escape(totals(tree))}</div>{self._node(tree.root)}</div>'
        )

    def _node(self, node: Node) -> str:
        """Return an RLM node: what its input is, its turns, and its calls that no known cell made."""
        of_cells = {call.id for turn in node.iterations for cell in turn.cells for call in cell.calls}
        strays = [call for call in node.calls if call.id not in of_cells]
        context = node.context.get("description", "")
        about = " · ".join(filter(None, [node.model, f"context: {context}" if context else ""]))
        notes = "".join(f'<p class="dim">{self._text(note)}</p>' for note in node.notes)
        turns = "".join(self._iteration(turn) for turn in node.iterations)
        return f'<div class="dim">{escape(about)}</div>{turns}{self._calls(strays)}{notes}'

    def _iteration(self, turn: Iteration) -> str:
        said = words(turn.text)
        status = "" if turn.replied else ' <span class="running">the model is writing …</span>'
        head = f"<b>Iteration {turn.index}</b> {self._text(line(said, 160))}{status} {_dim(measures(turn))}"
        rest = f"<p>{self._text(said)}</p>" if len(said) > 160 or "\n" in said else ""
        return f"<details open><summary>{head}</summary>{rest}{''.join(map(self._cell, turn.cells))}</details>"

    def _cell(self, cell: Cell) -> str:
        kind = "running" if cell.status is None else "ok" if cell.status == "ok" else "error"
        status = "" if cell.status in (None, "ok", "error") else f" {cell.status}"
        calls = count(len(cell.calls), "call") if cell.calls else ""
        head = (
            f'<span class="{kind}">{_icon(cell.status)}{status}</span> '
            f"<code>{self._text(first_line(cell.code, 110))}</code> "
            f"{_dim(' · '.join(filter(None, [calls, seconds(cell.seconds)])))}"
        )
        outputs = "".join(map(self._output, cell.outputs))
        unfolded = " open" if cell.status is None else ""
        return (
            f"<details{unfolded}><summary>{head}</summary><pre>{self._text(cell.code)}</pre>{outputs}"
            f"{self._calls(cell.calls)}</details>"
        )

    def _output(self, output: Output) -> str:
        for mime in _IMAGES:
            data = output.data.get(mime)
            if isinstance(data, str) and len(data) < _IMAGE_CHARACTERS and _BASE64.fullmatch(data):
                return f'<img src="data:{mime};base64,{"".join(data.split())}" alt="">'
        if not output.text.strip():
            return ""
        kind = "out err" if output.kind in ("error", "stderr") else "out"
        return f'<pre class="{kind}">{self._text(output.text)}</pre>'

    def _calls(self, calls: list[Node]) -> str:
        shown = [self._call(call) for call in calls[:LISTED_CALLS] if self._room > 0]
        more = len(calls) - len(shown)
        rest = f'<p class="dim">… {count(more, "more call")}</p>' if more else ""
        return "".join(shown) + rest

    def _call(self, call: Node) -> str:
        kind = {"running": "running", "ok": "ok"}.get(call.state, "error")
        reply = "…" if call.state == "running" else line(call.text, 90) or "(empty)"
        head = (
            f'<span class="{kind}">{_icon(None if call.state == "running" else call.state)}</span> '
            f"{_dim(f'{call.id} {call.model}')} {self._text(line(call.question, 60))} → "
            f"<b>{self._text(reply)}</b> {_dim(measures(call))}"
        )
        below = self._node(call) if call.kind == "rlm" else ""
        return (
            f"<details><summary>{head}</summary><pre>{self._text(call.question)}</pre>{below}"
            f'<pre class="out">{self._text(call.text)}</pre></details>'
        )

    def _text(self, text: str) -> str:
        """Escape a text and cut it to what there is room for."""
        limit = TEXT_CHARACTERS if self._room > 0 else 200
        shown = plain(text[:limit])
        self._room -= len(shown) + 100
        cut = f"\n… {len(text) - limit:,} more characters" if len(text) > limit else ""
        return escape(shown + cut)


def _dim(text: str) -> str:
    return f'<span class="dim">{escape(text)}</span>' if text else ""


def _icon(status: str | None) -> str:
    return _ICONS.get(status, "?")


@cache
def _style() -> str:
    return (files(__package__) / "html.css").read_text(encoding="utf-8").replace("\n", "")
