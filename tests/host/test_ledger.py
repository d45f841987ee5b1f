"""The tree's one account."""

from __future__ import annotations

import asyncio

import pytest

from rlm_kernel.errors import LimitReached
from rlm_kernel.events.values import Usage
from rlm_kernel.host.config import Limits
from rlm_kernel.host.ledger import Ledger


def test_calls_are_counted_over_the_whole_tree_and_refused_before_they_are_made() -> None:
    root = Ledger(Limits(calls=3, depth=2))
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
    ledger = Ledger(Limits(calls=1))
    ledger.start_call()
    assert ledger.start_iteration() == 1


def test_child_spend_counts_in_the_parent() -> None:
    root = Ledger(Limits(tokens=100))
    root.child().charge(Usage.of_call(90, 20))
    assert root.usage.tokens == 110
    with pytest.raises(LimitReached, match="max_tokens=100"):
        root.start_call()


def test_iterations_are_each_nodes_own() -> None:
    root = Ledger(Limits(iterations=1))
    assert root.start_iteration() == 1
    assert root.child().start_iteration() == 1
    with pytest.raises(LimitReached, match="max_iterations=1"):
        root.start_iteration()


@pytest.mark.parametrize(("depth", "levels"), [(1, 0), (2, 1), (3, 2)])
def test_depth_counts_levels_of_repls(depth: int, levels: int) -> None:
    ledger, made = Ledger(Limits(depth=depth)), 0
    while ledger.may_recurse:
        ledger, made = ledger.child(), made + 1
    assert made == levels


async def test_time_that_is_up_ends_what_runs_inside_the_clock() -> None:
    with pytest.raises(LimitReached, match=r"max_seconds=0\.01"):
        async with Ledger(Limits(seconds=0.01)).clock():
            await asyncio.Event().wait()


async def test_a_timeout_of_something_else_is_not_the_runs_time() -> None:
    with pytest.raises(TimeoutError, match="other"):
        async with Ledger(Limits(seconds=100)).clock():
            raise TimeoutError("other")


def test_unreported_usage_is_unknown_and_not_zero() -> None:
    usage = Usage.of_call(10, 5) + Usage.of_call(None, None)
    assert str(usage) == "2 calls, at least 15 tokens"
    assert str(Usage.of_call(None, None)) == "1 call, tokens unknown"
    assert str(Usage()) == "0 calls, 0 tokens"
