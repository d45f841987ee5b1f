"""The names the model sees in the REPL, and their state when a cell ends."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import Any

from rlm_kernel import wire
from rlm_kernel.data import type_name
from rlm_kernel.kernel.aliases import Finals, Replies, Reply, gather
from rlm_kernel.kernel.bridge import Bridge
from rlm_kernel.kernel.queries import FailedCall, Queries

ANSWER_CHARACTERS = 10_000_000
"""A longer answer is cut: it has to fit in one message and in the host's memory."""

ANSWER_DEPTH = 100
"""A value that is nested deeper crosses as its text: what reads it on the way may recurse."""

LISTED_VARIABLES = 200


class Namespace:
    """Puts the reserved names into a kernel's user namespace and keeps them there.

    The main thread owns it: cells run there, and `report` runs between them. Others may only look.
    """

    def __init__(self, user_ns: dict[str, Any], bridge: Bridge) -> None:
        self._ns = user_ns
        self._bridge = bridge
        self._keep_first = False
        self._answer: dict[str, Any] = {"content": "", "ready": False}
        queries, finals = Queries(bridge), Finals(user_ns, self._current_answer)
        self._aliases: dict[str, Any] = {
            "llm_batch": queries.llm_query_batched,
            "llm_query_batch": queries.llm_query_batched,
            "batch_llm_query": gather,
            "rlm": queries.rlm_query,
            "FINAL": finals.final,
            "FINAL_VAR": finals.final_var,
            "SUBMIT": finals.submit,
        }
        self._reserved: dict[str, Any] = {
            "llm_query": queries.llm_query,
            "llm_query_batched": queries.llm_query_batched,
            "allm_query": queries.allm_query,
            "rlm_query": queries.rlm_query,
            "rlm_query_batched": queries.rlm_query_batched,
            "arlm_query": queries.arlm_query,
            "SHOW_VARS": self.show_vars,
            "budget": queries.budget,
            "progress": queries.progress,
        }
        # IPython's own exit ends the kernel; sys.exit ends the cell only.
        self._ns.update(self._aliases, **self._reserved, answer=self._answer, exit=sys.exit, quit=sys.exit)
        self._hidden = set(self._ns)

    @property
    def names(self) -> frozenset[str]:
        """Every name that is reserved, or was taught by another harness."""
        return frozenset({*self._reserved, *self._aliases, "answer", "context", "history", "contexts"})

    def bind(self, name: str, value: Any) -> None:
        """Make an input a reserved name.

        The newest ``context_N`` is also ``context``, the newest ``history_N`` also ``history`` (as an older
        harness has it, they stay the first), and all inputs are in ``contexts``.
        """
        bound = {name: value}
        kind, _, number = name.partition("_")
        if number.isdigit() and not (self._keep_first and kind in self._reserved):
            bound[kind] = value
        self._reserved.update(bound)
        if kind == "context":
            inputs = sorted((n for n in self._reserved if n.startswith("context_")), key=lambda n: int(n[8:]))
            bound["contexts"] = self._reserved["contexts"] = [self._reserved[n] for n in inputs]
        self._ns.update(bound)

    def give(self, names: Mapping[str, Any], *, keep_first: bool = False) -> None:
        """Add the caller's tools and values to the reserved names, and begin with a fresh ``answer``."""
        self._keep_first = keep_first
        self._reserved.update(names)
        self._answer = {"content": "", "ready": False}
        self._ns.update(self._reserved, answer=self._answer)

    def show_vars(self) -> str:
        """Return the names and types of the variables you have made."""
        return str(self.variables())

    def report(self) -> wire.CellReport:
        """Read `answer` and put the reserved names back. Called when a cell has ended.

        An answer is reported as ready once: one that is refused has to be made ready again.
        """
        restored = [name for name, value in self._reserved.items() if self._ns.get(name) is not value]
        if not isinstance(self._ns.get("answer"), dict):
            restored.append("answer")
        report = self.read()
        self._ns.update(self._reserved, answer=self._answer)
        for name, value in self._aliases.items():  # the model's own names go before another harness's
            self._ns.setdefault(name, value)
        return replace(report, restored=restored)

    def read(self) -> wire.CellReport:
        """Read `answer` and the variables, and put nothing back."""
        answer = self._ns.get("answer")
        if isinstance(answer, dict):
            self._answer = answer
        content = self._answer.get("content", "")
        is_json, value = _json_value(content)
        ready = _truth(self._answer.get("ready"))
        if ready:
            self._answer["ready"] = False
        return wire.CellReport(
            ready=ready, is_json=is_json, value=value, text=_text(content), variables=self.variables()
        )

    def begin_cell(self) -> None:
        """Put back the names that are gone, where a person may give them another meaning; no answer is ready yet."""
        for name, value in {**self._aliases, **self._reserved, "answer": self._answer}.items():
            self._ns.setdefault(name, value)
        self._answer["ready"] = False

    def _current_answer(self) -> dict[str, Any]:
        answer = self._ns.get("answer")
        if not isinstance(answer, dict):
            answer = self._ns["answer"] = self._answer
        return answer

    def variables(self, most: int = LISTED_VARIABLES) -> dict[str, str]:
        """Return the names and types of what the cells have made, the newest of it. Any thread may ask."""
        names = [
            name
            for name, value in list(self._ns.items())
            if not (name.startswith("_") or name in self._hidden or name in self._reserved)
            and not issubclass(type(value), ModuleType | FunctionType | type)  # isinstance asks the value itself
        ]
        return {name: _kind(self._ns.get(name)) for name in names[-most:]}

    def given(self) -> dict[str, str]:
        """Return the names and types of what the cells were given and is no function: inputs, `answer`. Any thread."""
        names = [*list(self._reserved), "answer"]
        return {name: _kind(self._ns[name]) for name in names if name in self._ns and not callable(self._ns[name])}


def _kind(value: Any) -> str:
    """Name a value's type; a sub-call's text is a str, whatever else it can do."""
    kind = type(value)
    if issubclass(kind, Reply | FailedCall):
        return "str"
    return "list" if issubclass(kind, Replies) else type_name(kind)


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
