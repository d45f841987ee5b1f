"""Somebody looks at each cell before it runs: lets it, changes it, skips it, or stops the run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rlm_kernel.host.verify.asking import Hook, name_of, verdict_of
from rlm_kernel.host.verify.verdict import ProposedCell, Verdict


class Approval:
    """The option ``approve``: asked for one cell at a time, however many nodes wait.

    Attributes
    ----------
    stop
        Ends the run; whoever runs it sets it.
    """

    def __init__(self, hook: Hook | None) -> None:
        self.stop: Callable[[], None] = lambda: None
        self._hook = hook
        self._turn = asyncio.Lock()

    def __bool__(self) -> bool:
        return self._hook is not None

    async def of(self, cell: ProposedCell) -> Verdict:
        """Return what becomes of a cell: it runs, another one runs, or none does."""
        assert self._hook is not None
        async with self._turn:
            verdict = await verdict_of("approve", self._hook, cell)
            if verdict.kind == "stop":
                self.stop()
                await asyncio.get_running_loop().create_future()  # until the run is cancelled
        if verdict.kind == "retry" or (verdict.kind == "refuse" and not verdict.reason.strip()):
            return Verdict.refuse(verdict.reason.strip() or f"{name_of(self._hook)} gave no reason.")
        return verdict
