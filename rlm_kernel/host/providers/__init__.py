"""Finds the model that an option names."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.host.providers.base import Model, ModelOptions, OnText, Reply

__all__ = ["Model", "ModelOptions", "OnText", "Reply", "provider_names", "resolve"]

GROUP = "rlm_kernel.providers"


def provider_names() -> list[str]:
    """Names that may stand before the slash in ``provider/model``."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def resolve(model: Any, options: ModelOptions) -> Model:
    """Turn ``"provider/model"``, a callable ``messages -> str`` or a `Model` into a `Model`.

    Raises
    ------
    OptionError
        No such provider, no such model, or (`MissingKeyError`) no key. No model has been asked.
    """
    if isinstance(model, str):
        provider, slash, name = model.partition("/")
        if not (provider and slash and name):
            raise OptionError(
                f"Model {model!r} is not of the form provider/model, such as openai/gpt-5-mini or local/smollm2."
            )
        found = entry_points(group=GROUP, name=provider)
        if not found:
            raise OptionError(f"Unknown provider {provider!r} in {model!r}. Providers: {', '.join(provider_names())}.")
        built: Model = next(iter(found)).load()(name, options)
        return built
    if callable(getattr(model, "complete", None)):
        return model  # type: ignore[no-any-return]
    if callable(model):
        from rlm_kernel.host.providers.scripted import ScriptedModel

        return ScriptedModel(model)
    raise OptionError(f"A model is 'provider/model' or a callable messages -> str, not {type(model).__name__}.")
