"""Folds the stream into the call tree: the only way a view is made, so that all views show the same.

The tree belongs to whoever folds it: a builder and its tree are for one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any, Literal

from rlm_kernel.events import types as events
from rlm_kernel.events.types import CellStatus, Event, Kind, StopReason
from rlm_kernel.events.values import Usage

State = Literal["running", "ok", "error", "cancelled"]


@dataclass
class Output:
    """One output of a cell: its kind, and a MIME bundle."""

    kind: str
    data: dict[str, Any]

    @property
    def text(self) -> str:
        """Its plain text."""
        return str(self.data.get("text/plain", ""))


@dataclass
class Check:
    """A hook's verdict on a call."""

    when: str
    verdict: str
    reason: str


@dataclass
class ToolUse:
    """A call of a caller's tool: its arguments and its result as JSON, or why it failed."""

    tool: str
    arguments: str
    state: State = "running"
    text: str = ""
    seconds: float | None = None


@dataclass
class Cell:
    """A cell, its outputs, and the sub-calls and tools it asked for. ``status`` is ``None`` while it runs."""

    index: int
    code: str
    outputs: list[Output] = field(default_factory=list)
    calls: list[Node] = field(default_factory=list)
    tools: list[ToolUse] = field(default_factory=list)
    status: CellStatus | None = None
    seconds: float | None = None


@dataclass
class Iteration:
    """One turn of a root model: its words (so far, while they stream) and the cells they held."""

    index: int
    text: str = ""
    replied: bool = False
    usage: Usage = field(default_factory=Usage)
    seconds: float | None = None
    cells: list[Cell] = field(default_factory=list)


@dataclass
class Node:
    """An RLM, or one plain call of a model.

    ``question`` is an RLM's question, or a call's prompt; ``text`` its answer (the best so far, if it failed), or a
    call's reply; ``error`` says why it failed. ``usage`` is its own: for an RLM, its root model's calls.
    """

    id: str
    kind: Kind
    model: str = ""
    question: str = ""
    depth: int = 0
    context: dict[str, Any] = field(default_factory=dict)
    state: State = "running"
    stop_reason: StopReason | None = None
    iterations: list[Iteration] = field(default_factory=list)
    calls: list[Node] = field(default_factory=list)
    """Every sub-call, those of its cells among them."""
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cached: bool = False
    """Whether an earlier call has answered it."""
    text: str = ""
    value: Any = None
    usage: Usage = field(default_factory=Usage)
    started: float = 0.0
    seconds: float | None = None
    error: str | None = None

    def walk(self) -> Iterator[Node]:
        """Yield the node and everything below it."""
        yield self
        for call in self.calls:
            yield from call.walk()

    @property
    def subtree_usage(self) -> Usage:
        """Its own usage and that of everything below it."""
        return sum((node.usage for node in self.walk()), Usage())


@dataclass
class Tree:
    """A run: what was asked, how it goes or went, and the root node."""

    run: str = ""
    question: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    root: Node = field(default_factory=lambda: Node("0", "rlm"))
    state: State = "running"
    stop_reason: StopReason | None = None
    usage: Usage = field(default_factory=Usage)
    started: float = 0.0
    seconds: float = 0.0
    error: str | None = None

    def usage_by_model(self) -> dict[str, Usage]:
        """Usage of each model, root models and sub-calls together."""
        usage: dict[str, Usage] = {}
        for node in self.root.walk():
            if node.usage.calls:
                usage[node.model] = usage.get(node.model, Usage()) + node.usage
        return usage

    @property
    def answer(self) -> str:
        """The answer's text; empty while there is none."""
        return self.root.text


