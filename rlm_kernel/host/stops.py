"""Lets a reader stop one sub-call while the run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rlm_kernel.errors import RLMError


class CallStopped(RLMError):
    """A call was stopped by hand; for the cell that asked it is a call that failed."""

    def __init__(self) -> None:
        super().__init__("The call was stopped.")


class Stops:
    """The calls under way, each of which can be stopped with all below it. Owned by the run's event loop."""

    def __init__(self) -> None:
        self._calls: dict[str, asyncio.Timeout] = {}

    @asynccontextmanager
    async def of(self, call: str) -> AsyncIterator[None]:
        """Let what is done within be stopped under a call's id.

        Raises
        ------
        CallStopped
            It was.
        """
        scope = self._calls[call] = asyncio.timeout(None)  # a cancellation that stays within, and needs no task
        try:
            async with scope:
                yield
        except TimeoutError:
            if scope.expired():
                raise CallStopped from None
            raise
        finally:
            del self._calls[call]

    def stop(self, call: str) -> None:
        """Stop a call if it is still under way."""
        scope = self._calls.get(call)
        if scope is not None and not scope.expired():
            scope.reschedule(asyncio.get_running_loop().time())
