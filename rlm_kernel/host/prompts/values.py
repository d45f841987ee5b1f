"""What prompts are made of, and what a dialect of them offers. Values; nothing here is sent to a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rlm_kernel import wire
from rlm_kernel.events.values import Message
from rlm_kernel.host.prompts.record import CellRecord


@dataclass(frozen=True)
class ToolDoc:
    """One of the caller's tools: its name, and its signature with its docstring, or what kind of value it is."""

    name: str
    text: str


@dataclass(frozen=True)
class Scene:
    """What a node begins with.

    Attributes
    ----------
    question
        The task; empty where the input holds it.
    context
        What the input is.
    iterations
        How many turns there are.
    contexts, histories
        How many inputs and earlier message lists the REPL holds, in a conversation.
    tools
        The caller's.
    recursion
        Whether ``rlm_query`` gives a child a REPL of its own; else it is a plain completion.
    models
        The names that ``model=`` takes; told where there are several.
    answer_schema
        The JSON schema of the answer, where it has a type.
    sub_window_characters
        What one sub-call can read.
    depth
        0 for the root, which alone hears ``user_prologue``.
    notes
        What else there is to tell, such as that a person has worked in the REPL.
    """

    question: str
    context: wire.Loaded
    iterations: int
    contexts: int = 1
    histories: int = 0
    tools: tuple[ToolDoc, ...] = ()
    recursion: bool = False
    models: tuple[str, ...] = ()
    answer_schema: Mapping[str, Any] | None = None
    sub_window_characters: int = 400_000
    depth: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """What happened in one turn.

    Attributes
    ----------
    records
        What its cells did.
    problem
        What was wrong with the reply.
    iteration, iterations
        Its number, from 1, and how many there are.
    contexts, histories
        As in `Scene`.
    notes
        What else the model should hear, such as why its answer was not accepted.
    """

    records: Sequence[CellRecord]
    problem: str | None
    iteration: int
    iterations: int
    contexts: int = 1
    histories: int = 0
    notes: Sequence[str] = ()


class Prompts(Protocol):
    """A dialect: how the engine speaks to a model. What it returns is appended and never changed."""

    def opening(self, scene: Scene) -> list[Message]:
        """Return the first messages of a node."""

    def observation(self, turn: Turn) -> list[Message]:
        """Return what the model hears after a turn."""

    def last_resort(self, scene: Scene) -> list[Message]:
        """Return the request for an answer when the turns are used up."""

    def summarize(self) -> Message:
        """Return the request for a summary when the model's window is nearly full."""

    def compacted(self, opening: Sequence[Message], summary: str) -> list[Message]:
        """Return the messages that go on from a summary; what they replace is in the REPL's ``history``."""


class PromptOptions(Protocol):
    """The options that choose and shape a dialect; see `LoopOptions` and `ContextOptions`."""

    @property
    def prompt(self) -> str:
        """The variant of our own dialect."""

    @property
    def system_prompt(self) -> str | None:
        """The caller's text, in place of the system prompt."""

    @property
    def user_prologue(self) -> str | None:
        """A message to the root, before its first turn."""

    @property
    def fences(self) -> Sequence[str]:
        """The tags of cells; the first is the one that is told."""

    @property
    def cells(self) -> str:
        """``all`` cells of a reply are run, or the ``first``."""

    @property
    def sub_calls(self) -> bool:
        """Whether there are models to ask."""

    @property
    def compat(self) -> str | None:
        """Whose dialect is spoken; ``None`` for our own."""

    @property
    def preview(self) -> bool:
        """Whether the model is shown a little of the input."""
