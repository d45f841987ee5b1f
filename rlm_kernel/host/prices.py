"""What model calls cost and how much a model can read: the caller's prices, then those that genai-prices ships.

Prices are US dollars. What is not known is ``None``, never zero: a server of one's own (vLLM, Ollama, ...) costs
something that only its owner knows. What runs in this process's care (``local/...``, ``policy/...``) costs nothing.
Nothing is fetched: a newer price list comes with a newer genai-prices, or in ``prices=``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import weights

__all__ = ["Prices"]

MILLION = 1_000_000
FREE = ("local", "policy")
LISTED_AS = {"gemini": "google"}
"""genai-prices' names for providers, where they differ from ours."""
UNLISTED = ("llamacpp", "lmstudio", "ollama", "portkey", "vllm")
"""Servers whose models' names say nothing about what they cost; genai-prices would find somebody else's price."""
KEYS = ("input", "output", "cache_read", "cache_write")
EXPECTED = "(input, output) in US dollars for a million tokens, or {'input': ..., 'output': ..., 'cache_read': ...}"
LONGEST_CALL = timedelta(hours=1)  # some prices change with the time of day


@dataclass(frozen=True, slots=True)
class _Rate:
    """A price that the caller gave, in US dollars for a million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float

    def cost(self, fresh: int, output: int, cache_read: int, cache_write: int) -> float:
        """Return US dollars for a call's tokens; ``fresh`` are those of the input that no cache had to do with."""
        parts = (fresh * self.input, output * self.output, cache_read * self.cache_read, cache_write * self.cache_write)
        return sum(parts) / MILLION


class Prices:
    """The prices of a run.

    Parameters
    ----------
    given
        By a model's name, such as ``openai/gpt-5-mini``: ``(input, output)`` in US dollars for a million tokens, or a
        mapping with ``input``, ``output`` and, where they differ from ``input``, ``cache_read`` and ``cache_write``.

    Raises
    ------
    OptionError
        A given price makes no sense.
    """

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self._given = {_model(name): _rate(name, price) for name, price in (given or {}).items()}
        self._unlisted: set[str] = set()

    def cost(self, model: str, usage: Usage) -> float | None:
        """Return what one call cost in US dollars, or ``None`` where its tokens or its price are not known."""
        if usage.calls == 0 or self._is_free(model):
            return 0.0
        if usage.unreported:
            return None
        read, write = usage.cache_read_tokens, usage.cache_write_tokens
        tokens = max(usage.input_tokens, read + write)  # a server may report its cache beside its input
        if rate := self._given.get(model):
            return rate.cost(tokens - read - write, usage.output_tokens, read, write)
        return self._listed_cost(model, tokens, usage.output_tokens, read, write)

    def ceiling(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """Return the most that a call can cost in US dollars, or ``None`` where the price is not known.

        Nothing is expected of the provider's prompt cache, and the surcharge for writing to it is included; so are the
        prices of long prompts, and the highest of what a price is within the next hour.
        """
        if self._is_free(model):
            return 0.0
        if rate := self._given.get(model):
            dearest = max(rate.input, rate.cache_read, rate.cache_write)
            return (input_tokens * dearest + output_tokens * rate.output) / MILLION
        now = datetime.now(UTC)
        costs = [
            self._listed_cost(model, input_tokens, output_tokens, 0, write, at)
            for write in (0, input_tokens)
            for at in (now, now + LONGEST_CALL)
        ]
        return max((cost for cost in costs if cost is not None), default=None)

    def window(self, model: str) -> int | None:
        """Return how many tokens a model can read, or ``None`` where that is not known."""
        provider, _, name = model.partition("/")
        if provider == "local":
            return weights.context_of(name) if weights.is_file(name) or name in weights.KNOWN else None
        found = self._listed(model, input_tokens=0, output_tokens=0)
        window: int | None = found and found.model.context_window
        return window

    def is_free(self, model: str) -> bool:
        """Whether calls are known to cost nothing; no list of prices is asked for that."""
        rate = self._given.get(model)
        return self._is_free(model) if rate is None else not any((rate.input, rate.output, rate.cache_write))

    def _is_free(self, model: str) -> bool:
        return model not in self._given and model.partition("/")[0] in FREE and "/" in model

    def _listed_cost(
        self, model: str, tokens: int, output: int, read: int, write: int, at: datetime | None = None
    ) -> float | None:
        counts = {"input_tokens": tokens, "output_tokens": output}
        found = self._listed(model, at, **counts, cache_read_tokens=read, cache_write_tokens=write)
        return None if found is None else float(found.total_price)

    def _listed(self, model: str, at: datetime | None = None, **counts: int) -> Any:
        """Ask genai-prices; ``None`` where it does not know the model."""
        provider, slash, name = model.partition("/")
        if not slash or provider in UNLISTED or provider in FREE or model in self._unlisted:
            return None
        import genai_prices  # takes a sixth of a second

        listed_as = LISTED_AS.get(provider, provider)
        try:
            found = genai_prices.calc_price(
                genai_prices.Usage(**counts), name, provider_id=listed_as, genai_request_timestamp=at
            )
        except LookupError:  # no such provider or model; looking for it takes long
            self._unlisted.add(model)
            return None
        except ValueError:  # a kind of price that wants other counts
            return None
        # It guesses a provider from a part of its name; a proxy is not the provider it is named after.
        return found if found.provider.id == listed_as or provider == "litellm" else None


def _model(name: Any) -> str:
    if not (isinstance(name, str) and name.strip()):
        raise OptionError(f"prices has {name!r}: expected a model's name such as 'openai/gpt-5-mini'.")
    return name


def _rate(name: str, price: Any) -> _Rate:
    if isinstance(price, Mapping):
        unknown = [key for key in price if key not in KEYS]
        if unknown or "input" not in price or "output" not in price:
            raise OptionError(f"prices[{name!r}]={price!r}: expected {EXPECTED}.")
        numbers = dict(price)
    elif isinstance(price, tuple | list) and len(price) == 2:
        numbers = {"input": price[0], "output": price[1]}
    else:
        raise OptionError(f"prices[{name!r}]={price!r}: expected {EXPECTED}.")
    for key, value in numbers.items():
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if not plain or not math.isfinite(value) or value < 0:
            raise OptionError(f"prices[{name!r}] has {key}={value!r}: expected US dollars for a million tokens.")
    cached = {"cache_read": numbers["input"], "cache_write": numbers["input"]}
    return _Rate(**cached | numbers)
