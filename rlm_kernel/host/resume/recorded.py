"""What the journal holds of a node, and what of it has been served.

A node's replies are served in their order. Its sub-calls and tools are found by their content, in any order, and each
serves once. Cells run again. Where a node does something else than before, its root model is asked again from there.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel.errors import ModelError, RLMError
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.host.prompts.record import CellRecord


def call_key(kind: str, prompt: str, **others: Any) -> str:
    """Return a digest of all that a sub-call asks; what is ``None`` or empty in ``others`` does not count."""
    asked = {name: value for name, value in others.items() if value}
    text = _KEY.encode([kind, prompt, asked])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


_KEY = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class JournalEnds(RLMError):
    """A replay has come to where the journal ends: what happened then came from outside."""


KINDS = ("stdout", "stderr", "display_data", "execute_result", "error")
SHOWN_CHARACTERS = 80
"""Of a line that differs."""


@dataclass
class RecordedCall:
    """A sub-call in the journal. ``finished`` is ``None`` where it was on its way when the journal ends."""

    request: events.CallRequested
    turn: int
    node: Recorded
    """Of a child RLM: what it has done."""
    place: int
    """Among the node's calls that ask the same."""
    finished: events.CallFinished | None = None
    checks: list[events.CallChecked] = field(default_factory=list)
    taken: bool = False


@dataclass
class RecordedTool:
    """A call of a tool in the journal."""

    turn: int
    finished: events.ToolFinished | None = None
    taken: bool = False


@dataclass
class RecordedCell:
    """A cell in the journal, with what it printed; ``status`` is ``None`` where it had not come to its end."""

    turn: int
    code: str
    checked: events.CellChecked | None = None
    """What whoever approves cells has said of it."""
    status: str | None = None
    printed: CellRecord = field(default_factory=CellRecord)


@dataclass(frozen=True)
class Difference:
    """What a cell did otherwise; ``diverges`` when what came after it in the journal is of no use any more.

    Other words alone do not: a time, an address, the order of a set.
    """

    text: str
    diverges: bool = False


