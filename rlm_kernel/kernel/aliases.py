"""Names that other harnesses taught models, working as those models expect.

`rlms` before May 2026, verifiers, replm, fast-rlm, dspy.RLM and nano-rlm; none of them is told to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any


class Reply(str):
    """A sub-call's text that may also be awaited, as fast-rlm's models do it."""

    def __await__(self) -> Generator[Any, None, str]:
        return self
        yield  # makes this a generator

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class Replies(list[Any]):
    """A batch's results that may also be awaited."""

    def __await__(self) -> Generator[Any, None, list[Any]]:
        return self
        yield

    def __reduce__(self) -> Any:
        return list, (list(self),)


async def gather(*calls: Any) -> list[Any]:
    """``batch_llm_query(llm_query(a), llm_query(b))``: its calls have been answered when they were made."""
    return [await call if hasattr(call, "__await__") else call for call in calls]


class Finals:
    """``FINAL``, ``FINAL_VAR`` and ``SUBMIT``: they set the ``answer`` and say that it is ready."""

    def __init__(self, user_ns: dict[str, Any], answer: Callable[[], dict[str, Any]]) -> None:
        self._ns = user_ns
        self._answer = answer

    def final(self, content: Any = "") -> Any:
        """Answer with a value."""
        self._answer().update(content=content, ready=True)
        return content

    def final_var(self, name: Any) -> Any:
        """Answer with the variable of that name; what is no text is the value itself."""
        if not isinstance(name, str):
            return self.final(name)
        name = name.strip().strip("'\"")
        if name not in self._ns:
            raise NameError(f"FINAL_VAR: there is no variable {name!r}")
        return self.final(self._ns[name])

    def submit(self, *values: Any, **named: Any) -> Any:
        """Answer with one value, or with several by name."""
        if named and not values:
            return self.final(next(iter(named.values())) if list(named) == ["answer"] else named)
        return self.final(values[0] if len(values) == 1 else list(values))
