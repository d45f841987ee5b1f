"""The call tree in a terminal, with rich: live while a run goes on, or once at the end."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from rich.tree import Tree as RichTree

from rlm_kernel.events.tree import Cell, Node, Tree, TreeBuilder
from rlm_kernel.events.types import Event
from rlm_kernel.sinks.text import count, first_line, line, measures, plain, seconds, state, totals, words

LISTED_CALLS = 5
OUTPUT_LINES = 4
_STYLES = {"ok": "green", "error": "red", "running": "cyan", "cancelled": "yellow"}


def render(tree: Tree) -> Group:
    """Return the tree for ``rich.print``. Texts of models are plain `rich.text.Text`: no markup of theirs counts."""
    root = RichTree(Text.assemble((state(tree), _STYLES[tree.state]), "  ", (plain(tree.question), "bold")))
    _add_turns(root, tree.root)
    rows: list[RichTree | Text] = [root, Text(totals(tree), style="dim")]
    if tree.answer:
        rows.append(Text(plain(tree.answer), style="bold green"))
    if tree.error:
        rows.append(Text(plain(tree.error), style="red"))
    return Group(*rows)


class TerminalView:
    """Shows a run live on standard error while used as a context manager; silent where that is no terminal.

    It is a sink: call it with each event. Or call `show` with a tree that is folded elsewhere.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(file=sys.stderr)
        self._builder = TreeBuilder()
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None

    def __enter__(self) -> TerminalView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live is not None:
            self._live.update(render(self._builder.tree), refresh=True)
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Fold an event and show the tree."""
        self._builder.apply(event)
        self.show(self._builder.tree)

    def show(self, tree: Tree) -> None:
        """Show a tree at the next refresh."""
        self._builder.tree = tree
        if self._live is not None:
            self._live.update(render(tree))


def _add_turns(branch: RichTree, node: Node) -> None:
    for turn in node.iterations:
        said = line(words(turn.text), 100) if turn.replied else "…"
        below = branch.add(Text.assemble(f"{turn.index}. {said} ", (measures(turn), "dim")))
        for cell in turn.cells:
            _add_cell(below, cell)
    for note in node.notes:
        branch.add(Text(line(note, 120), style="yellow"))


def _add_cell(branch: RichTree, cell: Cell) -> None:
    style = "cyan" if cell.status is None else "green" if cell.status == "ok" else "red"
    ending = "running" if cell.status is None else cell.status
    calls = count(len(cell.calls), "call") if cell.calls else ""
    took = " · ".join(filter(None, [calls, seconds(cell.seconds)]))
    head = Text.assemble((ending, style), " ", (first_line(cell.code, 90), "bold"), " ", (took, "dim"))
    below = branch.add(head)
    output = plain("".join(output.text for output in cell.outputs)).strip().split("\n")
    for row in filter(None, output[:OUTPUT_LINES]):
        below.add(Text(line(row, 110), style="dim"))
    if len(output) > OUTPUT_LINES:
        below.add(Text(f"… {count(len(output) - OUTPUT_LINES, 'more line')}", style="dim"))
    for call in cell.calls[:LISTED_CALLS]:
        _add_call(below, call)
    if len(cell.calls) > LISTED_CALLS:
        below.add(Text(f"… {count(len(cell.calls) - LISTED_CALLS, 'more call')}", style="dim"))


def _add_call(branch: RichTree, call: Node) -> None:
    reply = "…" if call.state == "running" else line(call.text, 60) or "(empty)"
    asked = line(call.question, 40)
    text = Text.assemble(
        (f"{call.id} ", "dim"), asked, " → ", (reply, _STYLES[call.state]), " ", (measures(call), "dim")
    )
    below = branch.add(text)
    if call.kind == "rlm":
        _add_turns(below, call)
