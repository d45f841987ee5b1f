"""Which rows the call tree of a run has, and which of them an event changes.

A row has a number by which it is known as long as the run is followed: they count in the order in which rows began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import Cell, Iteration, Node, Tree
from rlm_kernel.events.types import Event
from rlm_kernel.sinks.calltree.drawing import Drawing, Row
from rlm_kernel.sinks.calltree.moments import Key, Moments

ROOT: Key = ("node", "0")


Draw = Callable[..., Row]
"""A method of `Drawing`."""


class Rows:
    """Folds the stream into rows. What is side by side stands in the order in which it began.

    Attributes
    ----------
    drawing
        Holds the texts and pictures that the rows refer to.
    changed
        Numbers of the rows that are new or may have changed since somebody cleared it.
    restarted
        Whether all rows are new, because the run was begun again.
    """

    def __init__(self) -> None:
        self.moments = Moments()
        self._begin()

    def _begin(self) -> None:
        self.drawing = Drawing(self.moments)
        self.changed: dict[int, None] = {}
        self.restarted = True
        # By a row's number. There may be many, and an object for each would be one for the garbage collector too.
        self._above: list[int] = []
        self._level: list[int] = []
        self._draw: list[Draw] = []
        self._what: list[Node | tuple[Any, ...]] = []
        self._drawn: list[Row | None] = []
        self._at: dict[Key, int] = {}
        self._add(ROOT, None, Drawing.node, self.tree.root)

    @property
    def tree(self) -> Tree:
        """The tree so far."""
        return self.moments.tree

    def apply(self, event: Event) -> None:
        """Fold one event."""
        self.moments.apply(event)
        if isinstance(event, events.RunResumed):
            self._begin()
        node = self.moments.nodes.get(event.node)
        if node is None:
            return
        own = ("node", node.id)
        self._touch(own)
        match event:  # the most frequent ones first
            case events.CallRequested():
                self._call(node.calls[-1], ("cell", node.id, event.cell or 0), own)
            case events.CallFinished():
                self._touch(("node", event.call))
                call = self.moments.nodes.get(event.call)
                if call is not None and event.recorded:
                    self._grafted(call)
            case events.ModelRequested() | events.TextDelta() | events.ModelReplied():
                self._turn(node, node.iterations[-1])
            case events.CellStarted():
                turn = node.iterations[-1]
                self._cell(node, turn.cells[-1], self._turn(node, turn))
            case events.CellOutput() | events.CellFinished():
                self._touch(("cell", node.id, event.cell))
            case events.CallChecked():
                call = self.moments.nodes.get(event.call)
                if call is not None:
                    self._checks(call)
            case events.ToolStarted():
                self._tool(node, ("tool", node.id, event.call), ("cell", node.id, event.cell or 0))
            case events.ToolFinished():
                self._touch(("tool", node.id, event.call))
            case events.NodeFinished() | events.RunFinished() if node.iterations:
                self._turn(node, node.iterations[-1])
        self._notes(node)

    def row(self, number: int) -> Row:
        """Draw the row of that number."""
        drawn = self._drawn[number]
        if drawn is None:
            draw, what, level = self._draw[number], self._what[number], self._level[number]
            drawn = draw(self.drawing, *what, level) if isinstance(what, tuple) else draw(self.drawing, what, level)
            self._drawn[number] = drawn
        return drawn

    def above(self, number: int) -> int:
        """Return the number of the row above; -1 for the root."""
        return self._above[number]

    def __len__(self) -> int:
        return len(self._above)

    def from_top_to_bottom(self) -> Iterator[Row]:
        """Draw all rows, each with what is below it behind it."""
        below: dict[int, list[int]] = {}
        for number, above in enumerate(self._above):
            below.setdefault(above, []).append(number)
        rest = [0]
        while rest:
            number = rest.pop()
            yield self.row(number)
            rest += reversed(below.get(number, ()))

    def _add(self, key: Key, above: Key | None, draw: Draw, what: Node | tuple[Any, ...]) -> Key:
        """Enter a row, or note that it has changed."""
        if key not in self._at:
            over = -1 if above is None else self._at[above]
            self._at[key] = len(self._above)
            self._above.append(over)
            self._level.append(0 if above is None else self._level[over] + 1)
            self._draw.append(draw)
            self._what.append(what)
            self._drawn.append(None)
        self._touch(key)
        return key

    def _touch(self, key: Key) -> None:
        number = self._at.get(key)
        if number is not None:
            self.changed[number] = self._drawn[number] = None

    def _turn(self, node: Node, turn: Iteration) -> Key:
        key = ("turn", node.id, turn.index, turn.last)
        return self._add(key, ("node", node.id), Drawing.turn, (node, turn))

    def _cell(self, node: Node, cell: Cell, turn: Key) -> Key:
        return self._add(("cell", node.id, cell.index), turn, Drawing.cell, (node, cell))

    def _call(self, call: Node, cell: Key, node: Key) -> None:
        self._add(("node", call.id), cell if cell in self._at else node, Drawing.node, call)

    def _tool(self, node: Node, key: Key, cell: Key) -> None:
        if cell in self._at:
            self._add(key, cell, Drawing.tool, (node.tools[-1], key))

    def _checks(self, call: Node) -> None:
        for index, check in enumerate(call.checks):
            key = ("check", call.id, index)
            if key not in self._at and ("node", call.id) in self._at:
                self._add(key, ("node", call.id), Drawing.check, (check,))

    def _notes(self, node: Node) -> None:
        known = len(node.notes)
        while known and ("note", node.id, known - 1) not in self._at:
            known -= 1
        for index in range(known, len(node.notes)):
            self._add(("note", node.id, index), ("node", node.id), Drawing.note, (node, index))

    def _grafted(self, node: Node) -> None:
        """Enter what is below a call that was served from the journal with its whole subtree."""
        own = ("node", node.id)
        if own not in self._at:
            return
        of_cells: set[str] = set()
        self._checks(node)
        for turn in node.iterations:
            above = self._turn(node, turn)
            for cell in turn.cells:
                key = self._cell(node, cell, above)
                for number, tool in enumerate(cell.tools):
                    used = ("tool", node.id, -cell.index, number)
                    self._add(used, key, Drawing.tool, (tool, used))
                for call in cell.calls:
                    of_cells.add(call.id)
                    self._call(call, key, own)
                    self._grafted(call)
        for call in node.calls:
            if call.id not in of_cells:
                self._call(call, own, own)
                self._grafted(call)
        self._notes(node)


def page(rows: Rows) -> Iterator[dict[str, Any]]:
    """Yield a whole run in pieces, each a JSON object: its rows from top to bottom, then what they refer to."""
    held: list[Row] = []
    for row in rows.from_top_to_bottom():
        held.append(row)
        if len(held) == 1000:
            yield {"rows": held}
            held = []
    yield {"rows": held}
    yield from ({"texts": chunk} for chunk in rows.drawing.texts.chunks())
    yield from ({"images": chunk} for chunk in rows.drawing.images.chunks())
