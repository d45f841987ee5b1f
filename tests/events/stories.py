"""Runs to look at, written down as the engine would tell them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message, Usage

START = 1_700_000_000.0
ONE_CALL = Usage(1, 900, 100)
BOOK = {"type": "str", "length": 1_204_331, "unit": "characters", "description": "a str of 1,204,331 characters"}


def numbered(*stream: Event) -> list[Event]:
    """The events with the numbers and times a bus would give them, a tenth of a second apart."""
    return [dataclasses.replace(event, seq=seq, time=START + seq / 10) for seq, event in enumerate(stream)]


def began(question: str = "Who did it?", **options: Any) -> Iterator[Event]:
    yield events.RunStarted(run="20260101-120000-abcdef", question=question, options=options)
    yield events.NodeStarted(depth=0, model="openai/gpt-5-mini", question=question, context=BOOK)


def turn(iteration: int, text: str, *cells: Event, node: str = "0") -> Iterator[Event]:
    """A root model's turn: its reply, arriving in two pieces, then what its cells did."""
    yield events.ModelRequested(node=node, iteration=iteration, messages=(Message("user", "Begin."),))
    yield events.TextDelta(node=node, iteration=iteration, text=text[:10])
    yield events.TextDelta(node=node, iteration=iteration, text=text[10:])
    yield events.ModelReplied(node=node, iteration=iteration, text=text, usage=ONE_CALL, seconds=1.5)
    yield from cells


def cell(code: str, *inside: Event, index: int = 1, iteration: int = 1, **rest: Any) -> Iterator[Event]:
    node, status = rest.get("node", "0"), rest.get("status", "ok")
    yield events.CellStarted(node=node, iteration=iteration, cell=index, code=code)
    yield from inside
    yield events.CellFinished(node=node, cell=index, status=status, seconds=2.25)


def output(text: str, kind: Any = "stdout", *, index: int = 1, node: str = "0") -> Event:
    return events.CellOutput(node=node, cell=index, kind=kind, data={"text/plain": text})


def call(number: int, prompt: str, reply: str, *, index: int | None = 1, **rest: Any) -> Iterator[Event]:
    """A plain sub-call, from its request to its end."""
    node, status, usage = rest.get("node", "0"), rest.get("status", "ok"), rest.get("usage", Usage(1, 400, 20))
    name = f"{node}.{number}"
    yield events.CallRequested(node=node, call=name, kind="llm", model="openai/gpt-5-nano", prompt=prompt, cell=index)
    yield events.CallFinished(node=node, call=name, status=status, text=reply, usage=usage, seconds=0.75)


def child(number: int, prompt: str, answer: str, *inside: Event, index: int = 1) -> Iterator[Event]:
    """A child RLM of the root, from its request to its end; ``inside`` is what its node did."""
    name = f"0.{number}"
    yield events.CallRequested(call=name, kind="rlm", model="openai/gpt-5-mini", prompt=prompt, cell=index)
    yield events.NodeStarted(node=name, depth=1, model="openai/gpt-5-mini", question=prompt, context=BOOK)
    yield from inside
    yield events.NodeAnswered(node=name, value=answer, text=answer)
    yield events.NodeFinished(node=name, stop_reason="answered", seconds=4.0)
    yield events.CallFinished(call=name, status="ok", text=answer, usage=Usage(), seconds=4.5)


def ended(
    answer: str | None, reason: Any = "answered", error: str | None = None, usage: Usage = ONE_CALL
) -> Iterator[Event]:
    if answer is not None:
        yield events.NodeAnswered(value=answer, text=answer)
    yield events.NodeFinished(stop_reason=reason, seconds=6.0, error=error)
    yield events.RunFinished(stop_reason=reason, usage=usage, seconds=6.2, error=error)


def mystery() -> list[Event]:
    """Three iterations, twelve plain calls of which one fails, and a child RLM with a cell and a call of its own."""
    chapters = [
        f"Which suspects does chapter {n} name? Answer with names only.\n\nCHAPTER {n}\nIt was a dark night."
        for n in range(1, 12)
    ]
    suspects = ["The butler", "Nobody", "Colonel Mustard, the butler", "Miss Scarlet"]
    asked = [
        event
        for n, prompt in enumerate(chapters, 1)
        for event in (
            call(n, prompt, "429: the provider is busy", index=2, status="error", usage=Usage())
            if n == 7
            else call(n, prompt, suspects[n % 4], index=2)
        )
    ]
    within = turn(
        1,
        "The alibis are in this part.\n```repl\nprint(llm_query(context))\n```",
        *cell(
            "print(llm_query(context))",
            *call(1, "Check the alibi of the butler.", "He was in the pantry.", node="0.12"),
            output("He was in the pantry.\n", node="0.12"),
            node="0.12",
        ),
        node="0.12",
    )
    split = 'import re\nparts = re.split(r"CHAPTER \\d+", context)[1:]\nprint(len(parts), "chapters")'
    query = (
        "names = llm_query_batched([f'Which suspects ...\\n\\n{p}' for p in parts])\n"
        "alibis = rlm_query('Whose alibi is false?', context=context)\nprint(names)"
    )
    finish = 'answer["content"] = f"The butler, in chapter {chapter}"\nanswer["ready"] = True'
    return numbered(
        *began("Which chapter first names the murderer, and how?"),
        *turn(
            1,
            f"I will look at the context first: how long it is, and how it is divided.\n```repl\n{split}\n```",
            *cell(split, output("11 chapters\n")),
        ),
        *turn(
            2,
            f"Now I ask about **every chapter** at once, and let a child check the alibis.\n```repl\n{query}\n```",
            *cell(
                query,
                *asked,
                *child(12, "Whose alibi is false?", "The butler's.", *within, index=2),
                output("['The butler', ...]\n", index=2),
                output("UserWarning: a slot failed\n", "stderr", index=2),
                index=2,
                iteration=2,
            ),
        ),
        *turn(
            3,
            f"That settles it.\n```repl\nprint(chapter)\n```\n```repl\n{finish}\n```",
            *cell(
                "print(chapter)",
                output("NameError: name 'chapter' is not defined", "error", index=3),
                index=3,
                iteration=3,
                status="error",
            ),
            *cell(finish, index=4, iteration=3),
        ),
        events.Note(text="2 of 14 files were skipped."),
        *ended("The butler, in chapter 3: “the hand that poured the tea was shaking”.", usage=Usage(15, 8000, 620)),
    )
