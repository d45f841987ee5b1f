"""Reads a journal for going on with it: all attempts together, node by node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.host.resume.recorded import Recorded, RecordedCall, RecordedCell, RecordedTool, call_key


@dataclass
class Recording:
    """A journal, read for going on with it.

    Attributes
    ----------
    root
        What the root node has done, in all attempts together.
    run, question, follows, options
        As the run began; ``options`` with what was changed since.
    first_run
        The run that it was forked from, if it was; else itself.
    continued
        For a replay: the limits that were raised while it ran.
    inputs
        Where they are, by their names in the REPL.
    usage
        What all attempts have paid for.
    turns
        How many turns the root has had.
    seconds
        How long all attempts have run.
    events
        How many events there are.
    """

    root: Recorded = field(default_factory=Recorded)
    run: str = ""
    first_run: str = ""
    question: str = ""
    follows: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    continued: list[dict[str, Any]] = field(default_factory=list)
    inputs: dict[str, events.InputKept] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    seconds: float = 0.0
    events: int = 0


def recording(stream: Iterable[Event], *, strict: bool = False) -> Recording:
    """Read what a stream of events has paid for; ``strict`` for a replay."""
    reader = _Reader(strict)
    for event in stream:
        reader.take(event)
    return reader.finish()


class _Reader:
    """Goes through the events of all attempts."""

    def __init__(self, strict: bool) -> None:
        self.recording = Recording(Recorded(strict))
        self._strict = strict
        self._requests: dict[int, RecordedCall] = {}
        """Of all attempts, by the number of the event."""
        self._turn = 0
        self._started = self._seconds = self._earlier_seconds = 0.0
        self._begin()

    def _begin(self) -> None:
        """Begin an attempt: its nodes have other ids, and are the same."""
        self._nodes = {"0": self.recording.root}
        self._calls: dict[str, RecordedCall] = {}
        self._tools: dict[tuple[str, int], RecordedTool] = {}
        self._cells: dict[tuple[str, int], RecordedCell] = {}
        self._checked: dict[tuple[str, int], events.CellChecked] = {}
        self._asked: dict[str, list[bool]] = {}
        """Node -> its requests, each with whether it was for an answer only."""

    def take(self, event: Event) -> None:
        """Take the next event."""
        recording = self.recording
        recording.events = max(recording.events, event.seq + 1)
        match event:
            case events.RunStarted():
                recording.run, recording.question, recording.options = event.run, event.question, event.options
                recording.first_run = event.run
                recording.follows = event.follows
                self._started = event.time
            case events.RunResumed():
                recording.run, recording.options, recording.usage = event.run, event.options, event.usage
                recording.question = event.question or recording.question
                self._earlier_seconds, self._started = self._earlier_seconds + self._seconds, event.time
                self._begin()
                if event.turns is not None:
                    recording.root.cut(event.turns)
            case events.RunContinued():
                if self._strict:
                    recording.continued.append(event.limits)
                else:
                    recording.options = recording.options | event.limits
                recording.root.limit = None
            case events.InputKept():
                recording.inputs[event.load["name"]] = event
            case events.RunFinished():
                recording.usage = event.usage
            case _:
                if (node := self._nodes.get(event.node)) is not None:
                    self._of_node(node, event)
        self._seconds = event.time - self._started

    def finish(self) -> Recording:
        """Return what there is."""
        self.recording.seconds = self._earlier_seconds + self._seconds
        self.recording.turns = max((reply.iteration for reply, _ in self.recording.root.replies), default=0)
        return self.recording

    def _of_node(self, node: Recorded, event: Event) -> None:
        match event:
            case events.NodeStarted():
                node.started = True
            case events.ModelRequested():
                self._asked.setdefault(event.node, []).append(event.last)
                if event.node == "0":
                    self._turn = event.iteration
            case events.ModelReplied():
                asked = self._asked.setdefault(event.node, [False])
                if not event.recorded:  # what an earlier attempt was told from here on is of no use any more
                    self._use(event.usage)
                    node.replies[_position(node, asked) :] = [(event, asked[-1])]
            case events.Compacted():
                if not event.recorded:
                    self._use(event.usage)
                    node.summaries[event.iteration] = event
            case events.LimitHit():
                node.limit = event
            case events.NodeFinished():
                node.ended = event
            case events.CellChecked():
                self._checked[event.node, event.cell] = event
            case events.CellStarted() | events.CellOutput() | events.CellFinished():
                self._of_cell(node, event)
            case _:
                self._of_call(node, event)

    def _of_cell(self, node: Recorded, event: events.CellStarted | events.CellOutput | events.CellFinished) -> None:
        if isinstance(event, events.CellStarted):
            cell = self._cells[event.node, event.cell] = RecordedCell(
                self._turn, event.code, self._checked.pop((event.node, event.cell), None)
            )
            node.cells.setdefault(event.cell, cell)
        elif (cell_or_none := self._cells.get((event.node, event.cell))) is None:
            return
        elif isinstance(event, events.CellOutput):
            cell_or_none.printed.add(event.kind, event.data)
        else:
            cell_or_none.status = event.status
            node.cells[event.cell] = cell_or_none

    def _of_call(self, node: Recorded, event: Event) -> None:
        match event:
            case events.CallRequested():
                call = None if event.source is None else self._requests.get(event.source)
                if call is None:
                    key = event.key or call_key(event.kind, event.prompt)  # version 1 had no keys
                    same = node.calls.setdefault(key, [])
                    call = RecordedCall(event, self._turn, Recorded(self._strict), len(same))
                    same.append(call)
                    self._requests[event.seq] = call
                self._calls[event.call], self._nodes[event.call] = call, call.node
            case events.CallChecked():
                if (call := self._calls.get(event.call)) is not None and call.finished is None:
                    call.checks.append(event)
            case events.CallFinished():
                if not event.recorded and (call := self._calls.get(event.call)) is not None:
                    self._use(event.usage)
                    call.finished = event
            case events.ToolStarted():
                tool = self._tools[event.node, event.call] = RecordedTool(self._turn)
                node.tools.setdefault((event.tool, event.arguments), []).append(tool)
            case events.ToolFinished():
                known = self._tools.get((event.node, event.call))
                if known is not None and not event.recorded and event.status != "cancelled":
                    known.finished = event

    def _use(self, usage: Usage) -> None:
        self.recording.usage += usage


def _position(node: Recorded, asked: list[bool]) -> int:
    """Return where in a node's replies the one to the last of an attempt's requests stands."""
    place = 0
    for last in asked[:-1]:
        while place < len(node.replies) and node.replies[place][1] and not last:
            place += 1  # an answer that was asked for when there were fewer turns
        place += 1
    return place
