"""What a run has spent and may still spend: one owner for the whole tree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rlm_kernel.errors import LimitReached
from rlm_kernel.events.values import Usage
from rlm_kernel.host.config import Limits


@dataclass
class _Total:
    """The tree's one account. Owned by the run's event loop."""

    started: float = field(default_factory=time.monotonic)
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    spent: LimitReached | None = None


class Ledger:
    """A node's view of the account: its own iterations and depth, the whole tree's everything else."""

    def __init__(self, limits: Limits, *, depth: int = 0, total: _Total | None = None) -> None:
        self.limits = limits
        self.depth = depth
        self.iterations = 0
        self._total = total or _Total()

    def child(self) -> Ledger:
        """Return the view of a node one level down."""
        return Ledger(self.limits, depth=self.depth + 1, total=self._total)

    @property
    def may_recurse(self) -> bool:
        """Whether a child may have a REPL of its own."""
        return self.depth + 1 < self.limits.depth

    @property
    def usage(self) -> Usage:
        """The whole tree's usage so far."""
        return self._total.usage

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._total.started

    def start_iteration(self) -> int:
        """Count one more iteration of this node and return its number.

        Raises
        ------
        LimitReached
            The node's iterations are used up, or the tree has run into another limit since.
        """
        if self._total.spent is not None:
            raise self._total.spent
        self._check_tokens()
        if self.iterations >= self.limits.iterations:
            raise LimitReached("max_iterations", self.limits.iterations)
        self.iterations += 1
        return self.iterations

    @asynccontextmanager
    async def clock(self) -> AsyncIterator[None]:
        """End what runs inside when the run's time is up.

        Raises
        ------
        LimitReached
            The tree's seconds are used up.
        """
        left = None if self.limits.seconds is None else self.limits.seconds - self.seconds
        timeout = asyncio.timeout(left)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
            assert self.limits.seconds is not None
            raise LimitReached("max_seconds", self.limits.seconds) from None

    def start_call(self) -> None:
        """Reserve one sub-call, before anything is spent on it.

        Raises
        ------
        LimitReached
            Sub-calls or tokens are used up. The run ends when the cell that asked has ended.
        """
        self._check_tokens()
        if self.limits.calls is not None and self._total.calls >= self.limits.calls:
            self._spend(LimitReached("max_calls", self.limits.calls))
        self._total.calls += 1

    def charge(self, usage: Usage) -> None:
        """Add what a model call has used."""
        self._total.usage += usage

    def _check_tokens(self) -> None:
        if self.limits.tokens is not None and self._total.usage.tokens >= self.limits.tokens:
            self._spend(LimitReached("max_tokens", self.limits.tokens))

    def _spend(self, limit: LimitReached) -> None:
        self._total.spent = self._total.spent or limit
        raise limit
