"""How much a model can read: asked only where it may matter."""

from __future__ import annotations

from rlm_kernel.errors import ModelError
from rlm_kernel.host.prices import Prices

CHARACTERS_PER_TOKEN = 4
MOST_CHARACTERS_PER_TOKEN = 8
"""Of a prompt that is surely too long."""
SMALLEST = 4_000
"""Tokens that every model of a provider can read; looking prices up takes time."""


class Windows:
    """The windows of a run's models, in tokens.

    Parameters
    ----------
    prices
        Knows those that are published.
    root
        The root model's name.
    given
        The root model's window, where the caller said it.
    """

    def __init__(self, prices: Prices, root: str, given: int | None) -> None:
        self._prices = prices
        self._known: dict[str, int | None] = {} if given is None else {root: given}

    def of(self, model: str, tokens: int) -> int | None:
        """Return a model's window; ``None`` when it is unknown, or so many tokens fit into any."""
        if model not in self._known:
            if tokens < SMALLEST and not model.startswith("local/"):
                return None
            self._known[model] = self._prices.window(model)
        return self._known[model]

    def check(self, model: str, characters: int) -> None:
        """Refuse what is surely longer than a model can read, before it is sent.

        Raises
        ------
        ModelError
            It says by how much.
        """
        window = self.of(model, characters // CHARACTERS_PER_TOKEN)
        if window is not None and characters > window * MOST_CHARACTERS_PER_TOKEN:
            most = window * CHARACTERS_PER_TOKEN
            raise ModelError(
                f"The prompt has {characters:,} characters; {model} reads {window:,} tokens, about {most:,} "
                f"characters: {characters - most:,} too many. Send smaller pieces, or pass context_window=."
            )
