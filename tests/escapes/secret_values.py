"""Attempts on secrets: values that only the caller's tools see."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rlm_kernel.host.secret import Secret
from rlm_kernel.sinks import html
from tests.escapes.runs import Ran, attack
from tests.escapes.vocabulary import UNHARMED, Attempt, Scene, Try, attempt, judged

SEARCH = """
import gc, hashlib, re
def right(texts):
    return found([text for text in texts if hashlib.sha256(text.encode()).hexdigest() == host["digest"]])
def written(text): return re.findall("(?=([0-9a-f]{32}))", text)
def memory():
    for line in open("/proc/self/maps"):
        span, rights = line.split()[:2]
        begin, end = (int(part, 16) for part in span.split("-"))
        if rights.startswith("rw") and end - begin < 1 << 28:
            yield from (key.decode() for key in re.findall(rb"[0-9a-f]{32}", ctypes.string_at(begin, end - begin)))
use(TOKEN, deep=[{"x": TOKEN}])
tried("memory", lambda: right(set(memory())))
tried("environment", lambda: right(written(str(dict(os.environ)) + open("/proc/self/environ").read())))
tried("its object", lambda: right(written(" ".join(str(getattr(TOKEN, name)) for name in dir(TOKEN)))))
held = [repr(thing)[:10_000] for thing in gc.get_objects() if type(thing) in (dict, list, tuple)]
tried("objects", lambda: right(text for thing in held for text in written(thing)))
tried("as text", lambda: f"{TOKEN}")
tried("joined", lambda: "x" + TOKEN)
tried("its tool", lambda: right(written(f"{vars(use)} {use.__doc__} {[c.cell_contents for c in use.__closure__]}")))
tried("as a tool", lambda: asked(wire.ToolCall("", "TOKEN")))
tried("as a sub-call's input", lambda: rlm_query("what is it?", context=TOKEN))
tried("as a prompt", lambda: llm_query(TOKEN))
"""


async def _in_the_kernel(scene: Scene) -> list[Try]:
    secret, used = scene.canaries.secret, []

    def use(x: str, deep: Any) -> str:
        used.append((x, deep))
        return f"used {x} {deep}"

    digest = hashlib.sha256(secret.encode()).hexdigest()
    ran = await attack(scene, SEARCH, tools={"use": use, "TOKEN": Secret("TOKEN", secret)}, told={"digest": digest})
    assert used == [(secret, [{"x": secret}])], "the tool has to work"
    return [*ran.tries, judged("a trace of it", secret in everything(ran)), *ran.host()]


def everything(ran: Ran) -> str:
    """Return all that a run has said to anyone."""
    asked = "".join(message.content for request in ran.root.requests for message in request)
    page = html.render(ran.completion.tree)
    return (
        "".join(file.read_text() for file in Path(ran.completion.run_dir).rglob("*") if file.is_file()) + asked + page
    )


PIN = "73914628"


def echoes() -> dict[str, Any]:
    """Return tools that tell what they were given, in many ways."""

    def fails(error: Any) -> Any:
        def tool(x: str) -> None:
            raise error(x)

        return tool

    return {
        "plain": lambda x: x,
        "shown": lambda x: repr({x}),
        "dumped": lambda x: json.dumps([x]),
        "keys": lambda x: {x: [{x: (x, x)}]},
        "long": lambda x: "y" * 1_999 + x * 100,
        "url": lambda x: f"https://user:{quote(x)}@h.example/?q={quote(x, '')}&r={quote(x).lower()}",
        "header": lambda x: base64.b64encode(f"user:{x}".encode()).decode(),
        "alone": lambda x: [base64.urlsafe_b64encode(("y" * n + x).encode()).decode() for n in range(3)],
        "number": lambda x: [int(PIN), float(PIN), x],
        "raises": fails(ValueError),
        "misses": fails(lambda x: FileNotFoundError(2, "no such file", f"/srv/{x}/{x}")),
        "chained": fails(lambda x: RuntimeError(f"Traceback (most recent call last)\n  {x}\nKeyError: {x!r}")),
    }


async def _echo(scene: Scene) -> list[Try]:
    secret = scene.canaries.secret + '"\\ü/+ '
    code = """
for name in host["tools"]:
    for argument in (TOKEN, [TOKEN], {"x": TOKEN}):
        try: said = globals()[name](**argument) if isinstance(argument, dict) else globals()[name](argument)
        except Exception as error: said = error
        print(said, repr(said))
        progress(said)
        llm_query(str(said))
answer["content"] = plain(TOKEN)
"""
    tools = {**echoes(), "TOKEN": Secret("TOKEN", secret), "NUMBER": Secret("NUMBER", PIN)}
    ran = await attack(scene, code, tools=tools, told={"tools": list(echoes())})
    said = everything(ran)
    assert said.count("***") > 20, "the tools have to tell it"
    forms = [scene.canaries.secret, PIN, *(encoded(secret, before)[4:40] for before in range(3))]
    return [*(judged(f"the secret as {form[:4]}", form in said) for form in forms), *ran.host()]


def encoded(text: str, before: int) -> str:
    """Return a text in base64 as it stands behind other bytes, apart from those that they share."""
    return base64.b64encode(b"y" * before + text.encode()).decode()


async def _undeclared(scene: Scene) -> list[Try]:
    """The host knows many values by name; a mark in an argument gets none but those of this run's secrets."""
    seen: list[Any] = []
    code = """
for name in ("CANARY_API_KEY", "HOME", "PATH", "OTHER", "token", "TOKEN ", "TOKEN\\0", "", "_secrets", "x" * 1_000_000):
    for mark in ({"__secret__": name}, {"__secret__": [name]}, {"__secret__": name, "x": 1}, {"__SECRET__": name}):
        take(mark, x=[mark])
"""
    tools = {"take": lambda *args, **kwargs: seen.append((args, kwargs)), "TOKEN": Secret("TOKEN", "declared")}
    ran = await attack(scene, code, tools=tools)
    assert len(seen) == 40, ran.printed
    known = (scene.canaries.secret, os.environ["HOME"], os.environ["PATH"], "declared")
    return [judged("a value of the host's", [value for value in known if value in repr(seen)]), *ran.host()]


ATTEMPTS: list[Attempt] = [
    attempt(
        "a secret in the kernel",
        "find a secret's value in memory, environment, tools and objects, and have it turned into text",
        "only the host has it",
        f"LLMCallError NothingThereError TypeError {UNHARMED}",
        _in_the_kernel,
    ),
    attempt(
        "an echo of a secret",
        "have tools say it: as it is, as a key, a number, escaped, in URLs, in base64, in errors",
        "redaction",
        UNHARMED,
        _echo,
    ),
    attempt(
        "an undeclared secret",
        "pass marks of secrets that the run does not have, named as variables of the host's environment",
        "list of secrets",
        UNHARMED,
        _undeclared,
    ),
]
