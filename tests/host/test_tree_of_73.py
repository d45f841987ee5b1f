"""A tree of 1 + 8 + 64 RLM nodes, each with a kernel of its own, and limits that bind somewhere in the middle of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, ScriptedModel, journal
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply
from rlm_kernel.host.providers.scripted import ScriptFunction

BRANCH = """```repl
parts = rlm_query_batched([f"{context}/{number}" for number in range(8)])
answer["content"] = sum(int(part) for part in parts if part.isdigit())
answer["ready"] = True
```"""
LEAF = """```repl
answer["content"] = len(llm_query(f"count {context}"))
answer["ready"] = True
```"""
INPUT_TOKENS, OUTPUT_TOKENS = 20, 10
PRICE = (1.0, 10.0)
COST = (INPUT_TOKENS * PRICE[0] + OUTPUT_TOKENS * PRICE[1]) / 1e6
"""Of one call."""


class Root(ScriptedModel):
    """Branches at the depths 0 and 1 and asks once at depth 2; its calls use what real ones would."""

    def __init__(self, depth: int) -> None:
        super().__init__(lambda messages: reply(LEAF if depth == 2 else BRANCH), name="demo/root")


def reply(text: str) -> Reply:
    return Reply(text, Usage.of_call(INPUT_TOKENS, OUTPUT_TOKENS))


def plain(messages: list[dict[str, str]]) -> Reply:
    return reply("x" if messages[-1]["content"].startswith("count ") else "8")


async def slow(messages: list[dict[str, str]]) -> Reply:
    await asyncio.sleep(60)
    return plain(messages)


async def run(sub: ScriptFunction = plain, **limits: Any) -> Completion:
    models = {depth: Root(depth) for depth in (1, 2)}
    options: dict[str, Any] = {"max_depth": 3, "max_children": 4, "cache": False} | limits
    sub_model = ScriptedModel(sub, name="demo/sub")
    prices = {"demo/root": PRICE, "demo/sub": PRICE}
    return await RLM(Root(0), models=models, sub_model=sub_model, prices=prices, **options).acompletion("count", "t")


def charged(stream: Iterable[events.Event]) -> Usage:
    """What the journal says was used, call by call."""
    return sum((e.usage for e in stream if isinstance(e, events.ModelReplied | events.CallFinished)), Usage())


def check_totals(completion: Completion) -> list[events.Event]:
    """The totals are the sum over the journal, and the tree's."""
    stream = list(journal.read(completion.run_dir))
    total = charged(stream)
    assert completion.usage.calls == total.calls
    assert completion.usage.tokens == total.tokens
    assert completion.usage.cost == pytest.approx(total.cost)
    assert completion.tree.root.subtree_usage.tokens == total.tokens
    finished = [e for e in stream if isinstance(e, events.RunFinished)]
    assert len(finished) == 1
    assert stream[-1] is finished[0]
    return stream


def nodes(stream: Iterable[events.Event]) -> list[events.NodeStarted]:
    return [event for event in stream if isinstance(event, events.NodeStarted)]


@pytest.mark.timeout(120)
async def test_without_limits_all_73_nodes_answer() -> None:
    completion = await run(max_calls=None)
    stream = check_totals(completion)
    assert (completion.answer, completion.stop_reason) == (64, "answered")
    assert [sum(node.depth == depth for node in nodes(stream)) for depth in range(3)] == [1, 8, 64]
    assert completion.usage.calls == 73 + 64
    assert completion.usage.cost == pytest.approx(COST * (73 + 64))


@pytest.mark.timeout(120)
async def test_calls_stop_at_the_limit() -> None:
    completion = await run(max_calls=50)
    stream = check_totals(completion)
    assert completion.stop_reason == "max_calls"
    assert sum(isinstance(event, events.CallRequested) for event in stream) == 50


@pytest.mark.timeout(120)
async def test_money_stops_within_the_limit() -> None:
    limit = 0.01
    completion = await run(max_cost=limit)
    check_totals(completion)
    assert completion.stop_reason == "max_cost"
    assert 0 < completion.usage.cost <= limit


@pytest.mark.timeout(120)
async def test_tokens_stop_within_the_limit() -> None:
    completion = await run(max_tokens=3_000)
    check_totals(completion)
    assert completion.stop_reason == "max_tokens"
    assert 0 < completion.usage.tokens <= 3_000


@pytest.mark.timeout(120)
async def test_time_ends_the_tree_wherever_it_is() -> None:
    limit = 5.0
    completion = await run(sub=slow, max_seconds=limit)
    stream = check_totals(completion)
    assert completion.stop_reason == "max_seconds"
    started, finished = nodes(stream), [e for e in stream if isinstance(e, events.NodeFinished)]
    assert 1 <= len(started) < 73
    assert {node.node for node in started} <= {node.node for node in finished}
    last_request = max(e.time for e in stream if isinstance(e, events.ModelRequested | events.CallRequested))
    assert last_request - stream[0].time <= limit


@pytest.mark.timeout(120)
async def test_depth_stops_at_the_limit_and_what_is_below_is_a_plain_call() -> None:
    completion = await run(max_depth=2)
    stream = check_totals(completion)
    assert (completion.answer, completion.stop_reason) == (8 * 8 * 8, "answered")
    assert max(node.depth for node in nodes(stream)) == 1
    kinds = [event.kind for event in stream if isinstance(event, events.CallRequested)]
    assert (kinds.count("rlm"), kinds.count("llm")) == (8, 64)


@pytest.mark.timeout(120)
async def test_a_raised_limit_lets_the_tree_go_on() -> None:
    models = {depth: Root(depth) for depth in (1, 2)}
    rlm = RLM(Root(0), models=models, sub_model=ScriptedModel(plain, name="demo/sub"), max_depth=2, max_calls=10)
    async with rlm:
        first = await rlm.acompletion("count", "t")
        assert first.stop_reason == "max_calls"
        second = await rlm.ago_on(max_calls=1000)
    assert (second.answer, second.stop_reason) == (512, "answered")
    assert second.run_dir == first.run_dir
    stream = list(journal.read(second.run_dir))
    numbers = [event.seq for event in stream]
    assert numbers == sorted(set(numbers))
    assert charged(stream).calls == second.usage.calls
