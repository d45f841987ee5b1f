"""Folds the stream into the call tree: the only way a view is made, so that all views show the same.

The tree belongs to whoever folds it: a builder and its tree are for one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatchmethod
from typing import TypeVar

from rlm_kernel.events import types as events
from rlm_kernel.events.nodes import Cell, Check, Iteration, Node, Output, State, ToolUse, Tree
from rlm_kernel.events.types import Event, StopReason
from rlm_kernel.events.values import UNUSED, Usage

__all__ = ["Cell", "Check", "Iteration", "Node", "Output", "State", "ToolUse", "Tree", "TreeBuilder", "fold"]


T = TypeVar("T")


class TreeBuilder:
    """Folds events as they come, each in constant time. Any prefix of a stream is a tree whose rest is running."""

    def __init__(self) -> None:
        self.tree = Tree()
        self._nodes: dict[str, Node] = {"0": self.tree.root}
        self._cells: dict[tuple[str, int], Cell] = {}
        self._tools: dict[tuple[str, int], ToolUse] = {}
        self._children: dict[int, Node] = {}
        """Child RLMs of all attempts, by the number of the event that asked for them first."""
        self._sources: dict[str, int] = {}

    @singledispatchmethod
    def _fold(self, event: Event) -> None:
        """Fold one event; what changes nothing in the tree ends here."""

    def apply(self, event: Event) -> None:
        """Fold one event into `tree`."""
        self.tree.seconds = max(self.tree.seconds, event.time - (self.tree.started or event.time))
        _FOLDS(type(event))(self, event)

    def _node(self, node_id: str) -> Node:
        node = self._nodes.get(node_id)
        if node is None:
            node = self._nodes[node_id] = Node(node_id, "rlm")
        return node

    def _iteration(self, node_id: str, index: int) -> Iteration:
        node = self._node(node_id)
        if not node.iterations or node.iterations[-1].index != index:
            node.iterations = _more(node.iterations, Iteration(index))
        return node.iterations[-1]

    def _note(self, node_id: str, text: str) -> None:
        node = self._node(node_id)
        node.notes = _more(node.notes, text)

    @_fold.register
    def _(self, event: events.RunStarted) -> None:
        tree = self.tree
        tree.run, tree.question, tree.options, tree.started = event.run, event.question, event.options, event.time
        tree.root.question = event.question

    @_fold.register
    def _(self, event: events.RunResumed) -> None:
        before, question = self.tree, event.question or self.tree.question
        tree = Tree(event.run, question, event.options, started=event.time)
        tree.root.question, tree.usage, tree.attempts = question, event.usage, before.attempts + 1
        tree.forked_from = event.forked_from or before.forked_from
        self.tree, self._nodes = tree, {"0": tree.root}
        self._cells.clear()
        self._tools.clear()

    @_fold.register
    def _(self, event: events.NodeStarted) -> None:
        node = self._node(event.node)
        node.model, node.question, node.context = event.model, event.question, event.context
        node.depth, node.started = event.depth, event.time

    @_fold.register
    def _(self, event: events.ModelRequested) -> None:
        if event.last:
            node = self._node(event.node)
            node.iterations = _more(node.iterations, Iteration(event.iteration, last=True))
        else:
            self._iteration(event.node, event.iteration).text = ""

    @_fold.register
    def _(self, event: events.TextDelta) -> None:
        self._iteration(event.node, event.iteration).text += event.text

    @_fold.register
    def _(self, event: events.ModelReplied) -> None:
        iteration = self._iteration(event.node, event.iteration)
        iteration.text, iteration.usage, iteration.seconds = event.text, event.usage, event.seconds
        iteration.replied, iteration.recorded = True, event.recorded
        self._use(self._node(event.node), event.usage, event.recorded)

    @_fold.register
    def _(self, event: events.CellChecked) -> None:
        if event.verdict == "rewrite":
            self._note(event.node, f"Cell {event.cell} was changed before it ran.")

    @_fold.register
    def _(self, event: events.CellStarted) -> None:
        cell = self._cells[event.node, event.cell] = Cell(event.cell, event.code)
        iteration = self._iteration(event.node, event.iteration)
        iteration.cells.append(cell)
        iteration.replied = True  # a cell comes after its reply; that of a person has none to wait for

    @_fold.register
    def _(self, event: events.CellOutput) -> None:
        cell = self._cells.get((event.node, event.cell))
        if cell is None:
            return
        if event.kind in ("stdout", "stderr") and cell.outputs and cell.outputs[-1].kind == event.kind:
            data = {"text/plain": cell.outputs[-1].text + str(event.data.get("text/plain", ""))}
            cell.outputs[-1] = Output(event.kind, data)
        else:
            cell.outputs.append(Output(event.kind, event.data))

    @_fold.register
    def _(self, event: events.CellFinished) -> None:
        cell = self._cells.get((event.node, event.cell))
        if cell is not None:
            cell.status, cell.seconds = event.status, event.seconds

    @_fold.register
    def _(self, event: events.CallRequested) -> None:
        parent = self._node(event.node)
        call = Node(event.call, event.kind, event.model, event.prompt, parent.depth + 1, started=event.time)
        self._nodes[event.call] = call
        parent.calls = _more(parent.calls, call)
        if event.kind == "rlm":
            if event.source is None:
                self._children[event.seq] = call
            else:
                self._sources[event.call] = event.source
        if event.cell is not None and (cell := self._cells.get((event.node, event.cell))) is not None:
            cell.calls.append(call)

    @_fold.register
    def _(self, event: events.CallFinished) -> None:
        call = self._node(event.call)
        call.state, call.seconds, call.cached = event.status, event.seconds, event.cached
        call.recorded = event.recorded
        if event.status == "ok":
            call.text = event.text
        else:
            call.error = event.text or None
        self._use(call, event.usage, event.recorded)
        if (source := self._sources.pop(event.call, None)) is not None:
            if event.recorded and source in self._children:
                _graft(self._children[source], call)
            self._children[source] = call

    @_fold.register
    def _(self, event: events.CallChecked) -> None:
        call = self._node(event.call)
        call.checks = _more(call.checks, Check(event.when, event.verdict, event.reason))

    @_fold.register
    def _(self, event: events.ToolStarted) -> None:
        tool = self._tools[event.node, event.call] = ToolUse(event.tool, event.arguments)
        node = self._node(event.node)
        node.tools = _more(node.tools, tool)
        if event.cell is not None and (cell := self._cells.get((event.node, event.cell))) is not None:
            cell.tools.append(tool)

    @_fold.register
    def _(self, event: events.ToolFinished) -> None:
        if (tool := self._tools.get((event.node, event.call))) is not None:
            tool.state, tool.text, tool.seconds = event.status, event.text, event.seconds
            tool.recorded = event.recorded

    @_fold.register
    def _(self, event: events.Compacted) -> None:
        self._note(event.node, f"The history was summarized: {event.dropped} messages.")
        self._use(self._node(event.node), event.usage, event.recorded)

    @_fold.register
    def _(self, event: events.RunContinued) -> None:
        self.tree.state = self.tree.root.state = "running"
        self.tree.stop_reason = self.tree.root.stop_reason = None
        raised = ", ".join(f"{name}={value}" for name, value in event.limits.items())
        self._note("0", f"The run went on with {raised}.")

    @_fold.register
    def _(self, event: events.Diverged) -> None:
        self._note(event.node, event.reason)

    @_fold.register
    def _(self, event: events.Note) -> None:
        self._note(event.node, event.text)

    @_fold.register
    def _(self, event: events.LimitHit) -> None:
        self._note(event.node, f"The limit {event.limit}={event.maximum:g} is reached.")

    @_fold.register
    def _(self, event: events.NodeAnswered) -> None:
        node = self._node(event.node)
        node.text, node.value = event.text, event.value

    @_fold.register
    def _(self, event: events.NodeFinished) -> None:
        node = self._node(event.node)
        node.stop_reason, node.seconds, node.state = event.stop_reason, event.seconds, _state(event.stop_reason)
        node.error = event.error

    @_fold.register
    def _(self, event: events.RunFinished) -> None:
        tree = self.tree
        tree.stop_reason, tree.seconds, tree.error = event.stop_reason, event.seconds, event.error
        tree.usage, tree.state = event.usage, _state(event.stop_reason)
        if tree.root.state == "running":  # it never started
            tree.root.state = tree.state

    def _use(self, node: Node, usage: Usage, recorded: bool) -> None:
        """Add what a node has used; what an earlier attempt has paid for is in the tree's total already."""
        node.usage = usage if node.usage is UNUSED else node.usage + usage
        if not recorded:
            self.tree.usage += usage


_FOLDS = TreeBuilder.__dict__["_fold"].dispatcher.dispatch
"""Finds the method for an event's type; to bind it anew for each event took as long as the fold itself."""


def fold(stream: Iterable[Event]) -> Tree:
    """Fold a whole stream, or any prefix of one."""
    builder = TreeBuilder()
    for event in stream:
        builder.apply(event)
    return builder.tree


def _more(items: Sequence[T], item: T) -> Sequence[T]:
    """Append to a node's list, which is there once there is something in it; in constant time."""
    if not isinstance(items, list):
        return [*items, item]
    items.append(item)
    return items


def _state(reason: StopReason) -> State:
    if reason in ("error", "cancelled"):
        return reason
    return "ok"


def _graft(source: Node, call: Node) -> None:
    """Let a recorded child have the subtree that an earlier attempt has grown, under its own id."""
    for node in source.walk():
        node.id, node.recorded = call.id + node.id[len(source.id) :], True
    for name in ("model", "context", "stop_reason", "iterations", "calls", "notes", "value", "usage", "error"):
        setattr(call, name, getattr(source, name))