class TreeBuilder:
    """Folds events as they come, each in constant time. Any prefix of a stream is a tree whose rest is running."""

    def __init__(self) -> None:
        self.tree = Tree()
        self._nodes: dict[str, Node] = {"0": self.tree.root}
        self._cells: dict[tuple[str, int], Cell] = {}
        self._tools: dict[tuple[str, int], ToolUse] = {}

    @singledispatchmethod
    def _fold(self, event: Event) -> None:
        """Fold one event; what changes nothing in the tree ends here."""

    def apply(self, event: Event) -> None:
        """Fold one event into `tree`."""
        self.tree.seconds = max(self.tree.seconds, event.time - (self.tree.started or event.time))
        self._fold(event)

    def _node(self, node_id: str) -> Node:
        return self._nodes.setdefault(node_id, Node(node_id, "rlm"))

    def _iteration(self, node_id: str, index: int) -> Iteration:
        iterations = self._node(node_id).iterations
        if not iterations or iterations[-1].index != index:
            iterations.append(Iteration(index))
        return iterations[-1]

    @_fold.register
    def _(self, event: events.RunStarted) -> None:
        tree = self.tree
        tree.run, tree.question, tree.options, tree.started = event.run, event.question, event.options, event.time
        tree.root.question = event.question

    @_fold.register
    def _(self, event: events.NodeStarted) -> None:
        node = self._node(event.node)
        node.model, node.question, node.context = event.model, event.question, event.context
        node.depth, node.started = event.depth, event.time

    @_fold.register
    def _(self, event: events.ModelRequested) -> None:
        self._iteration(event.node, event.iteration).text = ""

    @_fold.register
    def _(self, event: events.TextDelta) -> None:
        self._iteration(event.node, event.iteration).text += event.text

    @_fold.register
    def _(self, event: events.ModelReplied) -> None:
        iteration = self._iteration(event.node, event.iteration)
        iteration.text, iteration.usage, iteration.seconds = event.text, event.usage, event.seconds
        iteration.replied = True
        self._node(event.node).usage += event.usage
        self.tree.usage += event.usage

    @_fold.register
    def _(self, event: events.CellStarted) -> None:
        cell = self._cells[event.node, event.cell] = Cell(event.cell, event.code)
        self._iteration(event.node, event.iteration).cells.append(cell)

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
        parent.calls.append(call)
        if event.cell is not None and (cell := self._cells.get((event.node, event.cell))) is not None:
            cell.calls.append(call)

    @_fold.register
    def _(self, event: events.CallFinished) -> None:
        call = self._node(event.call)
        call.state, call.seconds, call.cached = event.status, event.seconds, event.cached
        if event.status == "ok":
            call.text = event.text
        else:
            call.error = event.text or None
        call.usage += event.usage
        self.tree.usage += event.usage

    @_fold.register
    def _(self, event: events.CallChecked) -> None:
        self._node(event.call).checks.append(Check(event.when, event.verdict, event.reason))

    @_fold.register
    def _(self, event: events.ToolStarted) -> None:
        tool = self._tools[event.node, event.call] = ToolUse(event.tool, event.arguments)
        if event.cell is not None and (cell := self._cells.get((event.node, event.cell))) is not None:
            cell.tools.append(tool)

    @_fold.register
    def _(self, event: events.ToolFinished) -> None:
        if (tool := self._tools.get((event.node, event.call))) is not None:
            tool.state, tool.text, tool.seconds = event.status, event.text, event.seconds

    @_fold.register
    def _(self, event: events.Compacted) -> None:
        node = self._node(event.node)
        node.notes.append(f"The history was summarized: {event.dropped} messages.")
        node.usage += event.usage
        self.tree.usage += event.usage

    @_fold.register
    def _(self, event: events.RunContinued) -> None:
        self.tree.state = self.tree.root.state = "running"
        self.tree.stop_reason = self.tree.root.stop_reason = None
        raised = ", ".join(f"{name}={value}" for name, value in event.limits.items())
        self.tree.root.notes.append(f"The run went on with {raised}.")

    @_fold.register
    def _(self, event: events.Note) -> None:
        self._node(event.node).notes.append(event.text)

    @_fold.register
    def _(self, event: events.LimitHit) -> None:
        self._node(event.node).notes.append(f"The limit {event.limit}={event.maximum:g} is reached.")

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


def fold(stream: Iterable[Event]) -> Tree:
    """Fold a whole stream, or any prefix of one."""
    builder = TreeBuilder()
    for event in stream:
        builder.apply(event)
    return builder.tree


def _state(reason: StopReason) -> State:
    if reason in ("error", "cancelled"):
        return reason
    return "ok"
