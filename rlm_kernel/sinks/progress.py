"""How far a run has come, in one line: what it used, what is under way, which limit is near."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import Tree
from rlm_kernel.events.types import Event
from rlm_kernel.sinks.text import count, seconds, state

NEAR = 0.8
"""The part of a limit that is spent when it is told."""


@dataclass
class Progress:
    """What a view counts beside the tree, so that no refresh has to walk it.

    Attributes
    ----------
    running
        The ids of the sub-calls under way.
    asked
        Sub-calls that count against ``max_calls``: those that no earlier one has answered.
    children
        Child RLMs.
    limits
        The run's options, with the limits that were raised since.
    """

    running: set[str] = field(default_factory=set)
    asked: int = 0
    children: int = 0
    limits: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, tree: Tree) -> Progress:
        """Count what is in a tree, for a view that did not hear its events."""
        calls = [node for node in tree.root.walk() if node is not tree.root]
        running = {call.id for call in calls if call.state == "running"}
        return cls(running, sum(not c.cached for c in calls), sum(c.kind == "rlm" for c in calls), tree.options)

    def apply(self, event: Event) -> None:
        """Count an event."""
        match event:
            case events.RunStarted(options=options) | events.RunResumed(options=options):
                self.running, self.asked, self.children, self.limits = set(), 0, 0, dict(options)
            case events.CallRequested():
                self.running.add(event.call)
                self.asked += 1
                self.children += event.kind == "rlm"
            case events.CallFinished():
                self.running.discard(event.call)
                self.asked -= event.cached
            case events.NodeFinished():  # a child, whose call is about to end
                self.running.discard(event.node)
            case events.RunContinued(limits=limits):
                self.limits |= limits

    def line(self, tree: Tree) -> str:
        """Return the line. While the run goes on its clock does, also when nothing happens."""
        goes_on = tree.state == "running"
        elapsed = max(tree.seconds, time.time() - tree.started) if goes_on and tree.started else tree.seconds
        parts = [
            state(tree) if tree.run else "starting",
            f"turn {tree.root.iterations[-1].index}" if tree.root.iterations else "",
            count(self.children, "child RLM") if self.children else "",
            str(tree.usage),
            f"{len(self.running):,} running" if self.running and goes_on else "",
            seconds(elapsed),
            self.near(tree, elapsed) if goes_on else "",
        ]
        return " · ".join(filter(None, parts))

    def near(self, tree: Tree, elapsed: float) -> str:
        """Return the limit of which the largest part is spent, where that is much; else nothing."""
        used = {
            "max_calls": float(self.asked),
            "max_tokens": float(tree.usage.tokens),
            "max_cost": tree.usage.cost,
            "max_seconds": elapsed,
            "max_iterations": float(tree.root.iterations[-1].index if tree.root.iterations else 0),
        }
        name, part = max(((name, _part(self.limits, name, value)) for name, value in used.items()), key=lambda p: p[1])
        if part < NEAR:
            return ""
        return f"near {name}: {_number(used[name])} of {_number(self.limits[name])}"


def _part(limits: Mapping[str, Any], name: str, used: float) -> float:
    """Return how much of a limit is used; nothing where there is none, or where it must have been raised."""
    most = limits.get(name)
    if not isinstance(most, int | float) or isinstance(most, bool) or most <= 0 or used > most * 1.05:
        return 0.0
    return used / most


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
