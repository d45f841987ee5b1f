"""This project's side: each function does one piece of work through the public `RLM`, and returns its samples."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
from openai import AsyncOpenAI, DefaultAioHttpClient

from rlm_kernel import RLM, wire
from rlm_kernel.events.tree import fold as fold_events
from rlm_kernel.events.types import (
    CallFinished,
    CallRequested,
    CellFinished,
    CellStarted,
    Event,
    NodeStarted,
    RunStarted,
)
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host import inputs as host_inputs
from rlm_kernel.host import parse, run
from rlm_kernel.host.providers import OnText, Reply
from rlm_kernel.host.sandboxes.box import Box, BoxOptions
from rlm_kernel.host.session import Serve, Session
from rlm_kernel.journal import Journal
from tests.benchmarks import inputs, processes, reading, scripts, worker
from tests.benchmarks.notebook import notebook
from tests.benchmarks.worker import Samples

Ask = Callable[[str, str], Awaitable[None]]
"""Sends a prompt, the second, to a model of the server's, the first, and waits for the reply."""

QUESTION = "What is the answer?"
MB = 1_000_000
ANSWER = "```repl\nanswer['content'] = '1'\nanswer['ready'] = True\n```"


class Direct:
    """A model in this process, which answers at once: what is left is the engine's own time."""

    name = "benchmark/direct"

    def __init__(self, write: Callable[[Sequence[Message]], Awaitable[str]]) -> None:
        self._write = write

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        return Reply(await self._write(messages), Usage.of_call(1, 1))

    async def aclose(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def kernel(serve: Serve, files: tuple[Path, ...] = ()) -> AsyncIterator[Session]:
    """One kernel in a box of its own, without an engine. The only place that knows how a session is made."""
    box = Box(BoxOptions())
    session = Session(box, 120.0, serve, files)
    try:
        await session.start()
        yield session
    finally:
        await session.close()
        await box.close()


async def serve_ok(call: wire.Call) -> wire.Reply:
    """Answer every prompt at once."""
    return wire.Reply(call.id, [wire.CallResult(text=scripts.OK) for _ in call.prompts])


async def printed(session: Session, code: str) -> str:
    """Run a cell and return what it printed."""
    outputs: list[str] = []
    result = await session.execute(code, lambda kind, data: outputs.append(data["text/plain"]))
    worker.check(f"the cell {code!r}", result.status, "ok")
    return "".join(outputs)


def served(base_url: str, model: str, sub_model: str = "sleep-0", **options: Any) -> RLM:
    """An RLM whose models are the server's."""
    names = {"model": f"openai/{model}", "sub_model": f"openai/{sub_model}"}
    return RLM(**names, base_url=base_url, api_key="none", max_calls=None, cache=False, **options)


def followed(write: Callable[[Sequence[Message]], Awaitable[str]], **options: Any) -> list[Event]:
    """Run a root model in this process to its answer and return all events."""
    events: list[Event] = []
    rlm = RLM(Direct(write), max_calls=None, cache=False, max_repeats=None, on_event=events.append, **options)
    completed = rlm.completion(QUESTION, inputs.SMALL)
    worker.check("how the run ended", completed.stop_reason, "answered")
    return events


def start(base_url: str) -> Samples:
    """From the call of `completion` to the first kernel, and to the first request at the server."""
    events: list[Event] = []
    rlm = served(base_url, "turns1-0", on_event=events.append)
    worker.stats(base_url)
    began, began_unix = time.monotonic(), time.time()
    text = rlm.completion(QUESTION, inputs.SMALL).text
    worker.check("answer", text, "1")
    ready = next(event.time for event in events if isinstance(event, NodeStarted))
    return {"kernel": [ready - began_unix], "asked": [worker.stats(base_url)["first"] - began]}


def child(count: int) -> Samples:
    """From the request of a child RLM to its kernel with the input in it; one after the other."""

    async def write(messages: Sequence[Message]) -> str:
        if QUESTION in messages[1].content:
            return f"```repl\nfor _ in range({count}):\n    rlm_query('a task')\n```\n{ANSWER}"
        return ANSWER

    events = followed(write, max_depth=2)
    asked = {event.call: event.time for event in events if isinstance(event, CallRequested)}
    seconds = [event.time - asked[event.node] for event in events if isinstance(event, NodeStarted) and event.depth]
    worker.check("children", len(seconds), count)
    return {"kernel": seconds}


def cell(code: str, count: int) -> Samples:
    """From a cell's start to its end, as the run's events tell."""

    async def write(messages: Sequence[Message]) -> str:
        return f"```repl\n{code}\n```\n" * count + ANSWER

    events = followed(write)
    started = {event.cell: event.time for event in events if isinstance(event, CellStarted)}
    ended = [event for event in events if isinstance(event, CellFinished) and event.cell <= count]
    worker.check("cells that ended well", sum(event.status == "ok" for event in ended), count)
    return {"seconds": [event.time - started[event.cell] for event in ended]}


def bridge(count: int) -> Samples:
    """Sub-calls to a host that has no engine: the two messages alone, as the cell sees them."""

    async def measure() -> str:
        async with kernel(serve_ok) as session:
            (code,) = parse.cells(scripts.Script.named(f"single{count}-0").reply([])).code
            return await printed(session, f"{code}\nprint(answer['content'])")

    return {"seconds": worker.sub_calls(asyncio.run(measure()))}


def sub_call(count: int) -> Samples:
    """Sub-calls through the engine to a model that answers at once, as the cell sees them."""

    async def root(messages: Sequence[Message]) -> str:
        return scripts.Script.named(f"single{count}-0").reply([])

    async def sub(messages: Sequence[Message]) -> str:
        return scripts.OK

    rlm = RLM(Direct(root), sub_model=Direct(sub), max_calls=None)
    return {"seconds": worker.sub_calls(rlm.completion(QUESTION, inputs.SMALL).text)}


def sub_call_served(base_url: str, count: int) -> Samples:
    """Sub-calls through the engine, the SDK and the server, as the cell sees them."""
    rlm = served(base_url, f"single{count}-0")
    return {"seconds": worker.sub_calls(rlm.completion(QUESTION, inputs.SMALL).text)}


def sdk(base_url: str, count: int) -> Samples:
    """The same requests by the SDK's `create` alone, on our provider's transport: whole replies."""

    async def measure() -> list[float]:
        seconds = []
        async with _sdk(base_url) as ask:
            for number in range(count):
                started = time.perf_counter()
                await ask("sleep-0", f"prompt {number}")
                seconds.append(time.perf_counter() - started)
        return seconds

    return {"seconds": asyncio.run(measure())}


def alone(base_url: str, size: int, milliseconds: int, concurrency: int) -> Samples:
    """A batch's requests without kernel, engine and journal: by the SDK, and by the HTTP library below it."""

    async def measure(client: Callable[[str], AbstractAsyncContextManager[Ask]]) -> list[float]:
        slots = asyncio.Semaphore(concurrency)

        async def one(number: int) -> None:
            async with slots:
                await ask(f"sleep-{milliseconds}", f"prompt {number}")

        async with client(base_url) as ask:
            await ask("sleep-0", "prompt")
            began = time.perf_counter()
            await asyncio.gather(*(one(number) for number in range(size)))
            return [(time.perf_counter() - began) / worker.ideal(size, milliseconds / 1000, concurrency)]

    return {"sdk": asyncio.run(measure(_sdk)), "http": asyncio.run(measure(_http))}


@asynccontextmanager
async def _sdk(base_url: str) -> AsyncIterator[Ask]:
    async with AsyncOpenAI(api_key="none", base_url=base_url, http_client=DefaultAioHttpClient()) as client:

        async def ask(model: str, prompt: str) -> None:
            await client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])

        yield ask


