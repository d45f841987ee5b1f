"""Readers of older journals: each turns a line of its version into one of the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rlm_kernel.errors import RLMError
from rlm_kernel.events.types import SCHEMA_VERSION

Line = dict[str, Any]


def _from_1(line: Line) -> Line:
    """Version 2 has only added fields, and each of them may be missing."""
    return line


UPGRADES: dict[int, Callable[[Line], Line]] = {1: _from_1}
"""Version -> what turns its lines into those of the next."""


def check(version: Any, where: str) -> int:
    """Return a journal's version.

    Raises
    ------
    RLMError
        It is none of ours, or newer than this program.
    """
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RLMError(f"{where} is not a journal of rlm-kernel: it says version {version!r}.")
    if version > SCHEMA_VERSION:
        raise RLMError(
            f"{where} was written by a newer rlm-kernel: journal version {version}, this one reads up to "
            f"{SCHEMA_VERSION}. Nothing was changed. Upgrade rlm-kernel to read it."
        )
    return version


def upgraded(line: Line, version: int) -> Line:
    """Return a line as the newest version has it."""
    for older in range(version, SCHEMA_VERSION):
        line = UPGRADES[older](line)
    return line
