"""Attempts on the host by what a run is asked: schemas, calls that cost nothing, replies and errors that multiply."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psutil

from rlm_kernel import wire
from rlm_kernel.events.types import CellFinished
from tests.escapes.runs import SMALL, Ran, attack, reply
from tests.escapes.vocabulary import UNHARMED, Attempt, Scene, Try, attempt, differs, judged

PROCESSOR_SECONDS = 10.0
"""What the schemas below may cost the host together; one alone could cost so much."""
LADDER_SECONDS = 12.0
"""What a cell may take beyond its time: the steps of the interrupt, and a new kernel."""

SCHEMAS = r"""
def nested(depth, inner):
    for _ in range(depth): inner = {"items": inner}
    return inner
chain = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 10} for n in range(20)} | {"a20": {"type": "string"}}
schemas = {
    "another server": {"$ref": host["server"]}, "a file": {"$ref": "file://" + host["secret_file"]},
    "another dialect": {"$schema": host["server"], "type": "string"}, "an id": {"$id": host["server"], "$ref": "x"},
    "itself": {"$ref": "#"}, "each other": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    "$ref": "#/$defs/a"}, "exponential": {"$defs": chain, "$ref": "#/$defs/a0"},
    "anyOf": {"$defs": {k: {"anyOf": v.get("allOf", [v])} for k, v in chain.items()}, "$ref": "#/$defs/a0"},
    "backtracking": {"pattern": "^(a+)+$"}, "lookaround": {"pattern": "(?=(a+))*$"}, "no pattern": {"pattern": "("},
    "patterns": {"anyOf": [{"pattern": r"\w{150}%d" % n} for n in range(200)]},
    "names": {"propertyNames": {"pattern": "^(a|aa)+$"}}, "types": {"type": [{"a": n} for n in range(3_500)]},
    "required": {"required": [x for n in range(3_000) for x in (n, str(n))]},
    "10 MB": {"description": "x" * 10_000_000}, "deep": nested(38, {}), "too deep": nested(900, {}),
    "wide": {"enum": list(range(9_000))},
    "digits": {"minimum": 10 ** 4_000}, "small": {"multipleOf": 1e-308}, "no schema": {"type": "nonsense"},
    "many": {"properties": {f"p{n}": {"type": "string"} for n in range(1_500)}}, "class": {"__class__": "os.system"},
}
for name, schema in schemas.items():
    for kind in ("llm", "rlm"): whatever(lambda: asked(wire.Call("", kind, [f"{name} {kind}"], schema=schema)))
for schema in (b"[]", b"true", b'{"minimum": NaN}', b'{"a": ' * 5_000 + b"1" + b"}" * 5_000, b'"\\ud800"'):
    to_control(message("rlm_call", b'{"id": "p", "kind": "llm", "prompts": ["x"], "schema": %s}' % schema))
print(llm_query("after"))
"""


async def _schemas(scene: Scene) -> list[Try]:
    """The reply is the attacker's too: it asks for it."""

    def sub(messages: list[dict[str, str]]) -> str:
        return "reply" if messages[-1]["content"] == "after" else '{"p": "' + "a" * 100_000 + '!"}'

    canaries = scene.canaries
    address = ":".join(map(str, canaries.tcp.getsockname()))
    told = {"server": f"http://{address}/schema", "secret_file": str(canaries.secret_file)}
    before = processor_seconds()
    ran = await attack(scene, SCHEMAS, sub_model=sub, told=told, cell_seconds=60)
    used = processor_seconds() - before
    return [
        judged("the host's time", f"{used:.0f} s" if used > PROCESSOR_SECONDS else None),
        judged("the run", differs(ran.printed, "reply\n")),
        *ran.host(),
    ]


def processor_seconds() -> float:
    """Return what this process has used."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


async def _flood_of_schemas(scene: Scene) -> list[Try]:
    """Each is honest, and takes a moment; the threads that look at them are the host's, and others need them."""
    code = """
for number in range(400):
    schema = {"properties": {f"p{number} {n}": {"type": "string"} for n in range(1_000)}}
    to_control(message("rlm_call", {"id": f"s{number}", "kind": "llm", "prompts": ["x"], "schema": schema}))
budget()
"""
    ran = await attack(scene, code, **SMALL)
    started = time.monotonic()
    await asyncio.to_thread(str)
    waited = time.monotonic() - started
    return [judged("another's wait for a thread", f"{waited:.0f} s" if waited > 2 else None), *ran.host()]


