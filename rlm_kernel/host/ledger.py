"""A node's view of the account: its own iterations and depth, the whole tree's everything else.

Calls are counted before they are made; tokens and money are `rlm_kernel.host.account`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rlm_kernel.errors import LimitReached
from rlm_kernel.events.values import Usage
from rlm_kernel.host.account import Account, Pricing
from rlm_kernel.host.options import Limits


class Ledger:
    """A node's view of the account: its own iterations and depth, the whole tree's everything else."""

    def __init__(
        self, limits: Limits, prices: Pricing | None = None, *, depth: int = 0, account: Account | None = None
    ) -> None:
        self.depth = depth
        self.iterations = 0
        self.account = account or Account(limits, prices)

    def child(self) -> Ledger:
        """Return the view of a node one level down."""
        return Ledger(self.limits, depth=self.depth + 1, account=self.account)

    @property
    def limits(self) -> Limits:
        """The limits as they are now."""
        return self.account.limits

    @property
    def spent(self) -> LimitReached | None:
        """The limit that the tree has run into."""
        return self.account.spent

    @property
    def may_recurse(self) -> bool:
        """Whether a child may have a REPL of its own."""
        return self.depth + 1 < self.limits.max_depth

    @property
    def usage(self) -> Usage:
        """The whole tree's usage so far."""
        return self.account.usage

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return self.account.seconds

    def budget(self) -> dict[str, dict[str, Any]]:
        """Return each limit that there is: ``limit``, ``used`` and ``left``."""
        account, limits = self.account, self.limits
        used: dict[str, float] = {
            "iterations": self.iterations,
            "calls": account.calls,
            "tokens": account.usage.tokens + account.assumed,
            "cost": account.usage.cost,
            "seconds": round(self.seconds, 3),
            "depth": self.depth + 1,
        }
        most = {name: getattr(limits, f"max_{name}") for name in used}
        return {
            name: {"limit": most[name], "used": value, "left": most[name] - value}
            for name, value in used.items()
            if most[name] is not None
        }

    def start_iteration(self) -> int:
        """Count one more iteration of this node and return its number.

        Raises
        ------
        LimitReached
            The node's iterations are used up, or the tree has run into another limit since.
        """
        self.account.check()
        if self.iterations >= self.limits.max_iterations:
            raise LimitReached("max_iterations", self.limits.max_iterations)
        self.iterations += 1
        return self.iterations

    def check_turns(self, errors: int, repeats: int) -> None:
        """Look at how many turns in a row of a node have failed, or were the same.

        Raises
        ------
        LimitReached
            Too many.
        """
        for name, count in (("max_errors", errors), ("max_repeats", repeats)):
            most = getattr(self.limits, name)
            if most is not None and count >= most:
                raise LimitReached(name, most)

    def check_restarts(self, restarts: int) -> None:
        """Look at how often a node's kernel had to be started again.

        Raises
        ------
        LimitReached
            Too often.
        """
        most = self.limits.max_restarts
        if most is not None and restarts > most:
            raise LimitReached("max_restarts", most)

    @asynccontextmanager
    async def clock(self) -> AsyncIterator[None]:
        """End what runs inside when the run's time is up.

        Raises
        ------
        LimitReached
            The tree's seconds are used up.
        """
        left = None if self.limits.max_seconds is None else self.limits.max_seconds - self.seconds
        timeout = asyncio.timeout(left)
        try:
            async with timeout:
                yield
        except TimeoutError:
            if not timeout.expired():
                raise
            assert self.limits.max_seconds is not None
            self.account.spend(LimitReached("max_seconds", self.limits.max_seconds))

    def start_call(self) -> None:
        """Count one sub-call, before anything is spent on it.

        Raises
        ------
        LimitReached
            Sub-calls are used up. The run ends when the cell that asked has ended.
        """
        account, most = self.account, self.limits.max_calls
        account.check()
        if most is not None and account.calls >= most:
            account.spend(LimitReached("max_calls", most))
        account.calls += 1

    def take_back_call(self) -> None:
        """Uncount a call that cost nothing, because its answer was known."""
        self.account.calls -= 1
