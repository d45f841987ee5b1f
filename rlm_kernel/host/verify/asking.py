"""Asks a hook of the caller's, and fails closed: one that fails, or says what is no verdict, refuses."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from rlm_kernel.errors import LimitReached
from rlm_kernel.host.answers.bounded_schema import shorten
from rlm_kernel.host.tools.work import RaisedError, in_thread
from rlm_kernel.host.verify.verdict import Verdict

Hook = Callable[..., Any]


async def verdict_of(option: str, hook: Hook, *arguments: Any) -> Verdict:
    """Ask a hook that was given as an option; one that fails, or says what is no verdict, refuses."""
    try:
        result = await _called(hook, arguments)
        if isinstance(result, Exception):
            raise result
        if result is None or result is True:
            return Verdict.allow()
        if result is False:
            return Verdict.refuse("")
        if isinstance(result, Verdict):
            return result
        problem = f"returned {type(result).__name__}; expected a Verdict, True, False or None"
    except LimitReached:
        raise
    except Exception as raised:
        error = raised.error if isinstance(raised, RaisedError) else raised
        problem = f"raised {type(error).__name__}: {shorten(str(error), 300)}"
    return Verdict.refuse(f"{option} {name_of(hook)} {problem}.")


async def _called(hook: Hook, arguments: tuple[Any, ...]) -> Any:
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
        return await hook(*arguments)
    # A thread of its own: one that waits for a person must not keep the process from ending.
    result = await in_thread(partial(_caught, hook, arguments))
    return await result if inspect.isawaitable(result) else result


def _caught(hook: Hook, arguments: tuple[Any, ...]) -> Any:
    """Return an exception instead of raising it: a StopIteration comes out of no thread and no coroutine."""
    try:
        return hook(*arguments)
    except Exception as error:
        return error


def name_of(hook: Hook) -> str:
    """Return what a hook is called in events and errors."""
    return getattr(hook, "__name__", None) or type(hook).__name__
