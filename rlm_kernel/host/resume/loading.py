"""The inputs of a run as values in this process: what its REPL had as ``context``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.events.types import InputKept
from rlm_kernel.host.inputs.formats import kind_of
from rlm_kernel.host.resume.again import KeptInput
from rlm_kernel.host.resume.begin import saved_input, saved_inputs
from rlm_kernel.host.resume.recording import Recording
from rlm_kernel.journal import SavedRun


def loaded_inputs(saved: SavedRun, past: Recording) -> list[Any]:
    """Load the inputs of a run, in order.

    Raises
    ------
    ContextError
        One is gone, has changed, or cannot be loaded.
    """
    return [_loaded(kept, past.options) for kept in saved_inputs(saved, past)]


def loaded_input(directory: Path, kept: InputKept, options: Mapping[str, Any]) -> Any:
    """Load one input of the run in a directory.

    Raises
    ------
    ContextError
        It is gone, has changed, or cannot be loaded.
    """
    return _loaded(saved_input(directory, kept), options)


def _loaded(kept: Any, options: Mapping[str, Any]) -> Any:
    """Load an input as the kernel does."""
    from rlm_kernel.kernel import context  # the kernel's side: it is this process that plays it

    if isinstance(kept, KeptInput):
        return context.load(replace(kept.load, path=str(kept.file)))
    encoding, errors = options.get("encoding"), options.get("encoding_errors", "strict")
    kind: Any = kind_of(kept, encoding, options.get("context_format", "auto"))
    return context.load(wire.Load("context_0", str(kept), kind, encoding or "utf-8", errors))
