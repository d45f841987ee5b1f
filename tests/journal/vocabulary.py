"""What tests of journals compare trees with."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rlm_kernel.events.tree import Tree

TIMES_AND_IDS = frozenset({"id", "run", "started", "seconds"})
HOW_IT_CAME_ABOUT = TIMES_AND_IDS | {"attempts", "forked_from", "options", "recorded"}


def replayed(tree: Tree) -> str:
    """A tree as JSON, all of it but times and ids."""
    return json.dumps(_without(asdict(tree), TIMES_AND_IDS))


def told(tree: Tree) -> Any:
    """A tree as plain values, without times, ids and how it came about: of a run that went on."""
    return _without(asdict(tree), HOW_IT_CAME_ABOUT)


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items() if key not in names}
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    return value
