"""Small words for tests of tools on the host."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlm_kernel.errors import ToolError
from rlm_kernel.host.secret import Secret
from rlm_kernel.host.tools import Tools

VALUE = "ghp-0123456789"


def search(query: str, limit: int = 10) -> list[str]:
    """Find pages.

    The second paragraph is for ``help``.
    """
    return [query] * limit


class Finder:
    """Finds things."""

    def __call__(self, what: str) -> str:
        return what

    def method(self, what: str) -> str:
        """Find by method."""
        return what


async def fetch(url: str, *, headers: dict[str, str] | None = None) -> str:
    """Fetch a page."""
    return url


def a_loop() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


async def called(function: Any, *args: Any, **kwargs: Any) -> Any:
    return json.loads(await Tools.of({"f": function}).call("f", list(args), kwargs))


async def failure(function: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(ToolError) as raised:
        await Tools.of({"f": function, "TOKEN": Secret("TOKEN", VALUE)}).call("f", list(args), kwargs)
    return str(raised.value)
