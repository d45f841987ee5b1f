"""Small values that events carry: a chat message, and what a model call used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message: a role and its text."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What one or more model calls used.

    A provider that reports nothing leaves its call in ``unreported``, and a call whose price is not known is in
    ``unpriced``: unknown is never counted as zero.

    Attributes
    ----------
    calls
        Model calls made.
    input_tokens, output_tokens
        Tokens, summed over the calls that reported them; input tokens include those of the provider's prompt cache.
    cache_read_tokens, cache_write_tokens
        Input tokens that the provider's prompt cache gave, and those it took in.
    unreported
        Calls whose provider reported no tokens.
    cost
        US dollars, summed over the calls whose price is known.
    unpriced
        Calls whose price is not known.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unreported: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0

    @classmethod
    def of_call(
        cls,
        input_tokens: int | None,
        output_tokens: int | None,
        *,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        cost: float | None = None,
    ) -> Usage:
        """Usage of one call; ``None`` where the provider reported nothing."""
        unreported, unpriced = int(input_tokens is None or output_tokens is None), int(cost is None)
        tokens = (input_tokens or 0, output_tokens or 0)
        return cls(1, *tokens, unreported, cache_read_tokens, cache_write_tokens, cost or 0.0, unpriced)

    @property
    def tokens(self) -> int:
        """Input and output tokens together (a lower bound while ``unreported`` is not 0)."""
        return self.input_tokens + self.output_tokens

    def priced(self, cost: float | None) -> Usage:
        """Return one call's usage with its price, if the provider has not told it."""
        return self if cost is None or not self.unpriced else replace(self, cost=cost, unpriced=0)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.unreported + other.unreported,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cost + other.cost,
            self.unpriced + other.unpriced,
        )

    def __str__(self) -> str:
        calls = f"{self.calls:,} call" + ("" if self.calls == 1 else "s")
        if self.calls and self.unreported == self.calls:
            return f"{calls}, tokens unknown"
        return f"{calls}, {'at least ' if self.unreported else ''}{self.tokens:,} tokens{self._dollars()}"

    def _dollars(self) -> str:
        if not self.cost:
            return ""
        return f", {'at least ' if self.unpriced else ''}${self.cost:,.4f}"


UNUSED = Usage()
"""Of what has asked no model yet."""
