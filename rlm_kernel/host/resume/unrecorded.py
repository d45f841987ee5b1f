"""What stands in a replay's places for models and tools: they are never asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from rlm_kernel.errors import ModelError, ToolError
from rlm_kernel.events.values import Message
from rlm_kernel.host.providers import OnText, Reply


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


def unrecorded_tools(names: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """Return functions of these names that refuse to be called."""

    def refusing(name: str) -> Callable[..., Any]:
        def tool(*args: Any, **kwargs: Any) -> NoReturn:
            raise ToolError(f"{name}: this call is not recorded, and a replay calls no tools.")

        tool.__name__ = name
        return tool

    return {name: refusing(name) for name in names}
