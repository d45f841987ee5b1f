"""Which model does what in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel.host.checks import Number, check_mapping
from rlm_kernel.host.providers import Model

ModelLike = str | Model | Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """The models of a run.

    Attributes
    ----------
    model
        The root model: ``provider/model``, a callable ``messages -> str``, or a `Model`.
    sub_model
        Answers plain sub-calls at every depth; by default ``model``.
    child_model
        The root model of child RLMs; by default ``model``.
    models
        More of them: an int is a depth and gives the root model of the RLMs there (1 is a child of the root), a str is
        an alias that code may name in ``model=``.
    base_url, api_key
        For ``model``, and for the others where their provider is the same.
    sampling, sub_sampling
        Arguments for each request of root models, and of the models of sub-calls, such as ``{"temperature": 0}``.
    prices
        ``{"provider/model": (input, output)}`` in US dollars for a million tokens, before those of genai-prices.
    context_window
        Tokens that the root model can read, where it is not known.
    """

    model: ModelLike | None = None
    sub_model: ModelLike | None = None
    child_model: ModelLike | None = None
    models: Mapping[int | str, ModelLike] = field(default_factory=dict)
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    sub_sampling: Mapping[str, Any] = field(default_factory=dict)
    prices: Mapping[str, Any] = field(default_factory=dict)
    context_window: int | None = None

    def check_models(self) -> None:
        """Refuse what cannot work."""
        for name in ("sampling", "sub_sampling"):
            check_mapping(name, getattr(self, name), "{'temperature': 0}")
        check_mapping("models", self.models, "{'fast': 'openai/gpt-5-nano'}")
        check_mapping("prices", self.prices, "{'openai/gpt-5-mini': (0.25, 2)}")
        Number(optional=True, unit=" of tokens").check("context_window", self.context_window)
