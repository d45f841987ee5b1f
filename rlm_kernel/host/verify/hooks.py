"""Hooks in the path of sub-calls: what is asked, and what comes back, may be allowed, refused, rewritten or retried.

A hook is a function of the caller's, sync or async, or a model that judges. It runs on the host, with the caller's
rights. A check that cannot check does not let pass: a hook that raises refuses the call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from rlm_kernel.errors import OptionError, RLMError
from rlm_kernel.host.answers.bounded_schema import shorten
from rlm_kernel.host.verify.approval import Approval
from rlm_kernel.host.verify.asking import Hook, name_of, verdict_of
from rlm_kernel.host.verify.judge import Judge
from rlm_kernel.host.verify.verdict import SubCall, Verdict

__all__ = ["Looked", "Refusal", "SubCall", "Verdict", "Verifiers", "name_of", "retry_prompt"]

Tell = Callable[[str, Verdict], None]
When = Literal["before", "after"]

SHOWN_CHARACTERS = 2_000
"""Of a result that is shown to the model again."""


class Refusal(RLMError):
    """A hook refused a sub-call, or its result; the text is the reason."""


@dataclass(frozen=True)
class Looked:
    """A result after all hooks: its text, and why it should be asked for again, if it should."""

    text: str
    retry: str | None = None


class Verifiers:
    """The hooks of a run.

    Parameters
    ----------
    before, after
        The options ``before_call`` and ``after_call``: nothing, a function, a ``provider/model`` that judges, or
        several of those. ``before_call(call)`` and ``after_call(call, text)`` return a `Verdict`; ``None`` and ``True``
        allow, ``False`` refuses.
    approve
        The option of that name, for cells.

    Raises
    ------
    OptionError
        One is something else, or takes other arguments.
    """

    def __init__(self, before: Any = None, after: Any = None, approve: Hook | None = None) -> None:
        self.approval = Approval(approve)
        self._before = _hooks("before", before)
        self._after = _hooks("after", after)

    def __bool__(self) -> bool:
        return bool(self._before or self._after)

    @property
    def models(self) -> tuple[str, ...]:
        """The models that judge."""
        return tuple(hook.model for hook in (*self._before, *self._after) if isinstance(hook, Judge))

    async def before(self, call: SubCall, tell: Tell | None = None) -> SubCall:
        """Return the call to make. ``tell`` hears each hook's name and verdict, at once.

        Raises
        ------
        Refusal
            A hook refused it.
        LimitReached
            A model that judges had no more to spend.
        """
        for hook in self._before:
            verdict = await verdict_of("before_call", hook, call)
            if verdict.kind == "retry":
                verdict = Verdict.refuse(verdict.reason)
            if tell is not None:
                tell(name_of(hook), verdict)
            if verdict.kind in ("refuse", "stop"):
                raise Refusal(f"The call was refused: {_reason(hook, verdict)}")
            if verdict.kind == "rewrite":
                call = replace(call, prompt=verdict.text)
        return call

    async def after(self, call: SubCall, text: str, tell: Tell | None = None) -> Looked:
        """Return the result to give, or why it should be asked for again.

        ``call`` is always what was asked first: in the prompt of another try stands the reply that was not accepted,
        which would then support itself.

        Raises
        ------
        Refusal
            A hook refused it.
        LimitReached
            A model that judges had no more to spend.
        """
        for hook in self._after:
            verdict = await verdict_of("after_call", hook, call, text)
            if tell is not None:
                tell(name_of(hook), verdict)
            if verdict.kind in ("refuse", "stop"):
                raise Refusal(f"The result was refused: {_reason(hook, verdict)}")
            if verdict.kind == "retry":
                return Looked(text, _reason(hook, verdict))
            if verdict.kind == "rewrite":
                text = verdict.text
        return Looked(text)


def retry_prompt(prompt: str, text: str, reason: str) -> str:
    """Return the prompt for another try: the first one, with the result that was not accepted and why."""
    return (
        f"{prompt}\n\nYour earlier reply to this was:\n{shorten(text, SHOWN_CHARACTERS)}\n\n"
        f"It was not accepted: {reason}\nReply to the request again, and only to it."
    )


def _hooks(when: When, value: Any) -> tuple[Hook, ...]:
    if value is None:
        return ()
    if isinstance(value, str) and value.strip():
        return (Judge(value, when),)
    if callable(value) and not isinstance(value, type):
        _check_arguments(when, value)
        return (value,)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(hook for item in value for hook in _hooks(when, item))
    raise OptionError(
        f"{when}_call={shorten(repr(value), 100)}: expected a function, a 'provider/model' that judges, "
        "or a list of those."
    )


def _check_arguments(when: When, hook: Hook) -> None:
    arguments = ("call",) if when == "before" else ("call", "text")
    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):  # some functions in C have none
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        wanted = f"{name_of(hook)}({', '.join(arguments)})"
        raise OptionError(f"{when}_call: {name_of(hook)} must be callable as {wanted}: {error}.") from None


def _reason(hook: Hook, verdict: Verdict) -> str:
    return verdict.reason.strip() or f"{name_of(hook)} gave no reason."
