"""What is said of a kernel, and what it says of itself, in words that are checked and short."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError, WireError

CHARACTERS = 3_000
"""Of each thing that a kernel says of an input: the root model reads it, and an honest kernel says less."""


def loaded(content: Any) -> wire.Loaded:
    """Return what a kernel says of an input, cut where it is long.

    Raises
    ------
    ContextError
        It could not load it, or says nonsense.
    """
    try:
        said = wire.decode(wire.Loaded, content)
    except WireError as error:
        raise ContextError(f"The context could not be loaded: the kernel said nonsense: {error}") from None
    if said.error is not None:
        raise ContextError(f"The context could not be loaded: {said.error[:CHARACTERS]}")
    return replace(
        said, **{name: getattr(said, name)[:CHARACTERS] for name in ("type", "unit", "description", "preview")}
    )


def start(log: Path, error: Exception) -> str:
    """Say why a kernel did not start: the last line of its log, where it wrote one."""
    return last_line(log.read_text(errors="replace")) or str(error) or "no answer"


def last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return next(iter(text.strip().splitlines()[-1:]), "")


def end(status: int | None) -> str:
    """Say how a process ended."""
    if status is None or status >= 0:
        return f"its process ended with status {status}"
    return f"its process was ended by signal {-status} ({signal.strsignal(-status)})"
