"""What a run has spent and may still spend: one owner for the whole tree.

Calls are counted before they are made. Tokens and money are reserved before a request is sent, as much as it can come
to, and charged with what it came to: a request that may not fit waits until others have told what they used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rlm_kernel.errors import LimitReached
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.options import Limits

OUTPUT_TOKENS = 8192
"""What is reserved for a reply, and the most it may have where tokens or money are limited."""
LEAST_OUTPUT_TOKENS = 16
"""A request that leaves less for the reply is not made."""
TOKENS_PER_BYTE = 0.5
"""What a prompt is taken for until a model's own rate is known. English text has about 0.25."""
MESSAGE_TOKENS = 16
"""Around each message, as providers write them out for the model."""
MARGIN = 1.25
"""On a model's own rate."""


class Pricing(Protocol):
    """What the ledger asks of `rlm_kernel.host.prices.Prices`."""

    def cost(self, model: str, usage: Usage) -> float | None:
        """Return a call's US dollars; ``None`` when unknown."""

    def ceiling(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """Return the most that a call can cost; ``None`` when unknown."""


@dataclass
class _Total:
    """The tree's one account. Owned by the run's event loop."""

    limits: Limits
    prices: Pricing | None
    started: float = field(default_factory=time.monotonic)
    stopped: float | None = None
    calls: int = 0
    usage: Usage = field(default_factory=Usage)
    assumed: int = 0
    """Tokens of calls whose provider told nothing, by the length of their texts."""
    reserved_tokens: int = 0
    reserved_cost: float = 0.0
    rates: dict[str, float] = field(default_factory=dict)
    """Model -> the most tokens per byte that its prompts had."""
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    spent: LimitReached | None = None


@dataclass(slots=True)
class Reservation:
    """What a request may use. ``max_tokens`` is what is left for the reply; ``None`` where nothing limits it."""

    max_tokens: int | None
    tokens: int = 0
    cost: float = 0.0
    usage: Usage = field(default_factory=Usage)
    """Of the call, with its price, once it is charged."""


class Ledger:
    """A node's view of the account: its own iterations and depth, the whole tree's everything else."""

    def __init__(
        self, limits: Limits, prices: Pricing | None = None, *, depth: int = 0, total: _Total | None = None
    ) -> None:
        self.depth = depth
        self.iterations = 0
        self._total = total or _Total(limits, prices)

    def child(self) -> Ledger:
        """Return the view of a node one level down."""
        return Ledger(self.limits, depth=self.depth + 1, total=self._total)

    @property
    def limits(self) -> Limits:
        """The limits as they are now."""
        return self._total.limits

    def stop(self) -> None:
        """Stop the clock: the run has ended."""
        self._total.stopped = time.monotonic()

    def raise_limits(self, limits: Limits) -> None:
        """Go on with other limits; what has been spent stays spent."""
        total = self._total
        total.limits, total.spent = limits, None
        if total.stopped is not None:
            total.started += time.monotonic() - total.stopped
            total.stopped = None

    @property
    def spent(self) -> LimitReached | None:
        """The limit that the tree has run into."""
        return self._total.spent

    @property
    def may_recurse(self) -> bool:
        """Whether a child may have a REPL of its own."""
        return self.depth + 1 < self.limits.max_depth

    @property
    def usage(self) -> Usage:
        """The whole tree's usage so far."""
        return self._total.usage

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return (self._total.stopped or time.monotonic()) - self._total.started

    def budget(self) -> dict[str, dict[str, Any]]:
        """Return each limit that there is: ``limit``, ``used`` and ``left``."""
        total, limits = self._total, self.limits
        used: dict[str, float] = {
            "iterations": self.iterations,
            "calls": total.calls,
            "tokens": total.usage.tokens + total.assumed,
            "cost": total.usage.cost,
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
        self._check()
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
            self.spend(LimitReached("max_seconds", self.limits.max_seconds))

    def start_call(self) -> None:
        """Count one sub-call, before anything is spent on it.

        Raises
        ------
        LimitReached
            Sub-calls are used up. The run ends when the cell that asked has ended.
        """
        self._check()
        total = self._total
        if total.limits.max_calls is not None and total.calls >= total.limits.max_calls:
            self.spend(LimitReached("max_calls", total.limits.max_calls))
        total.calls += 1

    def take_back_call(self) -> None:
        """Uncount a call that cost nothing, because its answer was known."""
        self._total.calls -= 1

    @asynccontextmanager
    async def request(self, model: str, messages: Sequence[Message]) -> AsyncIterator[Reservation]:
        """Reserve what a request to ``model`` can come to, and give back what `charge` has not used.

        Raises
        ------
        LimitReached
            It does not fit into what is left of the tokens or the money.
        """
        if self.limits.max_tokens is None and self.limits.max_cost is None:
            yield Reservation(None)
            return
        reservation = await self._reserve(model, messages)
        try:
            yield reservation
        finally:
            self._total.reserved_tokens -= reservation.tokens
            self._total.reserved_cost -= reservation.cost
            self._total.freed.set()

    def charge(self, model: str, messages: Sequence[Message], text: str, usage: Usage) -> Usage:
        """Add what a model call has used, with its price where that is known, and return it."""
        total = self._total
        if usage.unpriced and total.prices is not None:
            usage = usage.priced(total.prices.cost(model, usage))
        total.usage += usage
        if total.limits.max_tokens is None and total.limits.max_cost is None:
            return usage
        size = _size(messages)
        if usage.unreported:
            total.assumed += int((size + len(text.encode("utf-8", "replace"))) * TOKENS_PER_BYTE / 2)
        elif size:
            rate = usage.input_tokens / size * MARGIN
            total.rates[model] = max(total.rates.get(model, 0.0), min(rate, 1.0))
        return usage

    async def _reserve(self, model: str, messages: Sequence[Message]) -> Reservation:
        total = self._total
        while True:
            self._check()
            limits = total.limits
            tokens_in = int(_size(messages) * total.rates.get(model, TOKENS_PER_BYTE)) + MESSAGE_TOKENS * len(messages)
            for output in (OUTPUT_TOKENS, self._affordable(model, tokens_in)):
                wanted = Reservation(output, tokens_in + output, self._ceiling(model, tokens_in, output))
                short = self._short(wanted)
                if output >= LEAST_OUTPUT_TOKENS and short is None:
                    total.reserved_tokens += wanted.tokens
                    total.reserved_cost += wanted.cost
                    return wanted
                if total.reserved_tokens:  # others may use less than they have reserved
                    break
            else:
                limit = short or ("max_tokens" if limits.max_tokens is not None else "max_cost")
                self.spend(LimitReached(limit, getattr(limits, limit)))
            total.freed.clear()
            await total.freed.wait()

    def _check(self) -> None:
        """Raise the limit that the tree has run into."""
        most = self.limits.max_seconds
        if self._total.spent is None and most is not None and self.seconds >= most:
            self._total.spent = LimitReached("max_seconds", most)
        if self._total.spent is not None:
            raise self._total.spent

    def _short(self, wanted: Reservation) -> str | None:
        """Return the limit that a reservation does not fit into."""
        total, limits = self._total, self._total.limits
        tokens = total.usage.tokens + total.assumed + total.reserved_tokens + wanted.tokens
        if limits.max_tokens is not None and tokens > limits.max_tokens:
            return "max_tokens"
        cost = total.usage.cost + total.reserved_cost + wanted.cost
        if limits.max_cost is not None and cost > limits.max_cost:
            return "max_cost"
        return None

    def _affordable(self, model: str, tokens_in: int) -> int:
        """Return how long a reply may be with what is left, if nobody else asks."""
        total, limits, output = self._total, self._total.limits, OUTPUT_TOKENS
        if limits.max_tokens is not None:
            output = min(output, limits.max_tokens - total.usage.tokens - total.assumed - tokens_in)
        if limits.max_cost is not None:
            left = limits.max_cost - total.usage.cost - self._ceiling(model, tokens_in, 0)
            each = self._ceiling(model, tokens_in, 1000) - self._ceiling(model, tokens_in, 0)
            output = min(output, int(left / each * 1000)) if each > 0 else output
        return output

    def _ceiling(self, model: str, tokens_in: int, tokens_out: int) -> float:
        if self._total.limits.max_cost is None or self._total.prices is None:
            return 0.0
        return self._total.prices.ceiling(model, tokens_in, max(tokens_out, 0)) or 0.0

    def spend(self, limit: LimitReached) -> None:
        """Let the run end, with a limit that is spent, and raise it."""
        self._total.spent = self._total.spent or limit
        self._total.freed.set()  # who waits has nothing to wait for
        raise limit


def _size(messages: Sequence[Message]) -> int:
    """Bytes of the texts, or a few more: what is not ASCII counts three times."""
    return sum(len(m.content) if m.content.isascii() else 3 * len(m.content) for m in messages)
