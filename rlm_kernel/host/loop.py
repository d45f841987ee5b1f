"""A private event loop on a thread of its own: how sync callers, notebooks among them, run async code.

A notebook's own loop is running already and must stay free for Jupyter's messages, so a run never uses it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine on the private loop. Cancelling the future cancels the coroutine."""
    return asyncio.run_coroutine_threadsafe(coroutine, get())


async def to_the_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Await what has to be done whoever cancels, such as ending a kernel; a cancellation is raised afterwards."""
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()


def get() -> asyncio.AbstractEventLoop:
    """Return the private loop, whose thread starts with the first call; from any thread the same."""
    with _first:
        return _started()


_first = threading.Lock()


@cache
def _started() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    # A daemon: a run that nobody waits for must not keep the program from ending.
    threading.Thread(target=loop.run_forever, name="rlm-loop", daemon=True).start()
    return loop
