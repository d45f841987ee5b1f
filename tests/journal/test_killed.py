"""The host is killed at any instant: what was paid for is in the journal, and is not paid for again.

A run of 200 sub-calls by batch, by threads and by children, over OpenAI's SDK, against a server that counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel.events import types as events
from rlm_kernel.journal import read, runs
from tests.journal.host_program import begin, forking
from tests.providers.fake_servers import FakeServer, Item, Request, Text

KILLS = 30
AT_ONCE = 2
WIDTH = 16
LATENCY = 0.01
TURNS = [
    "parts = llm_query_batched([f'batch {n}' for n in range(80)])\nprint(len(parts), parts[0])",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(16) as pool:\n"
    "    parts += pool.map(llm_query, [f'thread {n}' for n in range(60)])\nprint(parts[-1])",
    "parts += rlm_query_batched([f'child {n}' for n in range(4)])\nprint(parts[-1])",
    "import hashlib\nanswer['content'] = [len(parts), hashlib.sha256(' '.join(parts).encode()).hexdigest()]\n"
    "answer['ready'] = True",
]
CHILD = [
    "found = llm_query_batched([f'{context}, {n}' for n in range(15)])\nprint(len(found))",
    "answer['content'] = ' '.join(found)\nanswer['ready'] = True",
]
SUB_CALLS = 80 + 60 + 4 * 15
ROOT_CALLS = len(TURNS) + 4 * len(CHILD)


def models(request: Request) -> Item:
    """What all models of the run say: the same to the same."""
    messages = request.body["messages"]
    if len(messages) == 1:
        return Text(hashlib.sha256(request.prompt.encode()).hexdigest()[:12], delay=LATENCY)
    said = sum(message["role"] == "assistant" for message in messages)
    cells = TURNS if "What do the parts say?" in str(messages) else CHILD
    return Text(f"```repl\n{cells[said]}\n```", delay=LATENCY)


class Host:
    """A process with a run in it."""

    def __init__(self, server: FakeServer, runs_dir: Path, run: str = "") -> None:
        self._hears, says = forking.Pipe(duplex=False)
        self.process = forking.Process(target=begin, args=(server.openai_url, str(runs_dir), run, says))
        self.process.start()
        says.close()

    async def said(self) -> tuple[str, Any]:
        """What the run came to."""
        await asyncio.to_thread(self.process.join, 60)
        assert self.process.exitcode == 0
        return self._hears.recv()  # type: ignore[no-any-return]


async def begun(server: FakeServer) -> None:
    """Wait for the first request."""
    while not server.requests:
        await asyncio.sleep(0.002)


async def quiet(server: FakeServer) -> None:
    """Wait until all that was on its way has come to the server."""
    seen = -1
    while seen < (seen := len(server.requests)):
        await asyncio.sleep(20 * LATENCY)


def recorded(run_dir: Path) -> int:
    """How many replies the journal holds."""
    stream = list(read(run_dir))
    calls = {event.call: event for event in stream if isinstance(event, events.CallRequested)}
    paid = [event for event in stream if isinstance(event, events.CallFinished) and calls[event.call].kind == "llm"]
    return len(paid) + sum(isinstance(event, events.ModelReplied) for event in stream)


async def undisturbed(folder: Path) -> tuple[Any, float]:
    """What the run says, and how long it takes from its first request on."""
    with FakeServer(models) as server:
        host = Host(server, folder)
        await begun(server)
        started = time.monotonic()
        said = await host.said()
        assert len(server.requests) == SUB_CALLS + ROOT_CALLS
        return said, time.monotonic() - started


async def killed_and_resumed(folder: Path, seconds: float) -> tuple[Any, int, int]:
    """Kill a run after so long; return what it says when it is resumed, and the requests paid for in all, and twice."""
    with FakeServer(models) as server:
        host = Host(server, folder)
        await begun(server)
        await asyncio.sleep(seconds)
        host.process.kill()
        await asyncio.to_thread(host.process.join)
        await quiet(server)
        (saved,) = runs(folder)
        in_flight = len(server.requests) - recorded(saved.directory)
        said = await Host(server, folder, saved.id).said()
        return said, len(server.requests), in_flight


@pytest.mark.timeout(170)
async def test_nothing_is_paid_for_twice_but_what_was_in_flight(tmp_path: Path) -> None:
    expected, seconds = await undisturbed(tmp_path / "whole")
    assert (expected[0], expected[1][0]) == ("answered", 144)
    instants = random.Random(7)
    one_at_a_time = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> tuple[Any, int, int]:
        async with one_at_a_time:
            return await killed_and_resumed(tmp_path / f"run{number}", instants.uniform(0, seconds))

    outcomes = await asyncio.gather(*(one(number) for number in range(KILLS)))
    cut_off = 0
    for said, paid, in_flight in outcomes:
        assert said == expected
        assert 0 <= in_flight <= WIDTH
        assert paid <= SUB_CALLS + ROOT_CALLS + in_flight
        cut_off += in_flight > 0
    assert cut_off > KILLS / 4