@asynccontextmanager
async def _http(base_url: str) -> AsyncIterator[Ask]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(model: str, prompt: str) -> None:
            body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
            async with session.post(f"{base_url}/chat/completions", json=body) as response:
                await response.json()

        yield ask


def batch(base_url: str, size: int, milliseconds: int, concurrency: int | None) -> Samples:
    """One batch of sub-calls, as the cell sees it; ``concurrency`` is the default where it is ``None``."""
    options = {} if concurrency is None else {"max_concurrency": concurrency}
    rlm = served(base_url, f"batch{size}-0", f"sleep-{milliseconds}", **options)
    worker.stats(base_url)
    seconds = worker.sub_calls(rlm.completion(QUESTION, inputs.SMALL).text)
    return worker.batch_samples(seconds, size, milliseconds / 1000, rlm.options.max_concurrency, worker.stats(base_url))


def turns(base_url: str, count: int) -> Samples:
    """A whole completion, and the time between two requests of the root model as the server sees it."""
    rlm = served(base_url, f"turns{count}-0")
    worker.stats(base_url)
    began = time.perf_counter()
    text = rlm.completion(QUESTION, inputs.SMALL).text
    seconds, seen = time.perf_counter() - began, worker.stats(base_url)
    worker.check("answer", text, str(count))
    return {"whole": [seconds], "turn": [(seen["last"] - seen["first"]) / (count - 1)]}


def tree(base_url: str, size: int) -> Samples:
    """A tree of RLM nodes, each with a kernel of its own."""
    rlm = served(base_url, f"tree{size}-0", max_depth=scripts.TREE_LEVELS, max_iterations=scripts.TREE_ITERATIONS)
    worker.stats(base_url)
    began = time.perf_counter()
    text = rlm.completion(QUESTION, "level 0").text
    seconds = time.perf_counter() - began
    worker.check("nodes in the answer", text, str(scripts.nodes(size)))
    worker.check("requests at the server", worker.stats(base_url)["requests"], scripts.nodes(size))
    return {"seconds": [seconds]}


