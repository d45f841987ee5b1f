"""One frozen type per event; the only record of what a run did.

The stream is flat and ordered. ``seq`` counts from 0 within a run and ``time`` is Unix seconds; the host's bus
sets both; a run that is resumed goes on counting. ``node`` says whose event it is: the root RLM is ``"0"``, and a
sub-call made by node ``"0"`` is ``"0.1"``, ``"0.2"``, ... whether it is a plain model call or a child RLM, so a call's
id is its node's id. Within a node, ``iteration`` and ``cell`` count from 1 (cells over the whole node, not per
iteration).

`rlm_kernel.events.tree` folds the stream into the call tree; `rlm_kernel.events.codec` writes it as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rlm_kernel.events.base import SCHEMA_VERSION as SCHEMA_VERSION
from rlm_kernel.events.base import CellStatus as CellStatus
from rlm_kernel.events.base import Event as Event
from rlm_kernel.events.base import Kind as Kind
from rlm_kernel.events.base import StopReason as StopReason
from rlm_kernel.events.values import Message, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(Event):
    """The first event of a run."""

    type: ClassVar[str] = "run_started"
    run: str
    question: str
    options: dict[str, Any]
    """The configuration without secrets; values are JSON."""
    version: int = SCHEMA_VERSION
    follows: str | None = None
    """The run whose REPL it goes on in, in a conversation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunResumed(Event):
    """The run begins again, served from what is above, as far as it goes; so does the tree.

    ``options`` are all of its options now. ``turns`` is how many of the root's turns may be served; ``None`` is all.
    A fork's journal begins with a copy of the other's, and ``forked_from`` is that one's id.
    """

    type: ClassVar[str] = "run_resumed"
    run: str
    options: dict[str, Any]
    usage: Usage
    """What all attempts until now have used."""
    turns: int | None = None
    forked_from: str | None = None
    question: str | None = None
    """The question, where it is another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputKept(Event):
    """The run's input, for when it is resumed: a file in the journal's ``inputs``, or one of the caller's."""

    type: ClassVar[str] = "input_kept"
    load: dict[str, Any]
    """How the kernel loads it (`rlm_kernel.wire.Load`)."""
    path: str
    """Its name in the journal's ``inputs`` or, if it is absolute, the caller's own file, which was not copied."""
    bytes: int
    modified: int | None = None
    """When the caller's file was changed last, in nanoseconds of Unix time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeStarted(Event):
    """An RLM node has a kernel and begins its loop."""

    type: ClassVar[str] = "node_started"
    depth: int
    model: str
    question: str
    context: dict[str, Any]
    """What the input is, not the input: ``type``, ``length``, ``unit`` and ``description``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequested(Event):
    """The node's root model is asked; ``messages`` are only those added since the request before."""

    type: ClassVar[str] = "model_requested"
    iteration: int
    messages: tuple[Message, ...]
    last: bool = False
    """Whether only an answer is asked for, because the turns are used up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDelta(Event):
    """A piece of a reply as it streams in; for live views, not journaled."""

    type: ClassVar[str] = "text_delta"
    iteration: int
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReplied(Event):
    """The root model's whole reply."""

    type: ClassVar[str] = "model_replied"
    iteration: int
    text: str
    usage: Usage
    seconds: float
    finish: str | None = None
    """Why it ended, where the provider says so: ``length`` when it was cut off."""
    recorded: bool = False
    """Whether an earlier attempt had paid for it; its ``usage`` is in that of `RunResumed`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellChecked(Event):
    """Whoever approves cells has looked at one that is about to run. What runs is in the `CellStarted` that follows."""

    type: ClassVar[str] = "cell_checked"
    cell: int
    verdict: Literal["allow", "refuse", "rewrite"]
    code: str
    """As the model wrote it."""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellStarted(Event):
    """A cell of the reply begins to run in the node's kernel."""

    type: ClassVar[str] = "cell_started"
    iteration: int
    cell: int
    code: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CellOutput(Event):
    """One output of a cell, in the order the kernel sent it."""

    type: ClassVar[str] = "cell_output"
    cell: int
    kind: Literal["stdout", "stderr", "display_data", "execute_result", "error"]
    data: dict[str, Any]
    """A MIME bundle; streams and errors are ``text/plain``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellFinished(Event):
    """A cell ended; ``seconds`` is wall time, sub-calls included."""

    type: ClassVar[str] = "cell_finished"
    cell: int
    status: CellStatus
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRequested(Event):
    """A cell of node ``node`` asked for sub-call ``call``: a plain completion, or a child RLM."""

    type: ClassVar[str] = "call_requested"
    call: str
    kind: Kind
    model: str
    prompt: str
    cell: int | None = None
    """The cell that asked; ``None`` when it is not known."""
    key: str = ""
    """A digest of all that was asked: calls with the same key in the same node have asked the same."""
    source: int | None = None
    """The ``seq`` of the request that this one is, where an earlier attempt had made it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFinished(Event):
    """Sub-call ``call`` ended: ``text`` is its result or, when ``status`` is not ``ok``, the reason."""

    type: ClassVar[str] = "call_finished"
    call: str
    status: Literal["ok", "error", "cancelled"]
    text: str
    usage: Usage
    """The call's own usage; zero for a child RLM, whose own model calls report themselves."""
    seconds: float
    cached: bool = False
    """Whether an earlier call, or one that was in flight, has answered it."""
    recorded: bool = False
    """Whether an earlier attempt had paid for it, and for the subtree of a child."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallChecked(Event):
    """A hook looked at sub-call ``call``, before it or at its result, and this is its verdict."""

    type: ClassVar[str] = "call_checked"
    call: str
    when: Literal["before", "after"]
    verdict: Literal["allow", "refuse", "rewrite", "retry"]
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolStarted(Event):
    """A cell called a tool of the caller's; ``call`` counts the node's tool calls from 1."""

    type: ClassVar[str] = "tool_started"
    call: int
    tool: str
    arguments: str
    cell: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolFinished(Event):
    """Tool call ``call`` ended: ``text`` is its result as JSON or, when ``status`` is not ``ok``, the reason."""

    type: ClassVar[str] = "tool_finished"
    call: int
    status: Literal["ok", "error", "cancelled"]
    text: str
    seconds: float
    recorded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Compacted(Event):
    """The history came near the model's window: ``summary`` stands for the messages that were dropped."""

    type: ClassVar[str] = "compacted"
    iteration: int
    summary: str
    dropped: int
    messages: tuple[Message, ...]
    """What follows the opening from now on."""
    usage: Usage
    recorded: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContinued(Event):
    """A run that a limit had ended goes on with higher limits; so do its root node and the numbers of its events."""

    type: ClassVar[str] = "run_continued"
    limits: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Diverged(Event):
    """The node did something else than in the journal: its root model is asked again from here on."""

    type: ClassVar[str] = "diverged"
    reason: str
    cell: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Note(Event):
    """Something worth telling the reader: a restarted kernel, skipped files, ``progress(text)``."""

    type: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitHit(Event):
    """A limit of the run is spent."""

    type: ClassVar[str] = "limit_reached"
    limit: str
    maximum: float


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeAnswered(Event):
    """The node has an answer: its JSON value, or its text where it is not JSON."""

    type: ClassVar[str] = "node_answered"
    value: Any
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeFinished(Event):
    """The node's loop ended and its kernel is gone."""

    type: ClassVar[str] = "node_finished"
    stop_reason: StopReason
    seconds: float
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFinished(Event):
    """The last event of a run; ``usage`` is the whole tree's."""

    type: ClassVar[str] = "run_finished"
    stop_reason: StopReason
    usage: Usage
    seconds: float
    error: str | None = None
