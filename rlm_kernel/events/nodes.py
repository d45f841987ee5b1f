"""What the call tree is made of: runs, nodes, iterations, cells, outputs. Made by `rlm_kernel.events.tree` alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from rlm_kernel.events.types import CellStatus, Kind, StopReason
from rlm_kernel.events.values import UNUSED, Usage

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
    recorded: bool = False


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
    """One turn of a root model: its words (so far, while they stream) and the cells they held.

    ``last`` is a request for an answer only, because the turns were used up; it has the number of the turn before.
    """

    index: int
    last: bool = False
    text: str = ""
    replied: bool = False
    usage: Usage = field(default_factory=Usage)
    seconds: float | None = None
    recorded: bool = False
    """Whether the reply was served from the journal."""
    cells: list[Cell] = field(default_factory=list)


@dataclass
class Node:
    """An RLM, or one plain call of a model.

    ``question`` is an RLM's question, or a call's prompt; ``text`` its answer (the best so far, if it failed), or a
    call's reply; ``error`` says why it failed. ``usage`` is its own: for an RLM, its root model's calls.

    Most nodes are plain calls, and there may be many: what they do not have is no list of its own, which the garbage
    collector would look at again and again.
    """

    id: str
    kind: Kind
    model: str = ""
    question: str = ""
    depth: int = 0
    context: dict[str, Any] = field(default_factory=dict)
    state: State = "running"
    stop_reason: StopReason | None = None
    iterations: Sequence[Iteration] = ()
    calls: Sequence[Node] = ()
    """Every sub-call, those of its cells among them."""
    tools: Sequence[ToolUse] = ()
    """Every call of a tool, those of its cells among them."""
    checks: Sequence[Check] = ()
    notes: Sequence[str] = ()
    cached: bool = False
    """Whether an earlier call has answered it."""
    recorded: bool = False
    """Whether it was served from the journal."""
    text: str = ""
    value: Any = None
    usage: Usage = UNUSED
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
    attempts: int = 1
    """How often it was begun; more than once when it was resumed."""
    forked_from: str | None = None
    """The run whose first turns these are."""
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
