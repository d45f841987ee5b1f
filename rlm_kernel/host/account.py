"""The tree's one account: what was spent, what is reserved, and what is left of tokens and money.

Tokens and money are reserved before a request is sent, as much as it can come to, and charged with what it came to: a
request that may not fit waits until others have told what they used.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

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
EVENT_BYTES = 512
"""Of an event in the journal, beside its texts."""


class Pricing(Protocol):
    """What the ledger asks of `rlm_kernel.host.prices.Prices`."""

    def cost(self, model: str, usage: Usage) -> float | None:
        """Return a call's US dollars; ``None`` when unknown."""

    def ceiling(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """Return the most that a call can cost; ``None`` when unknown."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a request may use. ``max_tokens`` is what is left for the reply; ``None`` where nothing limits it."""

    max_tokens: int | None
    tokens: int = 0
    cost: float = 0.0


UNLIMITED = Reservation(None)


@dataclass
class Account:
    """What the whole tree has used. Owned by the run's event loop."""

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
    asked_bytes: int = 0
    """What cells have added to the journal, and to the host's memory, by what they asked."""
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    spent: LimitReached | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return (self.stopped or time.monotonic()) - self.started

    def go_on_from(self, usage: Usage, seconds: float) -> None:
        """Begin with what earlier attempts of the run have used."""
        self.usage = usage
        self.started -= seconds

    def stop(self) -> None:
        """Stop the clock: the run has ended."""
        self.stopped = time.monotonic()

    def raise_limits(self, limits: Limits) -> None:
        """Go on with other limits; what has been spent stays spent."""
        self.limits, self.spent = limits, None
        if self.stopped is not None:
            self.started += time.monotonic() - self.stopped
            self.stopped = None

    def check(self) -> None:
        """Raise the limit that the tree has run into."""
        most = self.limits.max_seconds
        if self.spent is None and most is not None and self.seconds >= most:
            self.spent = LimitReached("max_seconds", most)
        if self.spent is not None:
            raise self.spent

    def spend(self, limit: LimitReached) -> None:
        """Let the run end, with a limit that is spent, and raise it."""
        self.spent = self.spent or limit
        self.freed.set()  # who waits has nothing to wait for
        raise limit

    def record(self, *texts: str) -> None:
        """Count texts that cells have asked for, before the stream is told of them.

        Raises
        ------
        LimitReached
            It is too much. The run ends when the cell that asked has ended.
        """
        self.asked_bytes += EVENT_BYTES + sum(map(_escaped, texts))
        most = self.limits.max_journal_mb
        if most is not None and self.asked_bytes > most << 20:
            self.spend(LimitReached("max_journal_mb", most))

    def request(self, model: str, messages: Sequence[Message]) -> Request:
        """Reserve what a request to ``model`` can come to, and give back what `charge` has not used.

        Raises
        ------
        LimitReached
            It does not fit into what is left of the tokens or the money.
        """
        return Request(self, model, messages)

    def charge(self, model: str, messages: Sequence[Message], text: str, usage: Usage) -> Usage:
        """Add what a model call has used, with its price where that is known, and return it."""
        if usage.unpriced and self.prices is not None:
            usage = usage.priced(self.prices.cost(model, usage))
        self.usage += usage
        if not self.reserves:
            return usage
        size = _size(messages)
        if usage.unreported:
            self.assumed += int((size + len(text.encode("utf-8", "replace"))) * TOKENS_PER_BYTE / 2)
        elif size:
            rate = usage.input_tokens / size * MARGIN
            self.rates[model] = max(self.rates.get(model, 0.0), min(rate, 1.0))
        return usage

    def use_recorded(self, usage: Usage, *, paid: bool) -> None:
        """Take what the journal serves: it is counted already, unless the run is a replay of all of it."""
        if not paid:
            self.usage += usage

    @property
    def reserves(self) -> bool:
        """Whether anything is limited that a request has to fit into."""
        return self.limits.max_tokens is not None or self.limits.max_cost is not None

    async def reserve(self, model: str, messages: Sequence[Message]) -> Reservation:
        """Reserve what a request can come to, as soon as there is so much; see `request`."""
        while True:
            self.check()
            limits = self.limits
            tokens_in = int(_size(messages) * self.rates.get(model, TOKENS_PER_BYTE)) + MESSAGE_TOKENS * len(messages)
            for output in (OUTPUT_TOKENS, self._affordable(model, tokens_in)):
                wanted = Reservation(output, tokens_in + output, self._ceiling(model, tokens_in, output))
                short = self._short(wanted)
                if output >= LEAST_OUTPUT_TOKENS and short is None:
                    self.reserved_tokens += wanted.tokens
                    self.reserved_cost += wanted.cost
                    return wanted
                if self.reserved_tokens:  # others may use less than they have reserved
                    break
            else:
                limit = short or ("max_tokens" if limits.max_tokens is not None else "max_cost")
                self.spend(LimitReached(limit, getattr(limits, limit)))
            self.freed.clear()
            await self.freed.wait()

    def give_back(self, reservation: Reservation) -> None:
        """Let others have what was reserved."""
        self.reserved_tokens -= reservation.tokens
        self.reserved_cost -= reservation.cost
        self.freed.set()

    def _short(self, wanted: Reservation) -> str | None:
        """Return the limit that a reservation does not fit into."""
        limits = self.limits
        tokens = self.usage.tokens + self.assumed + self.reserved_tokens + wanted.tokens
        if limits.max_tokens is not None and tokens > limits.max_tokens:
            return "max_tokens"
        cost = self.usage.cost + self.reserved_cost + wanted.cost
        if limits.max_cost is not None and cost > limits.max_cost:
            return "max_cost"
        return None

    def _affordable(self, model: str, tokens_in: int) -> int:
        """Return how long a reply may be with what is left, if nobody else asks."""
        limits, output = self.limits, OUTPUT_TOKENS
        if limits.max_tokens is not None:
            output = min(output, limits.max_tokens - self.usage.tokens - self.assumed - tokens_in)
        if limits.max_cost is not None:
            left = limits.max_cost - self.usage.cost - self._ceiling(model, tokens_in, 0)
            each = self._ceiling(model, tokens_in, 1000) - self._ceiling(model, tokens_in, 0)
            output = min(output, int(left / each * 1000)) if each > 0 else output
        return output

    def _ceiling(self, model: str, tokens_in: int, tokens_out: int) -> float:
        if self.limits.max_cost is None or self.prices is None:
            return 0.0
        return self.prices.ceiling(model, tokens_in, max(tokens_out, 0)) or 0.0


class Request:
    """A request under way, with what is reserved for it. A class, as the generator of a context manager costs more."""

    __slots__ = ("_account", "_messages", "_model", "_reservation")

    def __init__(self, account: Account, model: str, messages: Sequence[Message]) -> None:
        self._account, self._model, self._messages = account, model, messages
        self._reservation: Reservation | None = None

    async def __aenter__(self) -> Reservation:
        if not self._account.reserves:
            return UNLIMITED
        self._reservation = await self._account.reserve(self._model, self._messages)
        return self._reservation

    async def __aexit__(self, *error: object) -> None:
        if self._reservation is not None:
            self._account.give_back(self._reservation)


def _size(messages: Sequence[Message]) -> int:
    """Bytes of the texts, or a few more: what is not ASCII counts three times."""
    return sum(len(m.content) if m.content.isascii() else 3 * len(m.content) for m in messages)


def _escaped(text: str) -> int:
    """Bytes of a text in the journal, which is ASCII, or a few more."""
    return len(text) if text.isascii() else 3 * len(text.encode("utf-8", "surrogatepass"))
