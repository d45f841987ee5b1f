"""The call tree in a terminal, with rich: live while a run goes on, or once at the end."""

from __future__ import annotations

import re
import sys
import threading
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text
from rich.tree import Tree as RichTree

from rlm_kernel.events.tree import Cell, Node, Tree, TreeBuilder
from rlm_kernel.events.types import Event
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
_STYLES = {"ok": "green", "error": "red", "running": "cyan", "cancelled": "yellow"}


# Lone surrogates, which no terminal's encoding holds, and the controls that reorder what stands beside them.
_UNSAFE = re.compile("[\ud800-\udfff\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def render(tree: Tree) -> Group:
    """Return the tree for ``rich.print``. Texts of models are plain `rich.text.Text`: no markup of theirs counts."""
    style = "yellow" if tree.state == "ok" and tree.stop_reason != "answered" else _STYLES[tree.state]
    root = RichTree(_text((state(tree), style), "  ", (tree.question, "bold")))
    _add_turns(root, tree.root)
    rows: list[RichTree | Text] = [root, _text((totals(tree), "dim"))]
    if tree.answer:
        rows.append(_text((tree.answer, f"bold {style}")))
    if tree.error:
        rows.append(_text((tree.error, "red")))
    return Group(*rows)


class TerminalView:
    """Shows a run live on standard error while used as a context manager; silent where that is no terminal.

    It is a sink: call it with each event. Or call `show` with a tree that is folded elsewhere. rich draws in a thread
    of its own a few times a second, however many events come; the lock is what keeps a tree from changing meanwhile.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(file=sys.stderr)
        self._builder = TreeBuilder()
        self._lock = threading.Lock()
        self._drawn: Group | None = None
        self._ended = False
        self._live = (
            Live(get_renderable=self._draw, console=console, refresh_per_second=8) if console.is_terminal else None
        )

    def __enter__(self) -> TerminalView:
        if self._live is not None:
            self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended = True
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Fold an event; the tree is shown at the next refresh."""
        with self._lock:
            self._builder.apply(event)
            self._drawn = None

    def show(self, tree: Tree) -> None:
        """Show a tree at the next refresh."""
        if self._live is not None:
            drawn = render(tree)
            with self._lock:
                self._drawn = drawn

    def _draw(self) -> RenderableType:
        with self._lock:
            self._drawn = self._drawn or render(self._builder.tree)
            return self._drawn if self._ended else _Tail(self._drawn)


class _Tail:
    """The last lines of something, as many as the terminal has: a long run is followed at its end."""

    def __init__(self, whole: RenderableType) -> None:
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._whole, options, pad=False)
        for row in lines[-max(1, options.size.height - 1) :]:
            yield from row
            yield Segment.line()


def _add_turns(branch: RichTree, node: Node) -> None:
    for turn in node.iterations:
        said = line(words(turn.text[:10_000]), 100) or ("" if turn.replied else "…")
        below = branch.add(_text(f"{turn.index}. {said} ", (measures(turn), "dim")))
        for cell in turn.cells:
            _add_cell(below, cell)
    for note in node.notes:
        branch.add(_text((line(note, 120), "yellow")))
    if node.error and node.depth:
        branch.add(_text((line(node.error, 120), "red")))


def _add_cell(branch: RichTree, cell: Cell) -> None:
    style = "cyan" if cell.status is None else "green" if cell.status == "ok" else "red"
    ending = "running" if cell.status is None else cell.status
    calls = count(len(cell.calls), "call") if cell.calls else ""
    took = " · ".join(filter(None, [calls, seconds(cell.seconds)]))
    head = _text((ending, style), " ", (first_line(cell.code, 90), "bold"), " ", (took, "dim"))
    below = branch.add(head)
    _add_output(below, cell)
    for tool in cell.tools[:LISTED_CALLS]:
        below.add(_text((tool_line(tool), _STYLES[tool.state]), " ", (seconds(tool.seconds), "dim")))
    for call in cell.calls[:LISTED_CALLS]:
        _add_call(below, call)
    if len(cell.calls) > LISTED_CALLS:
        below.add(_text((f"… {count(len(cell.calls) - LISTED_CALLS, 'more call')}", "dim")))


def _add_output(branch: RichTree, cell: Cell) -> None:
    failed = cell.status not in (None, "ok")
    rows = [row for row in "".join(output.text for output in cell.outputs).split("\n") if row.strip()]
    shown = rows[-OUTPUT_LINES:] if failed else rows[:OUTPUT_LINES]  # an error says at its end what it is
    for row in shown:
        branch.add(_text((line(row, 110), "red" if failed else "dim")))
    if len(rows) > len(shown):
        branch.add(_text((f"… {count(len(rows) - len(shown), 'more line')}", "dim")))


def _add_call(branch: RichTree, call: Node) -> None:
    reply = "…" if call.state == "running" else line(call.error or call.text, 60) or "(empty)"
    asked = line(call.question, 40)
    text = _text((f"{call.id} ", "dim"), asked, " → ", (reply, _STYLES[call.state]), " ", (measures(call), "dim"))
    below = branch.add(text)
    for check in call.checks:
        below.add(_text((check_line(check), "yellow")))
    if call.kind == "rlm":
        _add_turns(below, call)


def _text(*parts: str | tuple[str, str]) -> Text:
    """Put texts and styles together; the only way anything gets onto the terminal."""
    return Text.assemble(*(_safe(part) if isinstance(part, str) else (_safe(part[0]), part[1]) for part in parts))


def _safe(text: str) -> str:
    return _UNSAFE.sub("", plain(text))
