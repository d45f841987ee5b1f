"""The options of a run: one frozen value that children inherit whole.

Flat names, grouped by file: `models`, `limits`, `loop`, `calls`, `context`, and the sandbox's `BoxOptions`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.host.checks import did_you_mean
from rlm_kernel.host.options import saved
from rlm_kernel.host.options.calls import CallOptions
from rlm_kernel.host.options.context import ContextOptions
from rlm_kernel.host.options.limits import RAISABLE, Limits
from rlm_kernel.host.options.loop import LoopOptions
from rlm_kernel.host.options.models import ModelChoice, ModelLike
from rlm_kernel.host.sandboxes.box import BoxOptions, package_folder

__all__ = ["RAISABLE", "BoxOptions", "Limits", "ModelLike", "Options"]

PRESETS: dict[tuple[str, Any], dict[str, Any]] = {
    ("compat", "rlms"): {"fences": ("repl",), "preview": False, "max_repeats": None},
    ("prompt", "small_model"): {"cells": "first"},  # small models invent the outputs of their cells
}
"""What an option changes in others, where the caller does not say otherwise."""


@dataclass(frozen=True, kw_only=True)
class Options(ModelChoice, BoxOptions, Limits, LoopOptions, CallOptions, ContextOptions):
    """Everything a caller may choose; the same names in Python, in the magic and in its configuration."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any model is paid."""
        self.check_box()
        self.check_limits()
        self.check_models()
        self.check_loop()
        self.check_calls()
        self.check_context()
        object.__setattr__(self, "packages", tuple(package_folder(path) for path in self.packages))

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Build options; an unknown name is refused with the nearest known one.

        Raises
        ------
        OptionError
            An option is unknown or has a value that cannot work.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                hint = did_you_mean(name, known) or f" Options: {', '.join(known)}."
                raise OptionError(f"Unknown option {name!r}.{hint}")
        changed: dict[str, Any] = {}
        for (name, value), preset in PRESETS.items():
            if options.get(name) == value:
                changed |= preset
        return cls(**changed | options)

    def with_limits(self, **limits: Any) -> Options:
        """Return the same options with other limits.

        Raises
        ------
        OptionError
            It is no limit that can be raised, or lower than it was.
        """
        for name, value in limits.items():
            if name not in RAISABLE:
                raise OptionError(f"{name!r} cannot be raised. Limits: {', '.join(RAISABLE)}.")
            before = getattr(self, name)
            if before is None or (isinstance(value, int | float) and value < before):
                raise OptionError(f"{name}={value!r} does not raise the limit, which was {before!r}.")
        return dataclasses.replace(self, **limits)

    def public(self) -> dict[str, Any]:
        """Return the options as JSON for the journal: no key, no functions."""
        return saved.to_json(self)
