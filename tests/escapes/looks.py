"""Attempts on whoever looks into a live kernel, or has worked in it: what is read, and what the next run then holds."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from rlm_kernel import RLM, LiveRepl, ReplError, ScriptedModel, journal
from rlm_kernel.events.types import Note
from rlm_kernel.host.live import live_repl
from tests.escapes.runs import ANSWER, words, written
from tests.escapes.vocabulary import UNHARMED, Attempt, Scene, Try, attempt, differs, judged

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
ERROR_CHARACTERS = 1_000
NOTES_CHARACTERS = 2_000_000
PROMPT_CHARACTERS = 50_000
LOOK_SECONDS = 0.5


@asynccontextmanager
async def looked_into(scene: Scene, code: str) -> AsyncIterator[tuple[RLM, ScriptedModel, list[str]]]:
    """A conversation after an attacker's cell; what its models are asked."""
    root, asked = ScriptedModel([written(words() + code + ANSWER), written(ANSWER)]), []

    async def sub(messages: list[dict[str, str]]) -> str:
        asked.append(messages[-1]["content"])
        return "reply"

    before, live_repl.LOOK_SECONDS = live_repl.LOOK_SECONDS, LOOK_SECONDS
    try:
        async with RLM(root, sub_model=sub, sandbox=scene.sandbox, cell_seconds=2.0) as rlm:
            await rlm.acompletion("a question", context="the input")
            asked.clear()
            yield rlm, root, asked
    finally:
        live_repl.LOOK_SECONDS = before


async def goes_on(rlm: RLM, root: ScriptedModel) -> list[Try]:
    """Ask the next question, and judge what its model and its journal were told."""
    completion = await rlm.acompletion("the next")
    longest = max(len(message.content) for message in root.requests[-1])
    notes = [event.text for event in journal.read(completion.run_dir) if isinstance(event, Note)]
    size = sum(map(len, notes))
    return [
        judged("the next answer", differs(completion.text, "answered")),
        judged("the next prompt", longest if longest > PROMPT_CHARACTERS else None),
        judged("its journal", f"notes of {size:,}" if size > NOTES_CHARACTERS else None),
    ]


async def looks(repl: LiveRepl, label: str) -> list[Try]:
    """Look in every way there is."""
    said: dict[str, Any] = {}
    for how, look in {"value": repl.aread("x"), "text": repl.ashow("x"), "names": repl.anames()}.items():
        try:
            said[how] = await look
        except ReplError as error:
            said[how] = error
        except Exception as error:
            return [judged(f"{how}: {label}", f"{type(error).__name__}: {error}")]
    errors = [str(each) for each in said.values() if isinstance(each, ReplError)]
    shown = [*errors, *(str(said[how]) for how in ("text", "names") if not isinstance(said[how], ReplError))]
    names = [name for name in said["names"] if CONTROLS.search(name)] if isinstance(said["names"], dict) else []
    return [
        judged(f"endless errors: {label}", [error[:100] for error in errors if len(error) > ERROR_CHARACTERS]),
        judged(f"endless texts: {label}", [len(text) for text in shown if len(text) > 1_000_000]),
        judged(f"control characters: {label}", [text[:100] for text in shown if CONTROLS.search(text)] + names),
        judged(f"objects: {label}", type(said["value"]).__name__ if type(said["value"]).__name__ in OBJECTS else None),
    ]


OBJECTS = ("function", "module", "type", "Evil")

LIES = """
import json, pickle
class Evil:
    def __reduce__(self): return __import__("os").system, ("true",)
title = chr(27) + "]0;owned" + chr(7) + chr(27) + "[2J" + chr(10)
collide = [n * (2**61 - 1) for n in range(50_000)]
lies = {
    "wrong types": {"problem": 7, "names": ["x"], "data": 3},
    "nonsense": {"problem": "owned", "data": None},
    "a pickle": {"data": pickle.dumps(Evil(), 0).decode()},
    "an unknown object": {"data": '{"object": "os.system"}'},
    "depth": {"data": "[" * 1_000_000},
    "closed depth": {"data": "[" * 5_000 + "]" * 5_000},
    "length": {"data": "x" * 10_000_000},
    "long digits": {"data": "9" * 1_000_000},
    "collisions": {"data": json.dumps({"set": collide})},
    "lists": {"data": "[" + "[]," * 500_000 + "[]]"},
    "sequences": {"data": json.dumps(title), "names": {title: title}, "given": {title * 100: title}},
    "sequences in errors": {"problem": "no_data", "type": title, "inner": title * 100_000, "where": title * 100_000},
    "many names": {"names": {f"name {n}": "t" * 100 for n in range(60_000)},
                   "marks": {f"name {n}": "m" * 100 for n in range(60_000)}},
    "long names": {"names": {"n" * 5_000_000: "t" * 5_000_000}, "marks": {"n" * 5_000_000: "m"}},
    "a huge problem": {"problem": "too_big", "type": "t" * 5_000_000, "length": -(10**4000)},
}
labels = list(lies)
left = [label for label in labels for _ in range(3)]
def lie(stream, ident, parent):
    content = lies[left.pop(0) if left else labels[-3]]
    kernel.session.send(stream, "rlm_look_reply", content, parent, ident=ident)
"""


