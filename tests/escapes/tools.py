"""Attempts on the caller's tools, which are functions of the host's."""

from __future__ import annotations

import json
import math
import threading
from typing import Any

from rlm_kernel import wire
from rlm_kernel.host.secret import Secret
from rlm_kernel.host.tools import Source
from rlm_kernel.host.tools.toolbox import SLOTS
from tests.escapes.memory import growing
from tests.escapes.runs import SMALL, attack
from tests.escapes.vocabulary import UNHARMED, Attempt, Scene, Try, attempt, differs, judged


async def _not_given(scene: Scene) -> list[Try]:
    """Everything else that a run has is there, under its name, and is no tool."""
    taken: list[Any] = []
    tools = {
        "given": taken.append,
        "VALUE": {"key": 1},
        "TOKEN": Secret("TOKEN", scene.canaries.secret),
        "made": Source("def made(): return 1"),
    }
    names = """
names = ["nothing", "VALUE", "TOKEN", "made", "eval", "exec", "open", "os.system", "__import__", "GIVEN", "given ", "",
         "given\\0", "../given", "given.__globals__", "given.__self__.append", "TOKEN.reveal", "call", "_function",
         "bind", "__class__", "secrets", "llm_query", "x" * 1_000_000]
for name in names: tried(name[:30], lambda: asked(wire.ToolCall("", name, ["x"])))
"""
    ran = await attack(scene, names, tools=tools)
    return [*ran.tries, judged("the tool that was given", taken), *ran.host()]


async def _of_the_parent(scene: Scene) -> list[Try]:
    """A child may have other tools than its parent, and so other secrets."""
    told: list[Any] = []
    passed: list[Any] = []
    tools = {"parents": told.append, "PARENTS": Secret("PARENTS", scene.canaries.secret)}
    child = """
for name in ("parents", "PARENTS"): tried(name, lambda: asked(wire.ToolCall("", name, ["x"])))
tried("by name", lambda: parents("x"))
tried("from its caller", lambda: found([name for name in globals() if "parents" in name.lower()]))
own({"__secret__": "PARENTS"})
"""
    code = "parents('once')\nprint(rlm_query('a child', context='its input'))\n"
    ran = await attack(scene, code, child=child, tools=tools, sub_tools={"own": passed.append})
    return [
        *ran.tries,
        judged("the parent's tool", differs(told, ["once"])),
        judged("the parent's secret", differs(passed, [{"__secret__": "PARENTS"}])),
        *ran.host(),
    ]


POISON = """
values = {
    "NaN": b"NaN", "infinity": b"1e999", "minus infinity": b"[-Infinity]", "5,000 digits": b"9" * 5_000,
    "4,000 digits": b"9" * 4_000, "a key twice": b'{"x": 1, "x": 2}', "10 MB": b'"' + b"x" * 10_000_000 + b'"',
    "a million items": b"[" + b"1," * 1_000_000 + b"1]", "half": b'{"x": ', "UTF-8": b'"\\xff"',
    "a surrogate": b'"\\\\ud800"', "a class": b'{"__class__": "os.system", "py/object": "os.system"}',
}
values |= {f"{depth} deep": b"[" * depth + b"]" * depth for depth in (*range(95, 1_100, 20), 10_000)}
values |= {f"{depth} deep in dicts": b'{"x":' * depth + b"1" + b"}" * depth for depth in range(95, 1_100, 20)}
fields = {
    "args": b'"tool": "%s", "args": [%s]', "kwargs": b'"tool": "%s", "kwargs": {"x": %s}',
    "a name": b'"args": ["%s"], "tool": %s', "no list": b'"tool": "%s", "args": %s',
    "no dict": b'"tool": "%s", "kwargs": %s', "an id": b'"tool": "%s", "id": %s',
}
number = 0
for value in values.values():
    for tool in (b"take", b"progress", b"budget"):
        for field in fields.values():
            number += 1
            to_control(message("rlm_tool", b'{"id": "%d", ' % number + field % (tool, value) + b"}"))
for content in (b"", b"7", b"[]", b"null", b'{"tool": "take"}', b'{"id": "x"}', b'{"id": ["x"], "tool": "take"}'):
    to_control(message("rlm_tool", content))
print(len(budget()), llm_query("after"))
"""


