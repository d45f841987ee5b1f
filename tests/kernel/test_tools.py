"""Tools in the REPL: what may cross, and calls from a real kernel to functions of the host's."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import pickle
from array import array
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy
import pytest

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, ToolError
from rlm_kernel.host.secret import Secret as HostSecret
from rlm_kernel.host.session import Session
from rlm_kernel.host.tools import RESERVED_NAMES, Source, Tools
from rlm_kernel.host.tools.toolbox import SECRET_MARK as HOST_MARK
from rlm_kernel.kernel.queries import FailedCall
from rlm_kernel.kernel.tools import SECRET_MARK, Secret, arguments, names_of
from tests.kernel.vocabulary import kernel, run, until

VALUE = "ghp-0123456789"


class Answering:
    """A bridge that answers every request with the same results and remembers what was asked."""

    def __init__(self, *results: wire.CallResult) -> None:
        self.results = list(results)
        self.asked: list[tuple[str, Any]] = []

    def request(self, msg_type: str, message: Any) -> list[wire.CallResult]:
        self.asked.append((msg_type, message))
        return self.results

    async def arequest(self, msg_type: str, message: Any) -> list[wire.CallResult]:
        return self.request(msg_type, message)


# what may cross


def test_json_crosses_as_it_is_and_secrets_as_their_names() -> None:
    token = Secret("TOKEN")
    value = {"a": [1, 2.5, True, None, "ü\ud800"], "headers": {"auth": token}}
    assert arguments("f", (value, token), {"k": (token,)}) == (
        [{**value, "headers": {"auth": {"__secret__": "TOKEN"}}}, {"__secret__": "TOKEN"}],
        {"k": [{"__secret__": "TOKEN"}]},
    )
    assert SECRET_MARK == HOST_MARK


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2,)), [1, [2]]),
        (FailedCall("no"), "Error: no"),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (array("i", [1, 2]), [1, 2]),
        (numpy.int64(3), 3),
        (numpy.float32(0.5), 0.5),
        (numpy.bool_(True), True),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_almost_json_becomes_json(value: Any, expected: Any) -> None:
    (plain,), _ = arguments("f", (value,), {})
    assert json.dumps(plain) == json.dumps(expected)
    assert type(plain) is type(expected)


def a_loop() -> Any:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    return loop


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "argument 2 holds something of type set. A tool runs outside the REPL"),
        (object(), "argument 2 holds something of type object"),
        (b"x", "argument 2 holds something of type bytes"),
        ([{"a": len}], "argument 2 holds something of type builtin_function_or_method"),
        (int, "argument 2 holds something of type type"),
        ({1: "x"}, r"argument 2 holds a dict with the key 1 \(int\). Make all keys text."),
        ({Secret("TOKEN"): 1}, r"argument 2 holds a dict with the key Secret\('TOKEN'\)"),
        (math.nan, "argument 2 holds nan, and JSON has no such number"),
        (numpy.array([math.inf]), "argument 2 holds inf"),
        (a_loop(), "argument 2 is nested deeper than 100 levels, or holds itself"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_carry_is_a_type_error_before_anything_crosses(value: Any, message: str) -> None:
    bridge = Answering()
    tool = names_of(wire.Bind(tools={"f": "doc"}), bridge)["f"]
    with pytest.raises(TypeError, match=message):
        tool("fine", value)
    with pytest.raises(TypeError, match=message.replace("argument 2", "argument 'key'")):
        tool(key=value)
    with pytest.raises(TypeError):
        asyncio.run(tool.aio(value))
    assert bridge.asked == []


def test_arguments_that_are_too_long_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"f\(\): arguments of 4,2\d\d,\d+ characters; at most 4,000,000"):
        arguments("f", ("x" * 2_100_000,), {"k": "x" * 2_100_000})


# what comes back


def test_a_result_is_its_json_or_the_error_that_it_says() -> None:
    def answered(*results: wire.CallResult) -> Any:
        return names_of(wire.Bind(tools={"f": "doc"}), Answering(*results))["f"](1)

    assert answered(wire.CallResult(text='{"a": [1, null]}')) == {"a": [1, None]}
    with pytest.raises(ToolError, match="^no luck$"):
        answered(wire.CallResult(error="no luck"))
    with pytest.raises(LimitReached, match="max_seconds=3"):
        answered(wire.CallResult(limit="max_seconds", maximum=3))
    with pytest.raises(ToolError, match="no result"):
        answered()


def test_a_function_says_what_it_is() -> None:
    bridge = Answering(wire.CallResult(text="1"))
    tool = names_of(wire.Bind(tools={"search": "search(query)\n\nFind."}), bridge)["search"]
    assert (tool.__name__, tool.__qualname__, tool.__doc__) == ("search", "search", "search(query)\n\nFind.")
    assert (tool.aio.__name__, tool.aio.__doc__) == ("aio", "search(query)\n\nFind.")
    assert asyncio.run(tool.aio(2, a=3)) == tool(2, a=3) == 1
    assert bridge.asked == [("rlm_tool", wire.ToolCall("", "search", [2], {"a": 3}))] * 2


def test_a_secret_is_a_name_and_nothing_else() -> None:
    secret = names_of(wire.Bind(secrets=["TOKEN"]), Answering())["TOKEN"]
    assert repr(secret) == str(secret) == "Secret('TOKEN')"
    for use in (
        lambda: f"Bearer {secret}",
        lambda: f"{secret:>9}",
        lambda: "Bearer " + secret,
        lambda: json.dumps(secret),
    ):
        with pytest.raises(TypeError):
            use()
    with pytest.raises(AttributeError):
        secret.value = 1
    assert arguments("f", (copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))), {})[0] == [
        {"__secret__": "TOKEN"},
        {"__secret__": "TOKEN"},
    ]


# in a real kernel


@asynccontextmanager
async def repl(tools: dict[str, Any]) -> AsyncIterator[Session]:
    """A kernel whose host has these tools."""
    served = Tools.of(tools)

    async def serve(call: Any) -> wire.Reply:
        assert isinstance(call, wire.ToolCall)
        try:
            result = wire.CallResult(text=await served.call(call.tool, call.args, call.kwargs))
        except ToolError as error:
            result = wire.CallResult(error=str(error))
        return wire.Reply(call.id, [result])

    async with kernel(serve) as session:
        await session.bind(served.bind())
        for code in served.sources:
            await run(session, code)
        yield session


async def test_functions_values_secrets_and_sources_work_in_a_cell() -> None:
    seen: list[Any] = []

    def search(query: str, limit: int = 10) -> list[str]:
        """Find pages."""
        return [f"{query} {number}" for number in range(limit)]

    async def send(text: str, token: str, **more: Any) -> dict[str, Any]:
        await asyncio.sleep(0)
        seen.append((text, token, more))
        return {"sent": text, "with": token}

    tools = {
        "search": search,
        "send": send,
        "limits": {"tool": {"pages": [1, 2]}, "description": "d"},
        "TOKEN": HostSecret("GITHUB_TOKEN", VALUE),
        "words": Source("def words(text): return text.split()"),
    }
    async with repl(tools) as session:
        code = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
assert search("a", limit=2) == ["a 0", "a 1"]
assert await search.aio("b", 1) == ["b 0"]
assert [r[0] for r in await asyncio.gather(*(search.aio(str(i)) for i in range(100)))] == [f"{i} 0" for i in range(100)]
with ThreadPoolExecutor(8) as pool:
    assert [r[0] for r in pool.map(search, "abcd")] == ["a 0", "b 0", "c 0", "d 0"]
assert limits == {"pages": [1, 2]}
assert words("a b") == ["a", "b"]
print(send("hi", TOKEN, headers={"auth": [TOKEN]}), TOKEN)
"""
        assert (await run(session, code)).text == "{'sent': 'hi', 'with': '***'} Secret('TOKEN')\n"
        assert seen == [("hi", VALUE, {"headers": {"auth": [VALUE]}})]
        helped = (await run(session, "help(search)")).text
        assert "search(query: str, limit: int = 10) -> list[str]" in helped
        assert "Find pages." in helped
        code = "import os, sys\nprint(os.environ, TOKEN, vars(type(TOKEN)), globals(), search.__closure__)"
        assert VALUE not in (await run(session, code)).text


