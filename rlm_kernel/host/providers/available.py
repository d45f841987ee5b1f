"""Which providers can be asked from here. Nothing is asked, and keys are only looked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rlm_kernel.errors import RLMError
from rlm_kernel.host.providers import ModelOptions, provider_names, resolve
from rlm_kernel.host.providers.policy import POLICIES
from rlm_kernel.host.providers.weights import KNOWN

__all__ = ["Provider", "providers"]

MODELS = {"local": tuple(KNOWN), "policy": tuple(POLICIES)}
"""Providers whose models we know by name; of the others only the provider does."""


@dataclass(frozen=True)
class Provider:
    """What may be named as a model, and whether it can be asked.

    Attributes
    ----------
    model
        ``provider/model``; ``provider/...`` where only the provider knows its models.
    works
        Whether everything is there that it needs: a key, a package, an address.
    detail
        What is there, or what is missing.
    """

    model: str
    works: bool
    detail: str


def providers() -> list[Provider]:
    """Return what may be named as a model here, by name."""
    return [_tried(f"{name}/{model}") for name in provider_names() for model in MODELS.get(name, ("...",))]


def _tried(name: str) -> Provider:
    try:
        model = resolve(name, ModelOptions())
    except RLMError as error:
        return Provider(name, False, re.split(r"\. |, or ", str(error).removeprefix(f"{name} "))[0])
    return Provider(name, True, "its key is set" if getattr(model, "key", "") else "no key is needed")