def context(characters: int, kind: str) -> Samples:
    """A big input into a running kernel, and the most memory that the kernel has had then."""

    async def measure(value: str | Path) -> Samples:
        files = (value,) if isinstance(value, Path) else ()
        async with kernel(serve_ok, files) as session:
            pid = processes.kernel(int(await printed(session, "import os; print(os.getpid())")))
            began = time.perf_counter()
            load = await asyncio.to_thread(host_inputs.prepare, value, session.inputs, "context_0", session.shown)
            await session.load(load)
            seconds = time.perf_counter() - began
            worker.check("length", await printed(session, "print(len(context))"), f"{characters}\n")
            return {"seconds": [seconds], "peak": [processes.peak_memory(pid)]}

    if kind == "str":
        return asyncio.run(measure(inputs.text(characters)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "input.txt")
        inputs.write(path, characters)
        return asyncio.run(measure(path))


def journal(calls: int) -> Samples:
    """A run of 20 turns over 1 MB with its journal, and the same without one, in turns."""
    turn = f"```repl\nreplies = llm_query_batched([context[n * 2000 :][:2000] for n in range({calls // 20})])\n```"

    async def write(messages: Sequence[Message]) -> str:
        said = sum(message.role == "assistant" for message in messages)
        return scripts.OK if len(messages) == 1 else turn if said < 20 else ANSWER

    def seconds() -> float:
        rlm = RLM(Direct(write), max_calls=None, cache=False, max_repeats=None)
        return rlm.completion(QUESTION, inputs.text(MB)).seconds

    def without() -> float:
        with (
            patch.object(run, "keeping", lambda *arguments: nullcontext()),
            patch.object(Journal, "__call__", lambda self, event: None),
        ):
            return seconds()

    seconds()
    pairs = [(seconds(), without()) for _ in range(15)]
    return {"with": [ours for ours, _ in pairs], "share": [(ours - bare) / bare for ours, bare in pairs]}


def fold(calls: int) -> Samples:
    """The tree of a run with many sub-calls, from its events."""
    usage = Usage.of_call(400, 20)
    stream: list[Event] = [
        RunStarted(run="r", question=QUESTION, options={}),
        CellStarted(iteration=1, cell=1, code="llm_query_batched(prompts)"),
    ]
    for number in range(calls):
        call = f"0.{number + 1}"
        stream.append(CallRequested(call=call, kind="llm", model="m", prompt=f"prompt {number}", cell=1))
        stream.append(CallFinished(call=call, status="ok", text="reply", usage=usage, seconds=1.0))
    began = time.perf_counter()
    folded = fold_events(stream)
    seconds = time.perf_counter() - began
    worker.check("calls in the tree", len(folded.root.calls), calls)
    return {"seconds": [seconds]}


class Census:
    """A root model whose children say who they are, and wait until all are alive; the last one measures them all."""

    PID = "import os; print(f'pid={os.getpid()}')"

    def __init__(self, count: int) -> None:
        self._count = count
        self._pids: list[int] = []
        self._done = asyncio.Event()
        self.samples: Samples = {}

    async def write(self, messages: Sequence[Message]) -> str:
        if QUESTION in messages[1].content:
            return f"```repl\nrlm_query_batched(['a task'] * {self._count})\n```\n{ANSWER}"
        found = re.search(r"pid=(\d+)", messages[-1].content)
        if found is None:
            return f"```repl\n{self.PID}\n```"
        self._pids.append(processes.kernel(int(found[1])))
        if len(self._pids) == self._count:
            own = [float(processes.own_memory(pid)) for pid in self._pids]
            self.samples = {"own": own, "pss": [float(processes.proportional_memory(pid)) for pid in self._pids]}
            self._done.set()
        await self._done.wait()
        return ANSWER


def memory(count: int) -> Samples:
    """Memory of each of some child kernels that are alive together and have run one cell."""
    census = Census(count)
    followed(census.write, max_depth=2)
    worker.check("children", len(census.samples.get("own", [])), count)
    return census.samples


def imports() -> Samples:
    """Import the public class."""
    return {"seconds": worker.import_seconds("from rlm_kernel import RLM")}


def main() -> None:
    """Serve requests; journals go to a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as runs:
        os.environ["RLM_RUNS_DIR"] = runs
        worker.serve(
            {
                call.__name__: call
                for call in (
                    *(start, child, cell, bridge, sub_call, sub_call_served, sdk, alone),
                    *(batch, turns, tree, journal, fold, notebook, context, reading.coverage, memory, imports),
                )
            }
        )


if __name__ == "__main__":
    main()
