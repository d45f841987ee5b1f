"""Fixed programs in the root model's place: ``policy/map-reduce``.

A policy writes the same cells whatever it sees, so it is an honest baseline for a real root model, and it needs no key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from rlm_kernel.errors import ModelError, OptionError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers import policies
from rlm_kernel.host.providers.base import ModelOptions, OnText, Reply
from rlm_kernel.host.providers.sampling import refuse_sampling

__all__ = ["POLICIES", "PolicyModel", "question_of"]

POLICIES = {"map-reduce": "map_reduce.py"}
"""Each policy's name, and the file in `policies` whose source goes into the box."""

LOOK = """\
size = len(context) if hasattr(context, "__len__") else 1
print(f"context: {type(context).__name__}, length {size:,}")
head = list(context)[:8] if isinstance(context, dict) else context[:3] if isinstance(context, list) else context
print(f"begins: {str(head)[:400]}")"""
RANK = """\
found = rank(passages(context), {question!r})
print(describe(found))"""
ASK = """\
decision = decide(found, ask(found, llm_query_batched))
print(report(decision))
answer["content"] = decision.text
answer["ready"] = True"""

_QUESTION = re.compile(r"<question>\n?(.*)</question>", re.DOTALL)


class PolicyModel:
    """A program that plays the root model in three turns: look at the context, rank its passages, ask and decide.

    It asks no model itself, so its replies use nothing; the cells it writes call the sub-model.

    Parameters
    ----------
    policy
        A name in `POLICIES`.
    options
        A program has no address, no key and no sampling.

    Raises
    ------
    OptionError
        No such policy, or ``sampling`` is given.
    """

    def __init__(self, policy: str, options: ModelOptions) -> None:
        if policy not in POLICIES:
            raise OptionError(f"There is no policy {policy!r}. Known: {', '.join(POLICIES)}.")
        self.name = f"policy/{policy}"
        refuse_sampling(
            f"{self.name} is a fixed program and", options.sampling, "Give sub_sampling= for its sub-model."
        )
        self._file = POLICIES[policy]

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        """Write the next cell.

        Raises
        ------
        ModelError
            No message holds the question, or all cells are written and none has answered.
        """
        question = question_of(messages)
        turns = [
            ("I look at the context first.", LOOK),
            ("I rank its passages for the question.", f"{_source(self._file)}\n\n{RANK.format(question=question)}"),
            ("I ask over the best passages in one batch and keep the answer that they support.", ASK),
        ]
        turn = sum(message.role == "assistant" for message in messages)
        if turn >= len(turns):
            raise ModelError(_failure(messages))
        text = _cell(*turns[turn])
        if on_text is not None:
            on_text(text)
        return Reply(text, Usage())

    async def aclose(self) -> None:
        """Do nothing: a policy has no connections."""


def question_of(messages: Sequence[Message]) -> str:
    """Read the question between its tags in the first user message.

    Raises
    ------
    ModelError
        There is no user message, or no question in it.
    """
    opening = next((message.content for message in messages if message.role == "user"), "")
    match = _QUESTION.search(opening)
    if match is None:
        raise ModelError("A policy finds no <question>...</question> in the first user message. Ask one there.")
    return match[1].removesuffix("\n")


def _cell(sentence: str, code: str) -> str:
    return f"{sentence}\n\n```repl\n{code}\n```"


def _failure(messages: Sequence[Message]) -> str:
    lines = [line.strip() for line in messages[-1].content.splitlines()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Reached|Died)\b", line)]
    reason = errors[-1] if errors else "its cells did not set an answer"
    return f"The fixed program could not answer: {reason}"


@cache
def _source(file: str) -> str:
    return (files(policies) / file).read_text(encoding="utf-8").strip()