async def _repeated_error(scene: Scene) -> list[Try]:
    """One error for each prompt, and each says the name that was asked for."""
    code = """
name = "m" * 1_000_000
to_control(message("rlm_call", {"id": "x", "kind": "llm", "prompts": [""] * 1_000, "model": name}))
to_control(message("rlm_call", {"id": name, "kind": name, "prompts": [""] * 1_000}))
for number in range(20): to_control(message("rlm_call", {"id": f"{number}", "kind": "llm", "prompts": [0] * 100_000}))
budget()
"""
    return (await attack(scene, code)).host()


async def _repeated_reply(scene: Scene) -> list[Try]:
    """The same prompt is asked once, and answered as often as it is there."""
    code = "print(len(llm_query_batched(['x'] * 100_000)))\n"
    ran = await attack(scene, code, sub_model=lambda messages: "r" * 5_000, **SMALL)
    return ran.host()


async def _without_cost(scene: Scene) -> list[Try]:
    """A cell's clock stands while it waits for a model, and no model is asked what is known."""
    code = """
import time
end = time.monotonic() + 20
while time.monotonic() < end: whatever(lambda: llm_query_batched(["x"] * 20_000))
"""
    ran = await attack(scene, code, cell_seconds=1)
    return [judged("a cell of 1 s", overrun(ran, 1)), *ran.host()]


def overrun(ran: Ran, seconds: float) -> str | None:
    """Say so when a cell ran for longer than it may."""
    took = max(event.seconds for event in ran.events if isinstance(event, CellFinished))
    return f"{took:.0f} s" if took > seconds + LADDER_SECONDS else None


async def _endless_prompts(scene: Scene) -> list[Try]:
    """A thousand of them are allowed, and the journal and the tree hold them all."""
    code = """
for number in range(15): to_control(message("rlm_call", call(f"{number}" + "x" * 30_000_000, f"{number}")))
for number in range(40): llm_query(f"{number}" + "\\U0001f600" * 500_000)
"""
    ran = await attack(scene, code, cell_seconds=10, **SMALL)
    longest = max((len(prompt) for prompt in prompts_of(ran)), default=0)
    too_long = longest if longest > wire.PROMPT_CHARACTERS else None
    return [judged("a prompt longer than the REPL allows", too_long), *ran.host()]


def prompts_of(ran: Ran) -> list[str]:
    """Return what sub-calls of the run were asked."""
    return [call.question for node in ran.completion.tree.root.walk() for call in node.calls]


async def _endless_batches(scene: Scene) -> list[Try]:
    """Small messages, each with as many prompts as there may be; each prompt is a task of the host's."""
    code = """
for number in range(8):
    content = {"id": f"b{number}", "kind": "llm", "prompts": [f"{number} {n}" for n in range(100_000)]}
    to_control(message("rlm_call", content))
print(llm_query("after"))
"""

    async def slow(messages: list[dict[str, str]]) -> str:
        await asyncio.sleep(0.01)
        return reply(messages)

    ran = await attack(scene, code, sub_model=slow, max_calls=None, max_seconds=8, **SMALL)
    return ran.host()


async def _notes(scene: Scene) -> list[Try]:
    code = """
note = "\\U0001f600" * 1_000
for number in range(10_000): to_control(message("rlm_tool", tool_call("progress", f"{number}", note)))
budget()
"""
    return (await attack(scene, code, cell_seconds=10, **SMALL)).host()


def _of_journal(name: str, tries: str, drive: Any) -> Attempt:
    return attempt(name, tries, "limit on the journal", UNHARMED, drive)


ATTEMPTS: list[Attempt] = [
    attempt(
        "hostile schemas",
        "ask for results by schemas that refer to servers and files, or that take for ever to check",
        "bounded schemas",
        UNHARMED,
        _schemas,
    ),
    attempt(
        "flood of schemas",
        "have 400 big schemas looked at, so that nobody else finds a thread",
        "limit on threads",
        UNHARMED,
        _flood_of_schemas,
    ),
    attempt(
        "an error for each prompt",
        "have a name of a million characters said to be wrong, 1,000 times in one reply",
        "short errors",
        UNHARMED,
        _repeated_error,
    ),
    attempt(
        "a reply for each prompt",
        "have one reply of a model sent 100,000 times",
        "limit on a batch",
        UNHARMED,
        _repeated_reply,
    ),
    attempt(
        "batches without end",
        "ask 800,000 prompts at once by eight small messages",
        "limit on a batch",
        UNHARMED,
        _endless_batches,
    ),
    attempt(
        "calls that cost nothing",
        "stop a cell's clock for ever by sub-calls whose answers are known",
        "cell time",
        UNHARMED,
        _without_cost,
    ),
    _of_journal("endless prompts", "ask 530 MB of prompts, of 30 MB each and of 2 MB each", _endless_prompts),
    _of_journal("endless notes", "make 10,000 notes of progress", _notes),
]
