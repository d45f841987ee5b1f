"""Sub-calls across the wall: from cells, threads and asyncio, many in flight, ended by an interrupt."""

from __future__ import annotations

import asyncio

from rlm_kernel import wire
from tests.kernel.vocabulary import kernel, run, until, upper


async def test_calls_from_a_cell_threads_and_asyncio_all_return_in_order() -> None:
    code = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
prompts = [f"p{i}" for i in range(200)]
wanted = [p.upper() for p in prompts]
assert llm_query("one") == "ONE"
assert llm_query_batched(prompts) == wanted
with ThreadPoolExecutor(32) as pool:
    assert list(pool.map(llm_query, prompts)) == wanted
assert await asyncio.gather(*map(allm_query, prompts)) == wanted
assert rlm_query("one") == "ONE" and rlm_query_batched(prompts) == wanted
assert llm_query_batched([]) == []
print("done")
"""
    async with kernel() as session:
        assert (await run(session, code)).text == "done\n"


async def test_nothing_is_lost_while_the_host_stalls() -> None:
    """With default high-water marks, 5,000 calls in flight against a host that does not read lose 3,000 of them."""
    gate = asyncio.Event()

    async def stalled(call: wire.Call) -> wire.Reply:
        await gate.wait()
        return await upper(call)

    async with kernel(stalled) as session:
        code = "import asyncio\nprint(len(await asyncio.gather(*(allm_query(str(i)) for i in range(5000)))))"
        cell = asyncio.create_task(run(session, code))
        await until(lambda: len(session._calls) == 5000)
        gate.set()
        assert (await cell).text == "5000\n"


async def test_a_failed_call_raises_alone_and_is_one_slot_of_a_batch() -> None:
    async def failing(call: wire.Call) -> wire.Reply:
        results = [wire.CallResult(error="no luck") if p == "bad" else wire.CallResult(text=p) for p in call.prompts]
        return wire.Reply(call.id, results)

    async with kernel(failing) as session:
        assert "LLMCallError: no luck" in (await run(session, "llm_query('bad')", ok=False)).text
        code = "r = llm_query_batched(['a', 'bad', 'b'])\nprint(r, r[1].error, isinstance(r[1], str))"
        assert (await run(session, code)).text == "['a', 'Error: no luck', 'b'] no luck True\n"


async def test_a_spent_limit_raises_in_the_repl() -> None:
    async def spent(call: wire.Call) -> wire.Reply:
        return wire.Reply(call.id, [wire.CallResult(limit="max_calls", maximum=3)] * len(call.prompts))

    async with kernel(spent) as session:
        for code in ("llm_query('a')", "llm_query_batched(['a', 'b'])"):
            assert "LimitReached: The run's limit max_calls=3 is reached." in (await run(session, code, ok=False)).text


async def test_wrong_arguments_are_a_type_error_in_the_cell_and_no_call() -> None:
    calls: list[wire.Call] = []

    async def count(call: wire.Call) -> wire.Reply:
        calls.append(call)
        return await upper(call)

    async with kernel(count) as session:
        for code in ("llm_query(1)", "llm_query_batched('text')", "llm_query_batched(['a', None])", "llm_query(None)"):
            assert "TypeError" in (await run(session, code, ok=False)).text
        too_many = await run(session, "llm_query_batched([''] * 100_001)", ok=False)
        assert "ValueError: 100,001 prompts in one batch" in too_many.text
    assert calls == []


async def test_an_interrupt_ends_waiting_calls_at_once_and_cancels_them_on_the_host() -> None:
    """A thread pool goes on to its next prompt when a call ends, so new calls are refused until the next cell."""
    cancelled: list[str] = []

    async def hang(call: wire.Call) -> wire.Reply:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(call.id)
            raise
        raise AssertionError

    in_flight = {
        "llm_query('a')": 1,
        "llm_query_batched(['a', 'b'])": 1,
        "await allm_query('a')": 1,
        "import asyncio\nawait asyncio.gather(*(allm_query(str(i)) for i in range(50)))": 50,
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool: list(pool.map(llm_query, ['a'] * 100))": 8,
    }
    async with kernel(hang) as session:
        for code, calls in in_flight.items():
            cell = asyncio.create_task(run(session, code, ok=False))
            await until(lambda calls=calls: len(session._calls) == calls)
            # CPython's locks are not safe against a signal at the very moment they are taken: let the cell wait first.
            await asyncio.sleep(0.2)
            session._channels.send("control", "interrupt_request", {})
            assert (await cell).result.status == "interrupted", code
            await until(lambda: not session._calls)
        assert len(cancelled) == sum(in_flight.values())
        assert (await run(session, "1 + 1")).text == "2"


async def test_waiting_for_calls_is_not_the_cells_own_time() -> None:
    async def slow(call: wire.Call) -> wire.Reply:
        await asyncio.sleep(1.0)
        return await upper(call)

    async with kernel(slow, cell_seconds=0.5) as session:
        assert (await run(session, "llm_query('a')")).text == "'A'"


async def test_a_prompt_of_half_a_million_characters_crosses() -> None:
    async with kernel() as session:
        assert (await run(session, "len(llm_query('x' * 500_000))")).text == "500000"


async def test_forged_and_malformed_messages_are_ignored() -> None:
    """Code in the kernel can reach the bridge and send what it likes; the host believes no field unchecked."""
    code = """
bridge = get_ipython().kernel.bridge
import json
session = bridge._session
def send(msg_type, content):
    message = session.msg(msg_type, {})
    message["content"] = json.dumps(content).encode()
    bridge._outbox.append(session.serialize(message, ident=bridge._host))
    bridge._loop.call_soon_threadsafe(bridge._drain)
for content in ({}, {"id": 1}, {"id": "x", "kind": "shell", "prompts": ["rm"]}, [], None, 7, "text",
                {"id": "y", "kind": "llm", "prompts": "p"}, {"id": "z", "kind": "llm", "prompts": [None]},
                {"id": "w", "kind": "llm", "prompts": [{}]}):
    send("rlm_call", content)
send("rlm_cancel", {"ids": ["nope"]})
send("rlm_cancel", {"ids": 5})
send("unheard_of", {"a": 1})
bridge._outbox.append([*bridge._host, b"<IDS|MSG>", b"wrong signature", b"{}", b"{}", b"{}", b"{}"])
bridge._outbox.append([*bridge._host, b"no delimiter"])
bridge._outbox.append([*bridge._host])
llm_query("still works")
"""
    async with kernel() as session:
        assert (await run(session, code)).text == "'STILL WORKS'"