async def test_a_failed_tool_is_an_exception_in_the_cell() -> None:
    def broken(x: int = 0) -> None:
        raise LookupError(f"nothing in {__file__}")

    async with repl({"broken": broken}) as session:
        said = (await run(session, "broken()", ok=False)).text
        assert "ToolError: LookupError: nothing in .../test_tools.py" in said
        assert __file__ not in said
        said = (await run(session, "broken(1, 2)", ok=False)).text
        assert "ToolError: broken(): too many positional arguments. It is called as broken(x: int = 0)" in said
        assert (
            "TypeError: broken(): argument 1 holds something of type set"
            in (await run(session, "broken({1})", ok=False)).text
        )
        assert (
            await run(session, "try: broken()\nexcept Exception as e: print(type(e).__name__)")
        ).text == "ToolError\n"


async def test_an_interrupt_ends_a_tool_that_hangs() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with repl({"hang": hang}) as session:
        for code in ("hang()", "await hang.aio()"):
            ended.clear()
            cell = asyncio.create_task(run(session, code, ok=False))
            await until(lambda: bool(session.calls._tasks))
            # CPython's locks are not safe against a signal at the very moment they are taken: let the cell wait first.
            await asyncio.sleep(0.2)
            session._channels.send("control", "interrupt_request", {})
            assert (await cell).result.status == "interrupted", code
            await asyncio.wait_for(ended.wait(), 5)


async def test_a_tool_is_copied_and_pickled_by_its_name_and_refuses_another_process() -> None:
    code = """
import copy, pickle, os
assert copy.copy(search) is copy.deepcopy([search])[0] is pickle.loads(pickle.dumps(search)) is search
read, write = os.pipe()
if not (child := os.fork()):
    try:
        search("a")
    except BaseException as error:
        os.write(write, f"{type(error).__name__}: {error}".encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(read, 1000).decode())
search = None
"""
    async with repl({"search": lambda query: query.upper()}) as session:
        cell = await run(session, code)
        assert cell.text.startswith("ToolError: search() works only in the REPL's own process. Use threads")
        assert cell.report.restored == ["search"]
        assert (await run(session, "search('a')")).text == "'A'"


async def test_every_name_the_repl_begins_with_is_reserved() -> None:
    """A tool may not take one of them: cells would put it back, or lose what it was."""
    async with kernel() as session:
        code = "import builtins\nprint(*(n for n in globals() if n[0] != '_' and not hasattr(builtins, n)))"
        names = set((await run(session, code)).text.split()) - {"builtins"}
        assert {"llm_query", "answer", "In", "FINAL_VAR"} <= names
        assert names <= RESERVED_NAMES
        code = "print(*get_ipython().kernel.namespace.names)"
        assert set((await run(session, code)).text.split()) <= RESERVED_NAMES
