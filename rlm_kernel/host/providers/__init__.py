"""Finds the model that an option names."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rlm_kernel.errors import OptionError, RLMError
from rlm_kernel.host.checks import did_you_mean
from rlm_kernel.host.providers.base import Model, ModelOptions, OnText, Reply
from rlm_kernel.host.providers.sampling import refuse_sampling

__all__ = ["Model", "ModelOptions", "OnText", "Reply", "provider_names", "resolve"]

GROUP = "rlm_kernel.providers"


def provider_names() -> list[str]:
    """Names that may stand before the slash in ``provider/model``."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def resolve(model: Any, options: ModelOptions) -> Model:
    """Turn ``"provider/model"``, a callable ``messages -> str`` or a `Model` into a `Model`.

    A model's own name may have slashes: ``openrouter/meta-llama/llama-3``.

    Raises
    ------
    OptionError
        No such provider, no such model, sampling that it does not take, or (`MissingKeyError`) no key. No model has
        been asked.
    """
    if isinstance(model, str):
        return _named(model, options)
    if callable(getattr(model, "complete", None)):
        refuse_sampling("A model that is passed as an object", options.sampling, "Give it where the object is made.")
        return model  # type: ignore[no-any-return]
    if callable(model):
        from rlm_kernel.host.providers.scripted import ScriptedModel

        refuse_sampling("A callable as a model", options.sampling, "Set it inside the callable.")
        return ScriptedModel(model)
    raise OptionError(f"A model is 'provider/model' or a callable messages -> str, not {type(model).__name__}.")


def _named(model: str, options: ModelOptions) -> Model:
    provider, slash, name = model.partition("/")
    if not (provider and slash and name):
        raise OptionError(
            f"Model {model!r} is not of the form provider/model, such as openai/gpt-5-mini or local/smollm2."
        )
    found = entry_points(group=GROUP, name=provider)
    if not found:
        names = provider_names()
        raise OptionError(
            f"Unknown provider {provider!r} in {model!r}.{did_you_mean(provider, names)} Providers: {', '.join(names)}."
        )
    built: Model = _load(next(iter(found)))(name, options)
    return built


def _load(entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except RLMError:
        raise
    except Exception as error:  # somebody else's package
        raise OptionError(
            f"Provider {entry.name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}. "
            "Install its package again, or use another provider."
        ) from error
