"""The names the model sees in the REPL, and their state when a cell ends."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any, Literal

from rlm_kernel import wire
from rlm_kernel.kernel.bridge import Bridge, value_of

ANSWER_CHARACTERS = 10_000_000
"""A longer answer is cut: it has to fit in one message and in the host's memory."""

ANSWER_DEPTH = 100
"""A value that is nested deeper crosses as its text: what reads it on the way may recurse."""

LISTED_VARIABLES = 200


class FailedCall(str):
    """A failed slot of a batch: a text that begins with ``Error:``, whose `error` is the reason alone."""

    error: str

    def __new__(cls, error: str) -> FailedCall:
        """Build the slot from the reason."""
        slot = super().__new__(cls, f"Error: {error}")
        slot.error = error
        return slot

    def __reduce__(self) -> tuple[type[FailedCall], tuple[str]]:
        return FailedCall, (self.error,)


class Namespace:
    """Puts the reserved names into a kernel's user namespace and keeps them there.

    The main thread owns it: cells run there, and `report` runs between them.
    """

    def __init__(self, user_ns: dict[str, Any], bridge: Bridge) -> None:
        self._ns = user_ns
        self._bridge = bridge
        self._answer: dict[str, Any] = {"content": "", "ready": False}
        self._reserved: dict[str, Any] = {
            "llm_query": self.llm_query,
            "llm_query_batched": self.llm_query_batched,
            "allm_query": self.allm_query,
            "rlm_query": self.rlm_query,
            "rlm_query_batched": self.rlm_query_batched,
            "SHOW_VARS": self.show_vars,
        }
        # IPython's own exit ends the kernel; sys.exit ends the cell only.
        self._ns.update(self._reserved, answer=self._answer, exit=sys.exit, quit=sys.exit)
        self._hidden = set(self._ns)

    def bind(self, name: str, value: Any) -> None:
        """Make an input a reserved name. ``context_0`` is also ``context``."""
        self._reserved[name] = value
        if name == "context_0":
            self._reserved["context"] = value
        self._ns.update(self._reserved)

    def llm_query(self, prompt: str, model: str | None = None) -> str:
        """Ask a language model one question and return its reply. The model sees only ``prompt``."""
        return self._one("llm", prompt, model)

    def llm_query_batched(self, prompts: Sequence[str], model: str | None = None) -> list[str]:
        """Ask many prompts at once; replies come in order, and a failed one is a text that begins ``Error:``."""
        return self._many("llm", prompts, model)

    async def allm_query(self, prompt: str, model: str | None = None) -> str:
        """`llm_query` for ``await``."""
        return value_of((await self._bridge.aask("llm", [_prompt(prompt)], model))[0])

    def rlm_query(self, prompt: str, model: str | None = None) -> str:
        """Give ``prompt`` to a child RLM as its ``context``; at the depth limit this is `llm_query`."""
        return self._one("rlm", prompt, model)

    def rlm_query_batched(self, prompts: Sequence[str], model: str | None = None) -> list[str]:
        """Run many child RLMs at once; results as in `llm_query_batched`."""
        return self._many("rlm", prompts, model)

    def show_vars(self) -> str:
        """Return the names and types of the variables you have made."""
        return str(self._variables())

    def report(self) -> wire.CellReport:
        """Read `answer` and put the reserved names back. Called when a cell has ended."""
        restored = [name for name, value in self._reserved.items() if self._ns.get(name) is not value]
        answer = self._ns.get("answer")
        if isinstance(answer, dict):
            self._answer = answer
        else:
            restored.append("answer")
        self._ns.update(self._reserved, answer=self._answer)
        content = self._answer.get("content", "")
        is_json, value = _json_value(content)
        return wire.CellReport(
            ready=_truth(self._answer.get("ready")),
            is_json=is_json,
            value=value,
            text=_text(content),
            restored=restored,
            variables=self._variables(),
        )

    def _variables(self) -> dict[str, str]:
        names = [
            name
            for name, value in self._ns.items()
            if not (name.startswith("_") or name in self._hidden or name in self._reserved)
            and not isinstance(value, ModuleType | FunctionType | type)
        ]
        return {name: type(self._ns[name]).__name__ for name in names[-LISTED_VARIABLES:]}

    def _one(self, kind: Literal["llm", "rlm"], prompt: str, model: str | None) -> str:
        return value_of(self._bridge.ask(kind, [_prompt(prompt)], model)[0])

    def _many(self, kind: Literal["llm", "rlm"], prompts: Sequence[str], model: str | None) -> list[str]:
        if isinstance(prompts, str):
            raise TypeError("expected a list of prompts, got one str; for one prompt there is the unbatched form")
        checked = [_prompt(prompt) for prompt in prompts]
        if len(checked) > wire.MAX_PROMPTS:
            raise ValueError(f"{len(checked):,} prompts in one batch; at most {wire.MAX_PROMPTS:,} are possible")
        if not checked:
            return []
        results = self._bridge.ask(kind, checked, model)
        for result in results:
            if result.limit is not None:
                value_of(result)  # a spent limit ends the batch; a failed call only its slot
        return [result.text if result.error is None else FailedCall(result.error) for result in results]


def _prompt(prompt: Any) -> str:
    if not isinstance(prompt, str):
        raise TypeError(f"a prompt is a str, not {type(prompt).__name__}")
    if len(prompt) > wire.PROMPT_CHARACTERS:
        raise ValueError(f"a prompt of {len(prompt):,} characters; at most {wire.PROMPT_CHARACTERS:,} are possible")
    # No provider takes a lone surrogate, which a context may hold.
    return prompt if prompt.isascii() else prompt.encode("utf-8", "replace").decode("utf-8")


def _json_value(content: Any) -> tuple[bool, Any]:
    """Whether ``content`` is exactly JSON (a tuple is not: it would come back as a list), and its value."""
    try:
        text = json.dumps(content, allow_nan=False)
        exact = len(text) <= ANSWER_CHARACTERS and _depth(text) <= ANSWER_DEPTH and json.loads(text) == content
    except Exception:  # not JSON, or the model's own __eq__ objects
        exact = False
    return exact, content if exact else None


def _depth(text: str) -> int:
    """How deep JSON is nested, or more, where its texts hold brackets."""
    deepest = depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _truth(value: Any) -> bool:
    try:
        return bool(value)
    except Exception:  # an array's truth is ambiguous, and the model's own __bool__ may do anything
        return False


def _text(content: Any) -> str:
    try:
        text = str(content)
    except Exception as error:  # the model's own __str__ may do anything
        text = f"<{type(content).__name__} whose str() raised {type(error).__name__}>"
    return text[:ANSWER_CHARACTERS]
