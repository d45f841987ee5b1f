"""What tests of the engine write scripts with."""

from __future__ import annotations

from typing import Any

from rlm_kernel import Completion, ScriptedModel, journal
from rlm_kernel.events.types import Event


def cell(code: str) -> str:
    """A reply with one cell."""
    return f"Here is a cell.\n```repl\n{code}\n```"


def done(expression: str) -> str:
    """A reply whose cell answers."""
    return cell(f"answer['content'] = {expression}\nanswer['ready'] = True")


def heard(model: ScriptedModel, request: int = -1) -> str:
    """The last message of a request."""
    return model.requests[request][-1].content


def events_of(completion: Completion, kind: type[Event]) -> list[Any]:
    """The journal's events of a kind."""
    return [event for event in journal.read(completion.run_dir) if isinstance(event, kind)]
