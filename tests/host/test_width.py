"""How many requests are in flight at a provider."""

from __future__ import annotations

import asyncio

import pytest

from rlm_kernel.errors import ModelError
from rlm_kernel.host import width
from rlm_kernel.host.width import FIRST, Width, Widths


async def answers(slots: Width, count: int, seconds: float = 0.0) -> int:
    """Make requests at once; return the most that were in flight together."""
    flying = most = 0

    async def request() -> None:
        nonlocal flying, most
        async with slots:
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(seconds)
            flying -= 1

    await asyncio.gather(*(request() for _ in range(count)))
    return most


async def test_it_grows_to_the_most_while_answers_come_and_never_above() -> None:
    slots = Width(100)
    assert await answers(slots, 30) <= FIRST
    assert await answers(slots, 500, 0.001) == 100
    assert slots.now == 100


async def begun_in_each_turn(slots: Width, count: int) -> list[int]:
    """Make requests at once; return how many began in each turn of the event loop until all had."""
    begun: list[None] = []
    all_begun = asyncio.Event()

    async def request() -> None:
        async with slots:
            begun.append(None)
            await all_begun.wait()

    requests = [asyncio.create_task(request()) for _ in range(count)]
    turns: list[int] = []
    while len(begun) < count:
        before = len(begun)
        await asyncio.sleep(0)
        turns.append(len(begun) - before)
    all_begun.set()
    await asyncio.gather(*requests)
    return turns


async def test_requests_that_may_need_a_connection_begin_one_in_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Width(64)
    assert max(await begun_in_each_turn(slots, 8)) == 1
    assert await begun_in_each_turn(slots, 8) == [8]  # theirs are there
    monkeypatch.setattr(width, "IDLE_SECONDS", -1.0)
    assert max(await begun_in_each_turn(slots, 8)) == 1


@pytest.mark.parametrize("most", [1, 3])
async def test_a_small_maximum_is_kept_from_the_start(most: int) -> None:
    assert await answers(Width(most), 20, 0.001) == most


async def test_it_halves_once_for_a_burst_of_refusals_and_then_grows_by_one_a_round() -> None:
    slots = Width(64)
    await answers(slots, 200)
    for _ in range(10):
        slots.overloaded()
    assert slots.now == 32
    await answers(slots, 32)
    assert 32.5 < slots.now <= 33.0


async def test_it_never_falls_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(width, "PAUSE_SECONDS", -1.0)
    slots = Width(4)
    for _ in range(10):
        slots.overloaded()
    assert slots.now == 1
    assert await answers(slots, 1) == 1


async def test_requests_that_fail_do_not_widen_it() -> None:
    slots = Width(64)
    with pytest.raises(ValueError, match="failed"):
        async with slots:
            raise ValueError("failed")
    assert slots.now == FIRST


async def test_who_stops_waiting_takes_no_place() -> None:
    slots = Width(1)
    async with slots:
        waiting = [asyncio.create_task(answers(slots, 1)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [1, 1]
    assert await answers(slots, 2) == 1


async def test_one_that_is_cancelled_as_its_turn_comes_gives_it_on() -> None:
    slots = Width(1)
    await slots.__aenter__()
    first, second = (asyncio.create_task(slots.__aenter__()) for _ in range(2))
    await asyncio.sleep(0)
    await slots.__aexit__(None, None, None)  # gives the place to the first, which is cancelled before it can run
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert first.cancelled()


def test_each_provider_has_its_own() -> None:
    widths = Widths(8)
    assert widths.of("openai/a") is widths.of("openai/b")
    assert widths.of("openai/a") is not widths.of("anthropic/a")


async def test_a_request_that_was_refused_for_overload_halves_it_too() -> None:
    slots = Width(64)
    error = ModelError("too many")
    error.status = 429
    with pytest.raises(ModelError):
        async with slots:
            raise error
    assert slots.now == FIRST / 2
