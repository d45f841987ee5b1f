"""Stands where a boxed kernel's bridge to the host does: what a person's cell asks goes to its run, in this process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import LLMCallError
from rlm_kernel.host.own.run import INTERRUPTED, CellRun
from rlm_kernel.kernel.bridge import Kind, Results, calls_of, parts_of

TICK_SECONDS = 0.2
ENDED = "The call was cancelled, because its cell has ended. Wait for the reply in the cell that asks."

Replies = list[Future[wire.Reply]]


class Asking:
    """Sends calls and waits, from any thread.

    Parameters
    ----------
    run
        Returns the run of the cell that runs now.
    tick
        Called again and again while something waits, in its thread.
    """

    def __init__(self, run: Callable[[], CellRun], tick: Callable[[], None]) -> None:
        self._run = run
        self._tick = tick
        self._uploads = itertools.count(1)

    def ask(self, kind: Kind, prompts: Sequence[str], model: str | None = None, **fields: Any) -> Results:
        """Send prompts and wait for their results, in order."""
        run = self._run()
        return self._wait(run, [run.serve(call) for call in calls_of(kind, prompts, model, **fields)])

    async def aask(self, kind: Kind, prompts: Sequence[str], model: str | None = None, **fields: Any) -> Results:
        """`ask` for asyncio."""
        run = self._run()
        return await self._await(run, [run.serve(call) for call in calls_of(kind, prompts, model, **fields)])

    def request(self, msg_type: str, message: wire.ToolCall) -> Results:
        """Send a call of a tool, or of the REPL's own ``budget`` and ``progress``, and wait for its result."""
        run = self._run()
        return self._wait(run, [run.serve(message)])

    async def arequest(self, msg_type: str, message: wire.ToolCall) -> Results:
        """`request` for asyncio."""
        run = self._run()
        return await self._await(run, [run.serve(message)])

    def upload(self, value: Any) -> str:
        """Send an input for a child, and return the id that a call names it by."""
        run, upload = self._run(), f"c{next(self._uploads)}"
        for part in parts_of(upload, value):
            run.upload(part)
        return upload

    def _wait(self, run: CellRun, replies: Replies) -> Results:
        try:
            while wait(replies, TICK_SECONDS).not_done:
                self._tick()
        except KeyboardInterrupt:
            _cancel(replies)
            raise KeyboardInterrupt(INTERRUPTED) from None  # anew, so that no frame of what has waited is shown
        return _results(run, replies)

    async def _await(self, run: CellRun, replies: Replies) -> Results:
        waiting: set[asyncio.Future[wire.Reply]] = {asyncio.wrap_future(reply) for reply in replies}
        try:
            while waiting:
                _, waiting = await asyncio.wait(waiting, timeout=TICK_SECONDS)
                self._tick()
        except asyncio.CancelledError:
            _cancel(replies)
            raise
        return _results(run, replies)


def _results(run: CellRun, replies: Replies) -> Results:
    try:
        return [result for reply in replies for result in reply.result().results]
    except CancelledError:
        raise (KeyboardInterrupt(INTERRUPTED) if run.interrupted else LLMCallError(ENDED)) from None


def _cancel(replies: Replies) -> None:
    for reply in replies:
        reply.cancel()
