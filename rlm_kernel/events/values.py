"""Small values that events carry: a chat message, and what a model call used."""

from __future__ import annotations

from dataclasses import dataclass
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

    A provider that reports nothing leaves its call in ``unreported``: unknown is never counted as zero.

    Attributes
    ----------
    calls
        Model calls made.
    input_tokens, output_tokens
        Tokens, summed over the calls that reported them.
    unreported
        Calls whose provider reported no tokens.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    unreported: int = 0

    @classmethod
    def of_call(cls, input_tokens: int | None, output_tokens: int | None) -> Usage:
        """Usage of one call; ``None`` where the provider reported nothing."""
        unreported = int(input_tokens is None or output_tokens is None)
        return cls(1, input_tokens or 0, output_tokens or 0, unreported)

    @property
    def tokens(self) -> int:
        """Input and output tokens together (a lower bound while ``unreported`` is not 0)."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.unreported + other.unreported,
        )

    def __str__(self) -> str:
        calls = f"{self.calls:,} call" + ("" if self.calls == 1 else "s")
        if self.calls and self.unreported == self.calls:
            return f"{calls}, tokens unknown"
        return f"{calls}, {'at least ' if self.unreported else ''}{self.tokens:,} tokens"
