"""What tests of journals compare trees with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rlm_kernel.events.tree import Tree

TIMES_AND_IDS = {"id", "run", "started", "seconds", "attempts", "forked_from", "options", "recorded"}


def told(tree: Tree) -> Any:
    """A tree as plain values, without times, ids and how it came about."""
    return _without(asdict(tree))


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(item) for key, item in value.items() if key not in TIMES_AND_IDS}
    if isinstance(value, list):
        return [_without(item) for item in value]
    return value