async def _poisoned_arguments(scene: Scene) -> list[Try]:
    seen: list[Any] = []
    tools = {"take": lambda *args, **kwargs: seen.append([*args, *kwargs.values()])}
    ran = await attack(scene, POISON, tools=tools, cell_seconds=20, **SMALL)
    assert seen, "the tool has to work"
    return [
        judged("no number", [item for items in seen for item in items if not finite(item)]),
        judged("longer than the REPL allows", [n for n in map(_length, seen) if n > wire.CALL_CHARACTERS]),
        judged("the run", differs(ran.printed, "3 reply\n")),
        *ran.host(),
    ]


def finite(value: Any) -> bool:
    """Whether JSON has such a value. A check such as ``amount < limit`` lets NaN through."""
    if isinstance(value, list | dict):
        return all(map(finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False))


async def _flood_of_tools(scene: Scene) -> list[Try]:
    code = """
long = "\\U0001f600" * 100_000
for number in range(100):
    to_control(message("rlm_tool", tool_call("take", f"l{number}", long)))
    to_control(message("rlm_tool", tool_call(long, f"n{number}")))
for number in range(10_000):
    to_control(message("rlm_tool", tool_call("take" if number % 2 else "nothing", f"s{number}")))
budget()
"""
    ran = await attack(scene, code, tools={"take": lambda *args: None}, cell_seconds=10, **SMALL)
    return ran.host()


async def _tools_that_hang(scene: Scene) -> list[Try]:
    """A thread cannot be ended; who cancels its call could start one more."""
    release = threading.Event()
    code = """
import time
for turn in range(30):
    ids = [f"{turn}-{number}" for number in range(32)]
    for call_id in ids: to_control(message("rlm_tool", tool_call("hang", call_id)))
    time.sleep(0.05)
    to_control(message("rlm_cancel", {"ids": ids}))
"""
    try:
        with growing(threading.active_count) as threads:
            ran = await attack(scene, code, tools={"hang": lambda: release.wait(30)}, cell_seconds=5)
    finally:
        release.set()
    return [judged("threads", threads.growth if threads.growth > 8 * SLOTS else None), *ran.host()]


async def _unread_results(scene: Scene) -> list[Try]:
    """Small calls, long results, and a kernel that takes none of them."""
    page = "p" * (wire.CALL_CHARACTERS // 2)
    code = """
for number in range(500): to_control(message("rlm_tool", tool_call("page", f"p{number}")))
import time
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGSTOP)
"""
    ran = await attack(scene, code, tools={"page": lambda: page}, cell_seconds=4, max_journal_mb=None)
    return ran.host()


async def _without_end(scene: Scene) -> list[Try]:
    """Waiting for a model is not the cell's own time; waiting for a tool is."""
    release = threading.Event()
    try:
        ran = await attack(scene, "nap()", tools={"nap": lambda: release.wait(30)}, cell_seconds=1)
    finally:
        release.set()
    return [judged("a cell of 1 s", f"took {ran.seconds:.0f} s" if ran.seconds > 10 else None), *ran.host()]


ATTEMPTS: list[Attempt] = [
    attempt(
        "a tool that was not given",
        "call values, secrets, builtins, attributes and methods as if they were tools",
        "list of tools",
        f"LLMCallError {UNHARMED}",
        _not_given,
    ),
    attempt(
        "a tool of the parent",
        "call a tool of the parent's, and use its secret, from a child that has others",
        "tools of each node",
        f"LLMCallError NameError NothingThereError {UNHARMED}",
        _of_the_parent,
    ),
    attempt(
        "poisoned arguments",
        "call a tool with NaN, texts of 10 MB, a million items, lists 10,000 deep, and what is no JSON",
        "schema check",
        UNHARMED,
        _poisoned_arguments,
    ),
    attempt(
        "flood of tools",
        "call tools 10,000 times, and with long names and arguments",
        "limit on the journal",
        UNHARMED,
        _flood_of_tools,
    ),
    attempt(
        "tools that hang",
        "start and cancel 960 calls of a tool that never returns",
        "limit on threads",
        UNHARMED,
        _tools_that_hang,
    ),
    attempt(
        "results that nobody reads",
        "have 500 results of 2 MB sent, and read none",
        "limit on messages",
        UNHARMED,
        _unread_results,
    ),
    attempt(
        "a tool without an end",
        "wait in a tool for longer than a cell may run",
        "cell time",
        UNHARMED,
        _without_end,
    ),
]
