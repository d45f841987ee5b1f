"""The tree's one account."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from rlm_kernel.errors import LimitReached
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.account import OUTPUT_TOKENS
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.options import Limits

PROMPT = [Message("user", "x" * 400)]  # taken for 200 tokens and 16 for the message


class OneDollarAToken:
    """Prices that are easy to add up: a dollar for an input token, two for an output token."""

    def cost(self, model: str, usage: Usage) -> float | None:
        return float(usage.input_tokens + 2 * usage.output_tokens)

    def ceiling(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        return float(input_tokens + 2 * output_tokens)


async def spend(ledger: Ledger, used: tuple[int | None, int | None], seconds: float = 0.0) -> int | None:
    """Make a request that uses so many tokens; return how long its reply may have been."""
    async with ledger.account.request("m", PROMPT) as reserved:
        await asyncio.sleep(seconds)
        tokens_in, tokens_out = used
        if tokens_out is not None and reserved.max_tokens is not None:
            tokens_out = min(tokens_out, reserved.max_tokens)
        ledger.account.charge("m", PROMPT, "reply", Usage.of_call(tokens_in, tokens_out))
    return reserved.max_tokens


def test_calls_are_counted_over_the_whole_tree_and_refused_before_they_are_made() -> None:
    root = Ledger(Limits(max_calls=3, max_depth=2))
    child = root.child()
    root.start_call()
    child.start_call()
    child.start_call()
    for ledger in (root, child):
        with pytest.raises(LimitReached, match="max_calls=3"):
            ledger.start_call()
        with pytest.raises(LimitReached, match="max_calls=3"):
            ledger.start_iteration()


def test_a_limit_that_is_used_up_but_not_exceeded_lets_the_root_go_on() -> None:
    ledger = Ledger(Limits(max_calls=1))
    ledger.start_call()
    assert ledger.start_iteration() == 1


def test_a_call_whose_answer_was_known_is_not_counted() -> None:
    ledger = Ledger(Limits(max_calls=1))
    for _ in range(5):
        ledger.start_call()
        ledger.take_back_call()
    assert ledger.budget()["calls"] == {"limit": 1, "used": 0, "left": 1}


async def test_without_limits_a_request_reserves_nothing() -> None:
    assert await spend(Ledger(Limits()), (10, 10)) is None


@pytest.mark.parametrize("tokens", [1, 200, 210])
async def test_a_request_that_does_not_fit_is_refused_before_it_is_sent(tokens: int) -> None:
    ledger = Ledger(Limits(max_tokens=tokens))
    with pytest.raises(LimitReached, match=f"max_tokens={tokens}"):
        await spend(ledger, (100, 10))
    assert ledger.usage == Usage()
    with pytest.raises(LimitReached):
        ledger.start_iteration()


async def test_a_reply_may_be_as_long_as_what_is_left() -> None:
    assert await spend(Ledger(Limits(max_tokens=1000)), (100, 10)) == 1000 - 216
    assert await spend(Ledger(Limits(max_tokens=1_000_000)), (100, 10)) == OUTPUT_TOKENS


async def test_requests_at_once_stay_within_the_tokens_and_use_them() -> None:
    """Each may come to 8,400 tokens and uses 108: they wait for each other instead of being refused."""
    ledger = Ledger(Limits(max_tokens=10_000))
    results = await asyncio.gather(*(spend(ledger, (100, 8), 0.001) for _ in range(60)))
    assert len(results) == 60
    assert ledger.usage.tokens == 60 * 108


async def test_the_tokens_are_never_exceeded_by_replies_that_keep_to_what_they_may_have() -> None:
    ledger = Ledger(Limits(max_tokens=5_000))

    async def greedy() -> None:
        async with ledger.account.request("m", PROMPT) as reserved:
            await asyncio.sleep(0.001)
            assert reserved.max_tokens is not None
            ledger.account.charge("m", PROMPT, "", Usage.of_call(200, min(reserved.max_tokens, 900)))

    results = await asyncio.gather(*(greedy() for _ in range(20)), return_exceptions=True)
    assert ledger.usage.tokens <= 5_000
    assert 0 < sum(isinstance(result, LimitReached) for result in results) < 20


async def test_money_is_reserved_and_never_exceeded() -> None:
    ledger = Ledger(Limits(max_cost=2_000), OneDollarAToken())
    assert await spend(ledger, (100, 100)) == (2_000 - 216) // 2
    assert ledger.usage.cost == 300
    results = await asyncio.gather(*(spend(ledger, (100, 100)) for _ in range(20)), return_exceptions=True)
    assert any(isinstance(result, LimitReached) and result.limit == "max_cost" for result in results)
    assert ledger.usage.cost <= 2_000


async def test_a_models_own_rate_of_tokens_is_learned() -> None:
    ledger = Ledger(Limits(max_tokens=100_000))
    await spend(ledger, (40, 10))
    ledger.account.raise_limits(Limits(max_tokens=200))  # a prompt is taken for 50 tokens now, and 16 for its message
    assert await spend(ledger, (40, 10)) == 200 - 50 - 66


async def test_a_provider_that_tells_nothing_counts_by_the_length_of_its_texts() -> None:
    ledger = Ledger(Limits(max_tokens=1_000))
    while (ledger.spent) is None:
        with contextlib.suppress(LimitReached):
            await spend(ledger, (None, None))
    assert ledger.spent.limit == "max_tokens"
    assert ledger.usage.tokens == 0
    assert 2 <= ledger.usage.unreported < 50


async def test_one_that_fails_gives_its_reservation_back() -> None:
    ledger = Ledger(Limits(max_tokens=9_000))
    for _ in range(5):
        with pytest.raises(ValueError, match="broken"):
            async with ledger.account.request("m", PROMPT):
                raise ValueError("broken")
    assert await spend(ledger, (1, 1)) == OUTPUT_TOKENS


def test_child_spend_counts_in_the_parent() -> None:
    root = Ledger(Limits(max_tokens=100))
    root.child().account.charge("m", PROMPT, "", Usage.of_call(90, 20))
    assert root.usage.tokens == 110
    assert root.budget()["tokens"]["left"] == -10


def test_iterations_are_each_nodes_own() -> None:
    root = Ledger(Limits(max_iterations=1))
    assert root.start_iteration() == 1
    assert root.child().start_iteration() == 1
    with pytest.raises(LimitReached, match="max_iterations=1"):
        root.start_iteration()


@pytest.mark.parametrize(("depth", "levels"), [(1, 0), (2, 1), (3, 2)])
def test_depth_counts_levels_of_repls(depth: int, levels: int) -> None:
    ledger, made = Ledger(Limits(max_depth=depth)), 0
    while ledger.may_recurse:
        ledger, made = ledger.child(), made + 1
    assert made == levels


async def test_time_that_is_up_ends_what_runs_inside_the_clock() -> None:
    ledger = Ledger(Limits(max_seconds=0.01))
    with pytest.raises(LimitReached, match=r"max_seconds=0\.01"):
        async with ledger.clock():
            await asyncio.Event().wait()
    with pytest.raises(LimitReached, match="max_seconds"):
        ledger.start_call()


async def test_a_timeout_of_something_else_is_not_the_runs_time() -> None:
    with pytest.raises(TimeoutError, match="other"):
        async with Ledger(Limits(max_seconds=100)).clock():
            raise TimeoutError("other")


async def test_a_raised_limit_lets_the_tree_go_on_without_the_time_between() -> None:
    ledger = Ledger(Limits(max_calls=1, max_seconds=10))
    ledger.start_call()
    with pytest.raises(LimitReached):
        ledger.start_call()
    ledger.account.stop()
    before = ledger.seconds
    await asyncio.sleep(0.05)
    ledger.account.raise_limits(Limits(max_calls=2, max_seconds=10))
    assert ledger.seconds - before < 0.04
    ledger.start_call()
    with pytest.raises(LimitReached, match="max_calls=2"):
        ledger.start_call()


@pytest.mark.parametrize(("limits", "turns"), [({"max_errors": 2}, (2, 1)), ({"max_repeats": 3}, (0, 3))])
def test_turns_that_fail_or_repeat_themselves_end_the_node(limits: dict[str, Any], turns: tuple[int, int]) -> None:
    ledger = Ledger(Limits(**limits))
    ledger.check_turns(turns[0] - 1, turns[1] - 1)
    with pytest.raises(LimitReached, match=next(iter(limits))):
        ledger.check_turns(*turns)


def test_the_budget_names_each_limit_that_there_is() -> None:
    ledger = Ledger(Limits(max_calls=10, max_tokens=None, max_cost=2.5))
    ledger.start_call()
    ledger.start_iteration()
    budget = ledger.budget()
    assert budget["calls"] == {"limit": 10, "used": 1, "left": 9}
    assert budget["iterations"] == {"limit": 30, "used": 1, "left": 29}
    assert budget["cost"]["left"] == 2.5
    assert "tokens" not in budget
    assert "seconds" not in budget


def test_unreported_usage_is_unknown_and_not_zero() -> None:
    usage = Usage.of_call(10, 5) + Usage.of_call(None, None)
    assert str(usage) == "2 calls, at least 15 tokens"
    assert str(Usage.of_call(None, None)) == "1 call, tokens unknown"
    assert str(Usage()) == "0 calls, 0 tokens"
    assert str(Usage.of_call(10, 5, cost=0.25) + Usage.of_call(1, 1)) == "2 calls, 17 tokens, at least $0.2500"
