"""What a run came to, in a few numbers: ``run.json`` has them, so that nobody has to read all events for them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from rlm_kernel.events.types import (
    CallFinished,
    CallRequested,
    Compacted,
    Event,
    InputKept,
    ModelReplied,
    NodeStarted,
    RunFinished,
)
from rlm_kernel.events.values import UNUSED, Usage

KEY = "finished"
"""Where they are in ``run.json``. A journal of before, and a run that has not ended, has none."""

By = Literal["root", "child", "call"]


@dataclass(frozen=True)
class Used:
    """What one model has used as the root model, as a child's, or in plain sub-calls."""

    by: By
    model: str
    usage: Usage


@dataclass(frozen=True)
class Figures:
    """What a run came to.

    Attributes
    ----------
    stop_reason, seconds, usage
        As in `RunFinished`: of all attempts together.
    used
        The same by who was asked; less in all, where an earlier attempt had paid for something that did not serve.
    input_bytes
        Of the inputs that the run was given, as files; ``None`` where the journal does not say it.
    """

    stop_reason: str
    seconds: float
    usage: Usage
    used: tuple[Used, ...] = ()
    input_bytes: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return them as ``run.json`` has them; what is 0 is left out of each usage."""
        used = [{"by": one.by, "model": one.model, **_short(one.usage)} for one in self.used]
        ended = {"stop_reason": self.stop_reason, "seconds": self.seconds}
        return {**ended, "usage": _short(self.usage), "used": used, "input_bytes": self.input_bytes}

    @classmethod
    def from_json(cls, content: Any) -> Figures | None:
        """Return what ``run.json`` has; ``None`` where that is missing or makes no sense."""
        try:
            used = [Used(_by(one["by"]), str(one["model"]), _usage(one)) for one in content["used"]]
            size = content["input_bytes"]
            return cls(
                str(content["stop_reason"]),
                float(_number(content["seconds"])),
                _usage(content["usage"]),
                tuple(used),
                None if size is None else int(_number(size)),
            )
        except (KeyError, TypeError, ValueError):
            return None


class Counting:
    """Counts as the events come; a journal's writer has one."""

    def __init__(self, input_bytes: int | None = None) -> None:
        self._models: dict[str, tuple[By, str]] = {}
        """Of nodes, and of plain calls under way."""
        self._used: dict[tuple[By, str], Usage] = {}
        self._inputs: dict[str, int] = {}
        self._before = input_bytes

    def apply(self, event: Event) -> None:
        """Take an event."""
        match event:
            case CallRequested():
                self._models[event.call] = "call", event.model
            case CallFinished():
                asked = self._models.pop(event.call, None)
                self._use(asked, event.usage)
            case ModelReplied() | Compacted():
                self._use(self._models.get(event.node), event.usage)
            case NodeStarted():
                self._models[event.node] = "root" if event.depth == 0 else "child", event.model
            case InputKept():
                self._inputs[str(event.load.get("name"))] = event.bytes
            case _:
                pass

    def figures(self, event: RunFinished) -> Figures:
        """Return what the run has come to with its last event."""
        used = tuple(Used(by, model, usage) for (by, model), usage in self._used.items())
        size = sum(self._inputs.values()) if self._inputs else self._before
        return Figures(event.stop_reason, event.seconds, event.usage, used, size)

    def _use(self, asked: tuple[By, str] | None, usage: Usage) -> None:
        if asked is not None and usage.calls:
            self._used[asked] = self._used.get(asked, UNUSED) + usage


def _short(usage: Usage) -> dict[str, Any]:
    return {name: value for name, value in asdict(usage).items() if value}


def _usage(content: Any) -> Usage:
    counts = {f.name: int(_number(content.get(f.name, 0))) for f in fields(Usage) if f.name != "cost"}
    return Usage(**counts, cost=float(_number(content.get("cost", 0.0))))


def _by(name: Any) -> By:
    if name not in ("root", "child", "call"):
        raise ValueError(name)
    return name  # type: ignore[no-any-return]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(value)
    return value
