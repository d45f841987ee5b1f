"""Calls of tools: functions of every kind, their arguments and secrets, and those that hang."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import json
import os
import sys
import threading
import time
from typing import Any

import pytest

from rlm_kernel.errors import ToolError
from rlm_kernel.host.secret import Secret
from rlm_kernel.host.tools import Tools, work
from tests.host.tool_vocabulary import VALUE, Finder, called, failure, fetch, search


async def test_functions_of_every_kind_are_called() -> None:
    class Asynchronous:
        async def __call__(self, x: int) -> int:
            await asyncio.sleep(0)
            return x + 1

    assert await called(search, "a", limit=2) == ["a", "a"]
    assert await called(fetch, "u") == "u"
    assert await called(Finder(), "w") == "w"
    assert await called(Finder().method, what="w") == "w"
    assert await called(functools.partial(search, "a"), 3) == ["a"] * 3
    assert await called(functools.partial(fetch, headers={}), "u") == "u"
    assert await called(Asynchronous(), 1) == 2
    assert await called(lambda x: fetch(x), "u") == "u"
    assert await called(max, 3, 4) == 4
    assert await called({"tool": len, "description": "length"}, "four") == 4


async def test_a_sync_function_runs_in_a_thread_of_its_own_with_the_callers_context() -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("set")
    here = threading.get_ident()

    def where() -> list[Any]:
        return [threading.get_ident() != here, variable.get(), threading.current_thread().daemon]

    assert await called(where) == [True, "set", True]


async def test_a_secret_is_real_in_the_function_and_redacted_in_what_comes_back() -> None:
    seen: list[Any] = []

    def use(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs))
        return {"headers": kwargs["headers"], "list": args[0]}

    tools = Tools.of({"use": use, "TOKEN": Secret("GITHUB_TOKEN", VALUE)})
    mark = {"__secret__": "TOKEN"}
    text = await tools.call("use", [[mark, 1]], {"headers": {"Authorization": mark}})
    assert seen == [(([VALUE, 1],), {"headers": {"Authorization": VALUE}})]
    assert json.loads(text) == {"headers": {"Authorization": "***"}, "list": ["***", 1]}


async def test_only_declared_secrets_are_replaced() -> None:
    """The kernel may send any mark: neither another variable of the host's nor a shape of its own gets a value."""
    os.environ["RLM_TEST_OTHER"] = "other-value"
    tools = Tools.of({"echo": lambda x: repr(x), "TOKEN": Secret("RLM_TEST_NAME", VALUE)})
    for mark in ({"__secret__": "RLM_TEST_OTHER"}, {"__secret__": "RLM_TEST_NAME"}, {"__secret__": ["TOKEN"]},
                 {"__secret__": "TOKEN", "more": 1}):  # fmt: skip
        assert json.loads(await tools.call("echo", [mark], {})) == repr(mark)
    del os.environ["RLM_TEST_OTHER"]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ([], {}, "missing a required argument: 'query'"),
        (["a", 1, 2], {}, "too many positional arguments"),
        (["a"], {"query": "b"}, "multiple values for argument 'query'"),
        (["a"], {"maximum": 3}, "got an unexpected keyword argument 'maximum'"),
    ],
)
async def test_wrong_arguments_are_refused_with_the_right_ones(args: Any, kwargs: Any, message: str) -> None:
    said = await failure(search, *args, **kwargs)
    assert said == f"f(): {message}. It is called as f(query: str, limit: int = 10) -> list[str]"


async def test_what_a_partial_has_fixed_cannot_be_overridden() -> None:
    def read(path: str, root: str = "/", **options: Any) -> str:
        return f"{root}{path}"

    fixed = functools.partial(read, root="/data/")
    assert await called(fixed, "a") == "/data/a"
    assert "unexpected keyword argument 'root'" in await failure(fixed, "a", root="/")


async def test_an_unknown_tool_suggests_the_nearest() -> None:
    tools = Tools.of({"search": search, "limits": [1]})
    with pytest.raises(ToolError, match=r"The tool 'serach' is not there. Did you mean 'search'\?"):
        await tools.call("serach", [], {})
    with pytest.raises(ToolError, match="The tool 'limits' is no function"):
        await tools.call("limits", [], {})
    with pytest.raises(ToolError) as raised:
        await tools.call("x" * 1_000_000, [], {})
    assert len(str(raised.value)) < 200


async def test_arguments_nested_without_end_are_refused() -> None:
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    assert "nested deeper than 100 levels" in await failure(lambda x: x, deep)


async def test_cancelling_ends_an_async_tool() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    call = asyncio.create_task(Tools.of({"hang": hang}).call("hang", [], {}))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.wait_for(ended.wait(), 5)


async def test_cancelling_leaves_a_tool_that_does_not_end() -> None:
    """Neither a thread nor a task that catches its cancellation can be ended: whoever waited goes on at once."""
    release, caught, started = threading.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def blocked() -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait(30)

    async def stubborn() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            caught.set()
        while not release.is_set():
            await asyncio.sleep(0.01)

    for hang in (blocked, stubborn):
        started.clear()
        call = asyncio.create_task(Tools.of({"hang": hang}).call("hang", [], {}))
        await started.wait()
        before = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - before < 1
    await asyncio.wait_for(caught.wait(), 5)
    release.set()


async def test_tools_that_hang_do_not_keep_others_from_running() -> None:
    """`asyncio.to_thread` has a handful of threads for the whole process: six tools that hang would stop everything."""
    release, hanging = threading.Event(), 0

    def hang() -> None:
        nonlocal hanging
        hanging += 1
        release.wait(30)

    tools = Tools.of({"hang": hang, "search": search})
    calls = [asyncio.create_task(tools.call("hang", [], {})) for _ in range(200)]
    async with asyncio.timeout(10):
        while hanging < 32:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        assert hanging == 32  # the others wait for a place
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert json.loads(await tools.call("search", ["a", 1], {})) == ["a"]
        assert await asyncio.to_thread(lambda: "free") == "free"
    release.set()


async def test_many_calls_at_once_do_not_mix() -> None:
    def slow(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number

    tools = Tools.of({"slow": slow})
    results = await asyncio.gather(*(tools.call("slow", [number], {}) for number in range(200)))
    assert [json.loads(text) for text in results] == list(range(200))


async def test_a_program_ends_although_a_tool_hangs() -> None:
    """A thread of asyncio's own is waited for when Python exits."""
    code = (
        "import asyncio, threading\n"
        "from rlm_kernel.host.tools import Tools\n"
        "async def main():\n"
        "    call = Tools.of({'hang': threading.Event().wait}).call('hang', [], {})\n"
        "    try:\n"
        "        await asyncio.wait_for(call, 0.2)\n"
        "    except TimeoutError:\n"
        "        print('left')\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, out) == (0, b"left\n")


async def test_a_thread_that_ends_after_its_loop_says_nothing() -> None:
    """The result of a tool that was left comes when nobody is there any more."""
    release, raised = threading.Event(), []
    hook, threading.excepthook = threading.excepthook, lambda args: raised.append(args)
    try:
        loop = asyncio.new_event_loop()

        async def begin() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(work.in_thread(lambda: release.wait(30)), 0.05)

        await asyncio.to_thread(loop.run_until_complete, begin())
        loop.close()
        release.set()
        async with asyncio.timeout(5):
            while any(thread.name == "rlm-tool" for thread in threading.enumerate()):
                await asyncio.sleep(0.005)
    finally:
        threading.excepthook = hook
    assert raised == []
