"""Which limits of a run are near."""

from __future__ import annotations

from typing import Any

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.sinks.calltree.moments import Moments

NEAR = 0.8
"""The share of a limit from which on it is near."""


class Limits:
    """Follows what a run may use, and what it has used."""

    def __init__(self) -> None:
        self._most: dict[str, Any] = {}
        self._calls = 0

    def apply(self, event: Event, moments: Moments) -> None:
        """Fold one event, which the moments have folded already."""
        match event:  # the most frequent ones first
            case events.CallRequested():
                self._calls += 1
            case events.CallFinished():
                call = moments.nodes.get(event.call)
                below = sum(1 for _ in call.walk()) - 1 if event.recorded and call is not None else 0
                self._calls += below - event.cached
            case events.RunStarted() | events.RunResumed():
                self._most, self._calls = dict(event.options), 0
            case events.RunContinued():
                self._most |= event.limits

    def near(self, moments: Moments, seconds: float) -> list[tuple[str, float, float]]:
        """Return the limits that are near or spent: name, what is used, and the most there may be."""
        tree = moments.tree
        used = {
            "max_iterations": len(tree.root.iterations),
            "max_calls": self._calls,
            "max_tokens": tree.usage.tokens,
            "max_cost": round(tree.usage.cost, 4),
            "max_seconds": round(seconds, 1),
        }
        found = []
        for name, amount in used.items():
            most = self._most.get(name)
            if isinstance(most, int | float) and most > 0 and amount >= NEAR * most:
                found.append((name, amount, most))
        return found
