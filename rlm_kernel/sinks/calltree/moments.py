"""Folds a stream, and beside the tree keeps what that leaves out: when things were, and what root models were sent."""

from __future__ import annotations

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import Node, Tree, TreeBuilder
from rlm_kernel.events.types import Event

Key = tuple[str | int, ...]
"""``("node", id)``, ``("turn", node, index, last)``, ``("cell", node, index)`` or ``("tool", node, call)``."""


class Moments:
    """A tree and its moments, in seconds since the first event; the time a run was interrupted for is left out.

    Of a run that was resumed they are those of the last attempt: what that was served took no time.
    """

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._zero: float | None = None
        self._begin()

    def _begin(self) -> None:
        self.nodes: dict[str, Node] = {"0": self._builder.tree.root}
        """Nodes that are in the tree, by their ids."""
        self._last_words: set[str] = set()
        """Nodes that were asked for an answer only, because their turns were used up."""
        self.began: dict[Key, float] = {}
        self.ended: dict[Key, float] = {}
        self.last = 0.0
        """When the latest event was."""
        self.messages: dict[Key, list[tuple[str, str]]] = {}
        """Role and text of what was added to a node's history for a turn."""
        self.tools: dict[tuple[str, int], list[Key]] = {}
        """Keys of a cell's tools, in the order of the tree."""
        self.notes: dict[str, list[float]] = {}
        """When each note of a node was made."""
        self.summaries: dict[tuple[str, int], str] = {}
        """The summary that a note tells of, by node and index of the note."""

    def apply(self, event: Event) -> None:
        """Fold one event."""
        self._builder.apply(event)
        if isinstance(event, events.RunResumed):
            self._zero = event.time
            self._begin()
        now = self._now(event)
        node = self.nodes.get(event.node)
        if node is not None and node.notes:
            times = self.notes.setdefault(event.node, [])
            times += [now] * (len(node.notes) - len(times))
        match event:  # the most frequent ones first
            case events.CallRequested():
                self.began["node", event.call] = now
                if node is not None:
                    self.nodes[event.call] = node.calls[-1]
            case events.CallFinished():
                self.ended["node", event.call] = now
            case events.NodeStarted():
                self.began.setdefault(("node", event.node), now)
            case events.RunContinued():
                self.ended.pop(("node", event.node), None)
            case events.NodeFinished():
                self.ended["node", event.node] = now
            case events.ModelRequested():
                (self._last_words.add if event.last else self._last_words.discard)(event.node)
                self.began.setdefault(("turn", event.node, event.iteration, event.last), now)
                sent = self.messages.setdefault(("turn", event.node, event.iteration, event.last), [])
                sent += [(message.role, message.content) for message in event.messages]
            case events.ModelReplied():
                self.ended["turn", event.node, event.iteration, event.node in self._last_words] = now
            case events.CellStarted():
                self.began["cell", event.node, event.cell] = now
            case events.CellFinished():
                self.ended["cell", event.node, event.cell] = now
            case events.ToolStarted():
                key = ("tool", event.node, event.call)
                self.began[key] = now
                if event.cell is not None:
                    self.tools.setdefault((event.node, event.cell), []).append(key)
            case events.ToolFinished():
                self.ended["tool", event.node, event.call] = now
            case events.Compacted():
                self.summaries[event.node, len(self.notes.get(event.node, [])) - 1] = event.summary

    @property
    def tree(self) -> Tree:
        """The tree so far."""
        return self._builder.tree

    def passed(self, now: float) -> float:
        """Return the seconds from the first event until now, for a run that goes on."""
        return self.last if self._zero is None else max(self.last, now - self._zero)

    def _now(self, event: Event) -> float:
        if self._zero is None:
            self._zero = event.time
        elif isinstance(event, events.RunContinued):
            self._zero = event.time - self.last
        self.last = max(self.last, event.time - self._zero)
        return event.time - self._zero
