"""What a hook gets, and what it says: a sub-call and a verdict."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rlm_kernel.errors import ModelError


async def _nobody(prompt: str, model: str | None = None) -> str:
    raise ModelError("No run, no model: give the SubCall an `ask` to try a hook that asks.")


@dataclass(frozen=True)
class SubCall:
    """A sub-call, as a hook sees it.

    Attributes
    ----------
    node
        The RLM node whose cell asked, such as ``0`` or ``0.3``.
    call
        The call's own id, such as ``0.4``.
    kind
        ``llm`` for a plain completion, ``rlm`` for a child RLM with a REPL of its own.
    model
        The model that will answer, ``provider/model``.
    prompt
        What it is asked, as the cell wrote it; a child's task, where the input comes beside it.
    depth
        1 for calls of the root node.
    schema
        The JSON schema of the result, where the cell gave one.
    input_length
        Characters that a child gets beside the prompt, with ``context=``.
    context_length
        Characters of the asking node's own input; 0 where that is no text.
    ask
        ``await call.ask(prompt, model=None)`` asks a model on the run's account, within its limits.
    """

    node: str
    call: str
    kind: Literal["llm", "rlm"]
    model: str
    prompt: str
    depth: int = 1
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    input_length: int = 0
    context_length: int = 0
    ask: Callable[..., Awaitable[str]] = field(default=_nobody, repr=False, compare=False)


@dataclass(frozen=True)
class Verdict:
    """What a hook says. Made by `allow`, `refuse`, `rewrite`, `retry` and `stop`."""

    kind: Literal["allow", "refuse", "rewrite", "retry", "stop"]
    text: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no text: the reason goes to a model."""
        if not (isinstance(self.text, str) and isinstance(self.reason, str)):
            raise TypeError("A verdict's text and reason are str.")

    @staticmethod
    def allow(reason: str = "") -> Verdict:
        """Let it pass."""
        return Verdict("allow", reason=reason)

    @staticmethod
    def refuse(reason: str) -> Verdict:
        """End the call: the cell that asked gets an error with the reason. Or skip a cell: its model is told."""
        return Verdict("refuse", reason=reason)

    @staticmethod
    def rewrite(text: str, reason: str = "") -> Verdict:
        """Go on with another prompt, another result, or another cell."""
        return Verdict("rewrite", text, reason)

    @staticmethod
    def retry(reason: str) -> Verdict:
        """Ask again, with the reason; for a call that has not been made it is a refusal."""
        return Verdict("retry", reason=reason)

    @staticmethod
    def stop(reason: str = "") -> Verdict:
        """End the run instead of running a cell, as Ctrl-C does; for a call it is a refusal."""
        return Verdict("stop", reason=reason)


@dataclass(frozen=True)
class ProposedCell:
    """A cell that a root model has written and that is about to run, as ``approve=`` sees it.

    Attributes
    ----------
    node
        The RLM node whose cell it is, such as ``0`` or ``0.3``.
    cell
        Its number within the node, from 1.
    code
        What would run.
    question
        What the node has to find out.
    depth
        0 for the root node.
    """

    node: str
    cell: int
    code: str
    question: str = ""
    depth: int = 0
