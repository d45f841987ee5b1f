"""50 runs at once in one process, over three providers' protocols, while one request in ten goes wrong."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import ExitStack
from typing import Any

import psutil
import pytest

from rlm_kernel import RLM, Completion, RLMError, ScriptedModel, journal
from rlm_kernel.events import types as events
from tests.providers.fake_servers import AGAIN, Cut, FakeServer, Item, NoChoices, Raw, Request, Status, Text

RUNS = 50
CELLS = [
    "```repl\nparts = [f'{name} {number}' for name in context.split() for number in range(6)]\nprint(len(parts))\n```",
    "```repl\nreplies = llm_query_batched(parts)\nfailed = [r for r in replies if r.startswith('Error:')]\n```",
    "```repl\nchild = rlm_query('repeat the context', context=parts[0])\n```",
    "```repl\nanswer['content'] = [context, len(replies)]\nanswer['ready'] = True\n```",
]
CHILD = "```repl\nanswer['content'] = context\nanswer['ready'] = True\n```"
FAULTS: list[Item] = [
    Status(429, headers=AGAIN),
    Status(500, headers=AGAIN),
    Status(503, headers=AGAIN),
    Status(400, "no"),
    Cut("half a rep"),
    NoChoices(),
    Raw("<html>", status=200),
    Text(None),
    Text("late", delay=0.3),
]


class Unreliable:
    """Serves the root's turns and the sub-calls of many runs; one request in ten gets a fault."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.faults = 0

    def __call__(self, request: Request) -> Item:
        with self._lock:
            if self._random.random() < 0.1:
                self.faults += 1
                return self._random.choice(FAULTS)
        turns = sum(message["role"] == "assistant" for message in request.body["messages"])
        if "repeat the context" in str(request.body["messages"][0:2]) and "system" in str(request.body)[:60_000]:
            return CHILD
        if len(request.body["messages"]) == 1 and not request.body.get("system"):
            return request.prompt.upper()
        return CELLS[min(turns, len(CELLS) - 1)]


async def one(number: int, model: str, url: str) -> tuple[str, Completion | RLMError]:
    mark = f"run{number}"
    options: dict[str, Any] = {"max_depth": 2, "max_iterations": 8, "max_repeats": None, "api_key": "sk-test"}
    try:
        return mark, await RLM(model, base_url=url, **options).acompletion(f"Question {number}", context=f"{mark} x")
    except RLMError as error:
        return mark, error


@pytest.mark.timeout(170)
async def test_every_run_ends_with_an_answer_or_a_reason_and_none_mixes_with_another() -> None:
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with ExitStack() as stack:
        scripts = [Unreliable(seed) for seed in range(3)]
        servers = [stack.enter_context(FakeServer(script)) for script in scripts]
        kinds = [
            ("openai/any", servers[0].openai_url),
            ("anthropic/any", servers[1].anthropic_url),
            ("vllm/any", servers[2].openai_url),
        ]
        results = await asyncio.gather(*(one(number, *kinds[number % 3]) for number in range(RUNS)))
    assert all(script.faults > 5 for script in scripts)
    answered = 0
    for mark, result in results:
        if isinstance(result, RLMError):
            assert str(result).strip()
            continue
        assert result.stop_reason in ("answered", "max_iterations")
        stream = list(journal.read(result.run_dir))
        assert isinstance(stream[-1], events.RunFinished)
        prompts = [event.prompt for event in stream if isinstance(event, events.CallRequested) and event.kind == "llm"]
        assert all(prompt.startswith((mark, "x ")) for prompt in prompts)
        if result.stop_reason == "answered":
            answered += 1
            assert result.answer == [f"{mark} x", 12]
    assert answered > RUNS / 2
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert left == []


async def test_a_model_that_raises_what_no_one_expects_ends_only_its_own_run() -> None:
    def broken(messages: Any) -> str:
        raise ZeroDivisionError("a bug of the caller's")

    good = ScriptedModel(["```repl\nanswer['content'] = 1; answer['ready'] = True\n```"])
    results = await asyncio.gather(
        RLM(broken).acompletion("q", "c"), RLM(good).acompletion("q", "c"), return_exceptions=True
    )
    assert isinstance(results[0], RLMError)
    assert "ZeroDivisionError" in str(results[0])
    assert isinstance(results[1], Completion)
    assert results[1].answer == 1
