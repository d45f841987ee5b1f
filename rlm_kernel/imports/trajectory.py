"""One RLM as `rlms` logs it: its configuration and its iterations, and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from rlm_kernel.events.types import StopReason
from rlm_kernel.events.values import Message, Role, Usage
from rlm_kernel.imports import usage
from rlm_kernel.imports.lines import Record, moment, number, record, records, text

KEPT = 2
"""Messages of the opening that `rlms` keeps when it summarizes a history."""

_QUESTIONS = (
    re.compile(r"\AAnswer the following: (.*?)\n\nYour context is", re.DOTALL),
    re.compile(r"original (?:query|prompt): \"(.+?)\"", re.DOTALL),
)
_CONTEXT = re.compile(r"Your context is an? (\w{1,50}) of (\d{1,18}) total characters")


class Trajectory:
    """What is known of an RLM in the log.

    Attributes
    ----------
    answer
        Its last ``final_answer``; ``None`` while there is none.
    options
        What of the run's options decides how its messages are put together.
    began, clock
        Unix seconds: when it began, 0 where the log does not say; and how far it has been told.
    cells, calls
        How many it has had until now; counted by who tells of it.
    of_reply
        The usage of each of its replies, where the log does not say it of each.
    own
        The usage of all of them together, where the log says that.
    """

    def __init__(
        self,
        node: str,
        depth: int,
        metadata: Record,
        iterations: Sequence[Record],
        *,
        prompt: str = "",
        whole: Usage | None = None,
    ) -> None:
        self.id = node
        self.depth = depth
        self.iterations = [each for each in iterations if isinstance(each.get("code_blocks"), list)]
        self.model = text(metadata.get("root_model"))
        self.cells = self.calls = 0
        self._ours = record(metadata.get("rlm_kernel"))
        self._history: list[Message] = []
        self._opening = 0
        self.options = _options(record(self._ours.get("options"))) if self._ours else {"compat": "rlms"}
        opening = messages(self.iterations[0].get("prompt")) if self.iterations else []
        said = [message.content for message in opening if message.role == "user"]
        self.question = text(self._ours.get("question")) or _question(said) or prompt
        self.context = record(self._ours.get("context")) or _context(said)
        self.began = self.clock = self._began(metadata)
        self.answer = self._answer()
        self.own = self._own_usage(whole)
        self.of_reply = usage.UNKNOWN if self.own is None else Usage()

    def listen(self, prompt: Any, reply: str) -> tuple[tuple[Message, ...], tuple[int, tuple[Message, ...]] | None]:
        """Take what the model was sent and what it said; return what was new in it, and what a summary has changed.

        The second is how many messages a summary has replaced, and those that follow the opening since. In trajectories
        kept in memory, as those of children, every prompt holds all messages up to the end: it is cut where its reply
        stands.
        """
        sent, before, own = messages(prompt), self._history, Message("assistant", reply)
        shared = next((n for n, (a, b) in enumerate(zip(sent, before, strict=False)) if a != b), len(before))
        shared = min(shared, len(sent))
        if shared == len(before) - 1 < len(sent) and _is_beginning(sent[shared], before[shared]):
            before, shared = sent[: shared + 1], shared + 1
        if own in sent[shared:]:
            sent = sent[: sent.index(own, shared)]
        compacted = None
        if shared < len(before):
            kept = min(KEPT, self._opening) if self.options.get("compat") == "rlms" else self._opening
            if shared >= kept and len(sent) > kept:
                compacted = len(before) - kept, tuple(sent[kept:-1])
                shared = len(sent) - 1
            else:  # another conversation: the whole of it is new
                shared = 0
        if not before:
            self._opening = len(sent)
        self._history = [*sent, own]
        return tuple(sent[shared:]), compacted

    def end(self) -> tuple[StopReason, str | None]:
        """Return how it ended, and why if it failed."""
        reason: Any = self._ours.get("stop_reason")
        if reason in get_args(StopReason):
            return reason, text(self._ours.get("error")) or None
        if self.answer is None:
            return "error", "The log ends without an answer."
        last = self.iterations[-1]
        unasked = not last["code_blocks"] and number(last.get("iteration_time")) is None
        return ("max_iterations" if unasked else "answered"), None

    def _began(self, metadata: Record) -> float:
        if not self.iterations:
            return moment(metadata.get("timestamp")) or 0.0
        end, seconds = moment(self.iterations[0].get("timestamp")), number(self.iterations[0].get("iteration_time"))
        return 0.0 if end is None else end - (seconds or 0.0)

    def _answer(self) -> str | None:
        for each in reversed(self.iterations):
            found = each.get("final_answer")
            if isinstance(found, list) and len(found) == 2:
                found = found[1]
            if found is not None:
                return text(found)
        return None

    def _own_usage(self, whole: Usage | None) -> Usage | None:
        if whole is None or any("usage" in each for each in self.iterations):
            return None
        calls = [
            call
            for each in self.iterations
            for block in records(each["code_blocks"])
            for call in records(record(block.get("result")).get("rlm_calls"))
            if not call.get("metadata")
        ]
        plain = sum((usage.of_summary(call.get("usage_summary")) or Usage() for call in calls), Usage())
        return usage.own(whole, plain, len(self.iterations))


def _options(ours: Record) -> dict[str, Any]:
    fences = ours.get("fences")
    tags = {"fences": fences} if isinstance(fences, list) and all(isinstance(tag, str) for tag in fences) else {}
    return {name: text(ours[name]) for name in ("compat", "cells") if ours.get(name) is not None} | tags


def _is_beginning(kept: Message, whole: Message) -> bool:
    """Whether a reply was kept without its end, as ``cells="first"`` does."""
    return kept.role == whole.role == "assistant" and whole.content.startswith(kept.content)


def messages(prompt: Any) -> list[Message]:
    """Return a prompt's messages; a text alone is the user's."""
    if isinstance(prompt, list):
        return [Message(_role(each.get("role")), text(each.get("content"))) for each in records(prompt)]
    return [] if prompt is None else [Message("user", text(prompt))]


def _role(value: Any) -> Role:
    roles: dict[Any, Role] = {"system": "system", "developer": "system", "assistant": "assistant"}
    return roles.get(value if isinstance(value, str) else None, "user")


def _question(said: Sequence[str]) -> str:
    for pattern in _QUESTIONS:
        for each in said:
            if match := pattern.search(each):
                return match[1]
    return ""


def _context(said: Sequence[str]) -> dict[str, Any]:
    for each in said:
        if match := _CONTEXT.search(each):
            kind, length = match[1], int(match[2])
            about = {"type": kind, "length": length, "unit": "characters"}
            return about | {"description": f"a {kind} of {length:,} characters"}
    return {}
