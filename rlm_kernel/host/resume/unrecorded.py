"""What stands in a replay's places for models and tools: they are never asked."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from rlm_kernel.errors import ModelError, ToolError
from rlm_kernel.events.values import Message
from rlm_kernel.host.providers import OnText, Reply
from rlm_kernel.host.secret import Secret


class Unrecorded:
    """A model's name without the model."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        """Refuse.

        Raises
        ------
        ModelError
            Always.
        """
        raise ModelError(f"{self.name} would have to be asked here: this is not recorded, and a replay asks no model.")

    async def aclose(self) -> None:
        """Do nothing."""


def unrecorded_tool(name: str) -> Callable[..., Any]:
    """Return a function of that name that refuses to be called."""

    def tool(*args: Any, **kwargs: Any) -> NoReturn:
        raise ToolError(f"{name}: this call is not recorded, and a replay calls no tools.")

    tool.__name__ = name
    return tool


def unrecorded_secret(name: str) -> Secret:
    """Return a secret of that name, whose value nobody has written."""
    return Secret(name, secrets.token_hex(16))