async def _lies(scene: Scene) -> list[Try]:
    """Each lie is told to each kind of look; the host's own, when a question begins and ends, hear one of them."""
    handlers = "kernel.control_handlers.__setitem__, ('rlm_look_request', lie)"
    install = f"import threading\nthreading.Timer(0.3, {handlers}).start()\n"
    async with looked_into(scene, LIES + install) as (rlm, root, _):
        await installed(rlm.repl)
        tries = [each for label in LABELS for each in await looks(rlm.repl, label)]
        return [*tries, *await goes_on(rlm, root)]


LABELS = re.findall(r'^    "([\w ]+)": \{', LIES, re.MULTILINE)


async def installed(repl: LiveRepl) -> None:
    """Wait until the kernel lies."""
    while True:
        try:
            await repl.anames()
        except ReplError:
            return


ENDLESS = """
import time
class Never:
    def __repr__(self):
        while True: time.sleep(0.01)
x = Never()
"""


async def _endless(scene: Scene) -> list[Try]:
    """Objects whose own code never ends; and then a kernel that says nothing at all."""
    deaf = "kernel.control_handlers['rlm_look_request'] = lambda *args: None\n"
    tries = []
    for label, code in {"an object": ENDLESS, "the kernel": deaf}.items():
        async with looked_into(scene, code) as (rlm, root, _):
            for _ in range(6):
                try:
                    tries.append(judged(f"{label} shown", await rlm.repl.ashow("x")))
                except ReplError as error:
                    tries.append(
                        judged(f"{label} looked at", differs("no answer" in str(error) or "busy" in str(error), True))
                    )
            tries += await goes_on(rlm, root)
    return tries


ASKS = """
class Asks:
    def __repr__(self):
        print("NOISE " * 1000)
        try: llm_query("from a look")
        except Exception: pass
        to_control(message("rlm_call", call("from a look", "l1")))
        to_control(message("rlm_tool", tool_call("progress", "l2", "NOISE")))
        to_iopub(message("stream", {"name": "stdout", "text": "NOISE"}, parent=own_cell()))
        return "shown"
x = Asks()
"""


async def _asks(scene: Scene) -> list[Try]:
    """An object's own code runs when it is shown: it may not spend, and what it prints is in nobody's run."""
    async with looked_into(scene, ASKS) as (rlm, root, asked):
        shown = await rlm.repl.ashow("x")
        tries = await goes_on(rlm, root)
        assert rlm.last is not None
        assert rlm.last.completion is not None
        events = str([event for event in journal.read(rlm.last.completion.run_dir) if event.type != "model_requested"])
        return [
            judged("what it shows", differs(str(shown), "shown")),
            judged("calls that a model has answered", asked),
            judged("the next run", "NOISE" if "NOISE" in events else None),
            *tries,
        ]


FORGED = """
import threading, time
def forge():
    time.sleep(0.3)
    for n in range(3_000):
        to_iopub(message("execute_input", {"code": "c" * 20_000}, parent={"msg_id": f"forged {n}"}))
        to_iopub(message("execute_input", {"code": ["c"]}, parent={"msg_id": ["forged"]}))
threading.Thread(target=forge).start()
"""


async def _forged(scene: Scene) -> list[Try]:
    """What other clients run is in the journal, and only the kernel can tell."""
    async with looked_into(scene, FORGED) as (rlm, root, _):
        with heard(rlm) as cells:
            while len(cells) < 3_000:
                with suppress(ReplError):  # the forger has the interpreter
                    await rlm.repl.anames()
        return [judged("what it forges is heard", differs(len(cells) > 0, True)), *await goes_on(rlm, root)]


@contextmanager
def heard(rlm: RLM) -> Iterator[list[str]]:
    """What the host hears of cells of others, which it goes on to handle."""
    assert rlm._conversation is not None
    session, cells = rlm._conversation.repl.session, []
    handle = session.on_other_cell

    def both(code: str) -> None:
        cells.append(code)
        handle(code)

    session.on_other_cell = both
    yield cells
    session.on_other_cell = handle


ATTEMPTS: list[Attempt] = [
    attempt(
        "a look that is lied to",
        "answer a person's look with pickles, unknown objects, depth, millions of names, keys that collide, sequences",
        "schema check",
        UNHARMED,
        _lies,
    ),
    attempt(
        "a look without an end",
        "have what a person looks at never end, and answer no look at all",
        "time limit",
        UNHARMED,
        _endless,
    ),
    attempt(
        "a look that asks",
        "ask models, call tools and print when a person has an object shown",
        "nobody answers",
        UNHARMED,
        _asks,
    ),
    attempt(
        "cells that nobody ran",
        "have 3,000 cells of 20,000 characters noted as another client's",
        "limit on notes",
        UNHARMED,
        _forged,
    ),
]