@dataclass
class Recorded:
    """What the journal holds of one node, and how much of it has been served.

    ``strict`` is a replay: what is not recorded is an error, and what has failed fails again.
    """

    strict: bool = False
    replies: list[tuple[events.ModelReplied, bool]] = field(default_factory=list)
    """Each with whether it was asked for an answer only."""
    calls: dict[str, list[RecordedCall]] = field(default_factory=dict)
    tools: dict[tuple[str, str], list[RecordedTool]] = field(default_factory=dict)
    cells: dict[int, RecordedCell] = field(default_factory=dict)
    summaries: dict[int, events.Compacted] = field(default_factory=dict)
    limit: events.LimitHit | None = None
    ended: events.NodeFinished | None = None
    started: bool = False
    diverged: str = ""
    """Why its replies serve no more."""
    differences: list[str] = field(default_factory=list)
    """What cells have printed otherwise, in words."""
    _served: int = 0

    @property
    def usage(self) -> Usage:
        """What it has used, with everything below it."""
        calls = [call for same in self.calls.values() for call in same]
        own = [reply.usage for reply, _ in self.replies] + [summary.usage for summary in self.summaries.values()]
        below = [call.finished.usage for call in calls if call.finished is not None] + [
            call.node.usage for call in calls
        ]
        return sum([*own, *below], Usage())

    @property
    def calls_made(self) -> int:
        """How many sub-calls it has made that cost something, with those of everything below it."""
        calls = [call for same in self.calls.values() for call in same]
        cached = sum(call.finished is not None and call.finished.cached for call in calls)
        return len(calls) - cached + sum(call.node.calls_made for call in calls)

    @property
    def has_more(self) -> bool:
        """Whether any reply is left that may be served."""
        return not self.diverged and any(not last for _, last in self.replies[self._served :])

    def reply(self, last: bool) -> events.ModelReplied | None:
        """Take the next reply; ``last`` when only an answer is asked for, because the turns are used up.

        Raises
        ------
        JournalEnds
            In a replay: there is none.
        ModelError
            In a replay: there is none for a node that has gone another way.
        """
        while not self.diverged and self._served < len(self.replies):
            reply, was_last = self.replies[self._served]
            if last and not was_last:
                break
            self._served += 1
            if last == was_last:
                return reply
        if self.strict:
            if not self.diverged:
                raise JournalEnds("The journal ends here.")
            raise ModelError(f"The next reply is not recorded, and a replay asks no model. {self.diverged}")
        return None

    def begin(self, cell: int) -> None:
        """Begin a cell.

        Raises
        ------
        JournalEnds
            In a replay: it had not come to its end.
        """
        recorded = self.cells.get(cell)
        if self.strict and not self.diverged and (recorded is None or recorded.status is None):
            raise JournalEnds(f"The journal ends in cell {cell}.")

    def call(self, key: str) -> RecordedCall | None:
        """Take a sub-call of that key: one that ended well, else one that was begun."""
        free = [call for call in self.calls.get(key, ()) if not call.taken]
        good = (call for call in free if call.finished is not None and (self.strict or call.finished.status == "ok"))
        found = next(good, None) or next(iter(free), None)
        if found is not None:
            found.taken = True
        return found

    def tool(self, tool: str, arguments: str) -> events.ToolFinished | None:
        """Take the result of a tool's call."""
        for call in self.tools.get((tool, arguments), ()):
            result = call.finished
            if not call.taken and result is not None and (self.strict or result.status == "ok"):
                call.taken = True
                return result
        return None

    def check(self, cell: int, code: str) -> events.CellChecked | None:
        """Return what was said of a cell that is proposed again: nobody is asked twice."""
        before = self.cells.get(cell)
        said = None if before is None or before.status is None else before.checked
        return None if self.diverged or said is None or said.code != code else said

    def summary(self, iteration: int) -> events.Compacted | None:
        """Return the summary of the history that was made before a turn."""
        return None if self.diverged else self.summaries.get(iteration)

    def lacks(self, cell: int | None) -> bool:
        """Whether what a cell asks should be here: it had ended, and replies after it are yet to be served."""
        recorded = None if cell is None else self.cells.get(cell)
        return recorded is not None and recorded.status is not None and self.has_more

    def difference(self, cell: int, code: str, now: CellRecord) -> Difference | None:
        """Return what a cell that has run again did otherwise than before."""
        before = self.cells.get(cell)
        if before is None or before.status is None or not self.has_more:
            return None
        if before.code != code:
            return Difference(f"Cell {cell} is another one than in the journal.", diverges=True)
        if before.status != now.status:
            ends = f"Cell {cell} ended with {now.status!r}; in the journal with {before.status!r}."
            return Difference(ends, diverges=True)
        for kind in KINDS:
            was, text = before.printed.text(kind), now.text(kind)
            if was != text:
                return Difference(f"Cell {cell} printed {_first_difference(text, was)}")
        return None

    def cut(self, turns: int) -> None:
        """Forget what came after a turn."""
        self.replies = [(reply, last) for reply, last in self.replies if reply.iteration <= turns and not last]
        self.calls = {key: [call for call in calls if call.turn <= turns] for key, calls in self.calls.items()}
        self.tools = {key: [tool for tool in tools if tool.turn <= turns] for key, tools in self.tools.items()}
        self.cells = {index: cell for index, cell in self.cells.items() if cell.turn <= turns}
        self.summaries = {turn: summary for turn, summary in self.summaries.items() if turn <= turns}
        self.limit = self.ended = None


def _first_difference(now: str, was: str) -> str:
    """Return the first lines that differ."""
    pairs = itertools.zip_longest(now.splitlines(), was.splitlines(), fillvalue="")
    new, old = next((pair for pair in pairs if pair[0] != pair[1]), (now, was))
    return f"{new[:SHOWN_CHARACTERS]!r}; in the journal {old[:SHOWN_CHARACTERS]!r}."
