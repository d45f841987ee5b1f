"""Past runs of this machine, the newest first: who was asked, and what it came to. Reads ``run.json`` of each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rlm_kernel.events.types import RunFinished
from rlm_kernel.events.values import Usage
from rlm_kernel.host.models import DEFAULT_MODEL, DEFAULT_SUB_MODEL
from rlm_kernel.host.resume.again import BY_HAND
from rlm_kernel.journal.figures import KEY, Figures, Used
from rlm_kernel.journal.reader import last_event
from rlm_kernel.journal.writer import RUN_FILE

NEWEST = 200
"""Runs that are looked at."""
OLD = 50
"""Of them, those of an older journal at most: its last event has to be read, too."""
STOPPED = ("cancelled", "error")
"""Ends that say nothing about what a whole run comes to."""


@dataclass(frozen=True)
class PastRun:
    """A run that has ended by itself: its models as its options named them, and what it came to."""

    root: str
    sub: str
    figures: Figures

    @property
    def used(self) -> tuple[Used, ...]:
        """What it has used, all of it, where it is known who has."""
        if not self.figures.used and self.root == self.sub:  # an older journal
            return (Used("root", self.root, self.figures.usage),)
        return self.figures.used

    @property
    def rest(self) -> Usage:
        """What is in no `used`: what an earlier attempt had paid for, and in older journals everything."""
        known = sum((one.usage for one in self.used), Usage())
        whole = self.figures.usage
        names = ("calls", "input_tokens", "output_tokens", "unreported", "unpriced")
        counts = {name: max(0, getattr(whole, name) - getattr(known, name)) for name in names}
        return Usage(**counts, cost=max(0.0, whole.cost - known.cost))


def past_runs(runs_dir: Path) -> Iterator[PastRun]:
    """Yield the newest runs of a folder that have ended by themselves; what cannot be read is left out.

    Not those of a person's cells, nor of other harnesses. A run's name begins with its date, so no run that is older
    than the newest `NEWEST` is touched.
    """
    try:
        names = sorted((name for name in os.listdir(runs_dir) if not name.startswith(".")), reverse=True)  # noqa: PTH208
    except OSError:
        return
    older = 0
    for name in names[:NEWEST]:
        file = os.path.join(runs_dir, name, RUN_FILE)  # noqa: PTH118 - three times as fast, for hundreds of them
        with suppress(OSError):
            status = os.stat(file)  # noqa: PTH116
            content = _described(file, status.st_mtime_ns, status.st_size)
            if content is None:
                continue
            found, options = content
            if found is None and older < OLD:
                older += 1
                found = _last(file, status.st_mtime_ns)
            if found is not None and found.stop_reason not in STOPPED:
                yield PastRun(*chosen(options), found)


def chosen(options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the names of the root model and of the model of sub-calls, as options in a journal say them."""
    root = str(options.get("model") or DEFAULT_MODEL)
    default = DEFAULT_SUB_MODEL if root.startswith("policy/") else root
    return root, str(options.get("sub_model") or default)


@lru_cache(maxsize=2 * NEWEST)
def _described(file: str, modified: int, size: int) -> tuple[Figures | None, dict[str, Any]] | None:
    """Return what a run came to, if it says so, and its options; ``None`` where it is none of ours or damaged."""
    try:
        with open(file, "rb") as opened:  # noqa: PTH123
            content = json.loads(opened.read())
    except (ValueError, RecursionError):
        return None
    options = content.get("options") if isinstance(content, dict) else None
    if not isinstance(options, dict) or options.get(BY_HAND) or "imported_from" in options:
        return None
    return Figures.from_json(content.get(KEY)), {name: options.get(name) for name in ("model", "sub_model")}


@lru_cache(maxsize=2 * NEWEST)
def _last(file: str, modified: int) -> Figures | None:
    """Return what an older journal says in its last event."""
    last = last_event(Path(file).parent)
    return Figures(last.stop_reason, last.seconds, last.usage) if isinstance(last, RunFinished) else None
