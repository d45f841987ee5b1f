"""What every RLM node was sent and what it said, rebuilt from the stream: the tree does not keep messages.

A request's event holds only what was added to the node's messages since its request before. What else changes them,
and is undone here, follows from `rlm_kernel.host.dialogue`:

- a reply is kept without what follows its first cell, where the run's option ``cells`` is ``first``;
- ``Compacted`` puts a summary in the place of all but the opening, of which ``compat="rlms"`` keeps two messages;
- the last words, asked for when the iterations are used up, are a request that says so (in older journals, a second
  one of the same iteration). If the run then goes on, neither its last message nor its reply is in the messages;
- a request without a reply, because the model failed, may be made again, with or without its messages;
- a run that is resumed begins again, and children that its journal answers have their turns there.

Secrets that were taken out of the events are not in the messages either.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.parse import cells


@dataclass
class Turn:
    """One request to a node's root model, and its reply.

    Attributes
    ----------
    messages
        All that the model was sent.
    text
        Its whole reply; ``None`` while there is none.
    kept
        The reply as later requests have it.
    finish
        Why the reply ended, where the provider says so: ``length`` when it was cut off.
    stretch
        How often the messages had been summarized before.
    last_words
        Whether it was asked only because the iterations were used up.
    requested, replied, ended
        When, in Unix seconds: the request, the reply, and the end of the last cell of the turn (or the reply).
    seconds
        How long the model took.
    """

    iteration: int
    messages: tuple[Message, ...]
    stretch: int
    last_words: bool
    requested: float
    text: str | None = None
    kept: str = ""
    finish: str | None = None
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    replied: float = 0.0
    ended: float = 0.0


@dataclass
class _Thread:
    """A node's messages as they are now, and its turns so far."""

    turns: list[Turn] = field(default_factory=list)
    history: list[Message] = field(default_factory=list)
    opening: int = 0
    stretch: int = 0
    open_turn: Turn | None = None
    """The last turn, while its reply is not in the history."""


def turns(stream: Iterable[Event]) -> dict[str, list[Turn]]:
    """Return the turns of every RLM node, by its id, in the order they began; of a resumed run, the last attempt's."""
    builder = _Builder()
    for event in stream:
        builder.apply(event)
    return {node: thread.turns for node, thread in builder.threads.items() if thread.turns}


class _Builder:
    """Applies events as they come."""

    def __init__(self) -> None:
        self.threads: dict[str, _Thread] = {}
        self._options: dict[str, Any] = {}
        self._children: dict[int, tuple[str, dict[str, _Thread]]] = {}
        """Child RLMs by the number of the event that first asked for them: the id, and the threads of that attempt."""
        self._sources: dict[str, int] = {}

    def apply(self, event: Event) -> None:
        thread = self.threads.setdefault(event.node, _Thread())
        match event:
            case events.RunStarted():
                self._options = event.options
            case events.RunResumed():
                self.threads, self._options = {}, event.options
            case events.ModelRequested():
                _request(thread, event)
            case events.ModelReplied() if thread.open_turn is not None:
                turn = thread.open_turn
                turn.text, turn.usage, turn.seconds, turn.finish = event.text, event.usage, event.seconds, event.finish
                turn.replied = turn.ended = event.time
                turn.kept = _kept(event.text, self._options)
            case events.CellFinished() if thread.turns:
                thread.turns[-1].ended = event.time
            case events.Compacted():
                _compact(thread, event, self._options)
            case events.CallRequested(kind="rlm", source=None):
                self._children[event.seq] = event.call, self.threads
            case events.CallRequested(kind="rlm", source=int(source)):
                self._sources[event.call] = source
            case events.CallFinished() if event.call in self._sources:
                source = self._sources.pop(event.call)
                if event.recorded and source in self._children:
                    self._graft(event.call, *self._children[source])
                self._children[source] = event.call, self.threads

    def _graft(self, call: str, source: str, threads: dict[str, _Thread]) -> None:
        below = {node: thread for node, thread in threads.items() if f"{node}.".startswith(f"{source}.")}
        self.threads |= {call + node[len(source) :]: thread for node, thread in below.items()}


def _request(thread: _Thread, event: events.ModelRequested) -> None:
    before, new = thread.open_turn, list(event.messages)
    if new and new[0].role == "system":  # the whole opening: the node begins, or begins anew
        thread.history, thread.opening, before = [], len(new), None
    elif not thread.turns:
        thread.opening = len(new)
    again = before is not None and before.text is not None and before.iteration == event.iteration
    if before is not None:
        if before.text is None:
            if new and thread.history[-len(new) :] == new:
                new = []
        elif before.last_words:
            thread.history.pop()
        else:
            thread.history.append(Message("assistant", before.kept))
    thread.history += new
    turn = Turn(event.iteration, tuple(thread.history), thread.stretch, event.last or again, event.time)
    thread.open_turn = turn
    thread.turns.append(turn)


def _compact(thread: _Thread, event: events.Compacted, options: dict[str, Any]) -> None:
    if options.get("compat") == "rlms":
        thread.opening = min(thread.opening, 2)
    thread.history = [*thread.history[: thread.opening], *event.messages]
    thread.stretch += 1
    thread.open_turn = None


def _kept(text: str, options: dict[str, Any]) -> str:
    fences = options.get("fences")
    if options.get("cells") != "first" or not isinstance(fences, list | tuple):
        return text
    return text.removesuffix(cells(text, fences, first_only=True).dropped)
