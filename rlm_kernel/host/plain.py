"""The same question as one plain call, with the whole input in the prompt: what an RLM has to be better than."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import RLMError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host import loop
from rlm_kernel.host.asking import ask
from rlm_kernel.host.checks import Number
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.models import Models
from rlm_kernel.host.options import Options
from rlm_kernel.host.plain_text import as_text, least_characters
from rlm_kernel.host.providers import Model
from rlm_kernel.host.windows import CHARACTERS_PER_TOKEN

__all__ = ["PlainCall", "PlainResult", "Spread", "plain_calls"]

PROMPT = "<input>\n{text}\n</input>\n\n{question}"
"""The question comes last: models read best what stands behind a long input."""
MOST_TIMES = 1000


@dataclass(frozen=True)
class Spread:
    """The least, the middle and the most of some numbers."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Spread | None:
        """Return the spread of numbers, ``None`` where there are none."""
        found = sorted(numbers)
        return cls(found[0], statistics.median(found), found[-1]) if found else None


@dataclass(frozen=True)
class PlainCall:
    """One of the calls: its reply, or why it failed.

    ``seconds`` include waiting for a turn, where money or concurrency are short; ``finish`` is ``length`` where the
    reply was cut off.
    """

    text: str
    usage: Usage
    seconds: float
    error: str | None = None
    finish: str | None = None


@dataclass(frozen=True)
class PlainResult:
    """What plain calls came to.

    Attributes
    ----------
    model
        Who was asked.
    characters
        Of the prompt; at least so many, where it was not written because it cannot fit.
    window
        Tokens that the model can read; ``None`` where that is not known, or so short a prompt fits anyway.
    problem
        Why nothing was asked, and nothing paid: the prompt does not fit.
    calls
        The calls, in the order they were started; empty where there is a problem.
    seconds
        Wall-clock time of all of them together, in which they ran at once.
    """

    question: str
    model: str
    characters: int
    window: int | None
    problem: str | None
    calls: tuple[PlainCall, ...]
    seconds: float

    @property
    def replies(self) -> tuple[PlainCall, ...]:
        """The calls that did not fail."""
        return tuple(call for call in self.calls if call.error is None)

    @property
    def answers(self) -> list[tuple[str, int]]:
        """Each answer, without space around it, and how often it came; the most frequent first."""
        return Counter(call.text.strip() for call in self.replies).most_common()

    @property
    def answer(self) -> str:
        """The most frequent answer; of several, the one that was asked for first. Empty where there is none."""
        return self.answers[0][0] if self.replies else ""

    @property
    def errors(self) -> list[tuple[str, int]]:
        """Why calls failed, and how many of them for that reason."""
        return Counter(call.error for call in self.calls if call.error is not None).most_common()

    @property
    def usage(self) -> Usage:
        """What all calls used together."""
        return sum((call.usage for call in self.calls), Usage())

    @property
    def cost(self) -> float | None:
        """US dollars of all calls; ``None`` while the price of any is unknown."""
        return None if self.usage.unpriced else self.usage.cost

    @property
    def cost_spread(self) -> Spread | None:
        """US dollars of one call; ``None`` where no price is known."""
        return Spread.of(call.usage.cost for call in self.replies if not call.usage.unpriced)

    @property
    def token_spread(self) -> Spread | None:
        """Tokens of one call, input and output; ``None`` where no provider has told them."""
        return Spread.of(call.usage.tokens for call in self.replies if not call.usage.unreported)

    @property
    def seconds_spread(self) -> Spread | None:
        """Seconds of one call."""
        return Spread.of(call.seconds for call in self.replies)


async def plain_calls(options: Options, question: str, context: Any = None, *, times: int = 1) -> PlainResult:
    """Ask the root model the question in one call, with the whole input in the prompt; ``times`` such calls at once.

    They have an account of their own under the options' limits: tokens and money are reserved before each call, and
    ``max_seconds`` and ``max_concurrency`` hold; ``max_calls`` counts sub-calls, which there are none of. The root's
    ``sampling`` applies. Where the root is a fixed program (``policy/...``) the sub-model is asked. Nothing is
    answered from the cache, no journal is written, and answers are text, whatever ``answer_type`` is.

    Parameters
    ----------
    options
        As for an RLM.
    question, context
        As for `RLM.completion`; `rlm_kernel.host.plain_text` says what stands in the prompt. Without a context the
        question does, alone.
    times
        How many calls.

    Returns
    -------
    PlainResult
        A call that fails is told in it, and the others count. So is a prompt that is too long for the model, by an
        estimate of 4 characters a token: then nothing is asked.

    Raises
    ------
    OptionError
        ``times`` is no number of calls, or a model, its key or its price is missing.
    ContextError
        The input is empty, missing, or cannot stand in a prompt.
    RLMError
        There is no question.
    """
    Number(most=MOST_TIMES).check("times", times)
    if not isinstance(question, str) or not question.strip():
        raise RLMError("The question is empty. Write what you want to know about the context.")
    started = time.monotonic()
    models = Models(options)
    try:
        model = models.sub if models.root.name.startswith("policy/") else models.root
        prompt, characters = await asyncio.to_thread(_prompt, options, question, context)
        window = models.windows.of(model.name, characters // CHARACTERS_PER_TOKEN)
        problem = _problem(model.name, characters, window)
        calls: tuple[PlainCall, ...] = ()
        if problem is None:
            assert prompt is not None
            ledger = Ledger(options, models.prices)
            calls = await _all(models, ledger, model, [Message("user", prompt)], times)
    finally:
        await loop.to_the_end(models.aclose())
    return PlainResult(question, model.name, characters, window, problem, calls, time.monotonic() - started)


def _prompt(options: Options, question: str, context: Any) -> tuple[str | None, int]:
    """Return the prompt and its length; only a lower bound of that, where no model can read so much."""
    if context is None:
        return question, len(question)
    least = least_characters(context, options)
    if least > wire.PROMPT_CHARACTERS:
        return None, least
    prompt = PROMPT.format(question=question, text=as_text(context, options))
    return prompt, len(prompt)


def _problem(model: str, characters: int, window: int | None) -> str | None:
    """Say by how much a prompt does not fit."""
    tokens = characters // CHARACTERS_PER_TOKEN
    if window is not None and tokens > window:
        return (
            f"The input does not fit into one call: about {tokens:,} tokens ({characters:,} characters), and {model} "
            f"reads {window:,}: {tokens - window:,} too many."
        )
    if characters > wire.PROMPT_CHARACTERS:
        return (
            f"The input does not fit into one call: {characters:,} characters, and no prompt may have more than "
            f"{wire.PROMPT_CHARACTERS:,}: {characters - wire.PROMPT_CHARACTERS:,} too many."
        )
    return None


async def _all(
    models: Models, ledger: Ledger, model: Model, messages: list[Message], times: int
) -> tuple[PlainCall, ...]:
    tasks = [asyncio.create_task(_one(models, ledger, model, messages)) for _ in range(times)]
    try:
        return tuple(await asyncio.gather(*tasks))
    finally:  # whoever gave up, and whatever was raised: no call goes on alone
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _one(models: Models, ledger: Ledger, model: Model, messages: list[Message]) -> PlainCall:
    started = time.monotonic()
    try:
        async with ledger.clock():
            reply = await ask(models, ledger, model, messages)
    except RLMError as error:
        return PlainCall("", Usage(), time.monotonic() - started, str(error))
    text = reply.text if reply.text.strip() else reply.reasoning
    return PlainCall(text, reply.usage, time.monotonic() - started, finish=reply.finish)
