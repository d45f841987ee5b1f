"""Runs a function of the caller's, sync or async, so that one that hangs can be left.

Not `asyncio.to_thread`: its threads are few and shared with the rest of the run, and Python waits for them at exit, so
that a few tools that hang would stop everything. A thread cannot be killed: one whose caller has gone runs on until its
function returns, and its result is dropped.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """Counts the threads that run. Owned by an event loop."""

    def __init__(self) -> None:
        self.running = 0


class RaisedError(Exception):
    """A function raised ``error``: anything, also what cannot pass through an event loop, such as `SystemExit`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(type(error)))
        self.error = error


async def run(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any], threads: Threads | None = None
) -> Any:
    """Call a function: on this loop where it is async, else in a thread of its own.

    Raises
    ------
    RaisedError
        It raised.
    """
    try:
        if is_async(function):
            return await function(*args, **kwargs)
        result = await in_thread(lambda: function(*args, **kwargs), threads)
        return await result if inspect.isawaitable(result) else result
    except (Exception, SystemExit) as error:
        raise error if isinstance(error, RaisedError) else RaisedError(error) from None


async def in_thread(function: Callable[[], T], threads: Threads | None = None) -> T:
    """Call a function in a thread of its own, with this task's context variables; ``threads`` counts it till its end.

    Raises
    ------
    RaisedError
        It raised.
    """
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    done: asyncio.Future[T | RaisedError] = loop.create_future()

    def deliver(outcome: T | RaisedError) -> None:
        if threads is not None:
            threads.running -= 1
        if not done.done():
            done.set_result(outcome)

    def work() -> None:
        outcome: T | RaisedError
        try:
            outcome = context.run(function)
        except BaseException as error:
            outcome = RaisedError(error)
        with suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(deliver, outcome)

    threading.Thread(target=work, name="rlm-tool", daemon=True).start()
    if threads is not None:
        threads.running += 1
    outcome = await done
    if isinstance(outcome, RaisedError):
        raise outcome
    return outcome


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a coroutine: a coroutine function, a partial of one, or an object with such a call."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
