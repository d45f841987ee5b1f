"""Attempts by way of children: their inputs, which become files on the host, their code, and how many they are."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from typing import Any

from rlm_kernel import ScriptedModel
from rlm_kernel.host.uploads import MAX_UPLOADS
from tests.escapes.memory import HOST_GROWTH, disk, growing, processes
from tests.escapes.protocol import forge, works
from tests.escapes.runs import ANSWER, DISK_MB, ask, attack, written
from tests.escapes.vocabulary import UNHARMED, Attempt, Scene, Try, attempt, differs, judged

OURS = re.compile(r"k-\d|log|connection\.json|upload-\d+")
"""Names in a kernel's folder on the host."""


async def _names(scene: Scene) -> list[Try]:
    """The name of an input is the kernel's; the name of its file is not."""
    async with scene.kernel() as session:
        code = """
mark = host["mark"]
for name in ("../" + mark, "../" * 9 + mark, "/tmp/" + mark, host["folder"] + "/" + mark, mark, mark + "\\0.txt", ".",
             "..", "", "upload-1", "connection.json", "k-1", "log", "\\ud800" + mark, "x" * 5_000, host["precious"]):
    to_control(piece(name, "escaped"))
    to_control(piece(name, " again"))
llm_query("after")
"""
        await forge(scene, session, code)
        folder = session.connection_file.parent
        strange = [file.name for file in folder.iterdir() if not OURS.fullmatch(file.name)]
        return [judged("names in the kernel's folder", strange), await works(session)]


async def _endless_input(scene: Scene) -> list[Try]:
    async with scene.kernel(disk_mb=DISK_MB) as session:
        with growing() as memory, growing(disk) as space:
            code = """
for number in range(400): to_control(piece(f"{number % 7}", "x" * 1_000_000))
llm_query("after")
"""
            await forge(scene, session, code)
        return [
            judged("the host's memory", memory.beyond(HOST_GROWTH)),
            judged("the host's disk", space.beyond(2 * DISK_MB << 20)),
            await works(session),
        ]


async def _endless_inputs(scene: Scene) -> list[Try]:
    async with scene.kernel() as session:
        with growing() as memory:
            code = """
for number in range(60): to_control(piece(f"{number}" + "x" * 10_000_000, "x"))
for number in range(12_000): to_control(piece(f"{number}", "x"))
llm_query("after")
"""
            await forge(scene, session, code)
        files = len(list(session.connection_file.parent.glob("upload-*")))
        return [
            judged("the host's memory", memory.beyond(HOST_GROWTH)),
            judged("files on the host", files if files > MAX_UPLOADS else None),
            await works(session),
        ]


async def _full_disk(scene: Scene) -> list[Try]:
    """The host cannot write what a kernel sends: its other calls go on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with scene.kernel(cell_seconds=5.0) as session:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        try:
            code = """
for number in range(3): to_control(piece(f"{number}", "x" * 1_000_000))
print(llm_query("at once"))
"""
            cell = await forge(scene, session, code)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return [judged("the next call", differs(cell.text, "AT ONCE\n")), await works(session)]


async def _inputs_that_stay(scene: Scene) -> list[Try]:
    """Each is within its bound, and each child has ended when the next one comes."""
    code = "for number in range(12): print(rlm_query('q', context=chr(65 + number) * 7_000_000))\n"
    with growing(disk) as space:
        ran = await attack(scene, code, child="1\n", disk_mb=DISK_MB, cell_seconds=20)
    assert ran.printed == "answered\n" * 12
    return [judged("the host's disk", space.beyond(2 * DISK_MB << 20)), *ran.host()]


async def _of_another_kernel(scene: Scene) -> list[Try]:
    """Names of inputs are counted, so those of another kernel are known."""
    asked: list[str] = []

    def sub(messages: list[dict[str, str]]) -> str:
        asked.append(messages[-1]["content"])
        return "reply"

    secret = scene.canaries.secret
    code = """
for number in range(1, 100): to_control(piece(f"c{number}", host["input"]))
to_control(piece("known", host["input"]))
print(rlm_query_batched(["first", "second"]))
print(rlm_query("third", context="its input"))
"""
    child = """
for name in ("known", "upload-1", "1", "0", "context", "../1/upload-1", *(f"c{number}" for number in range(1, 9))):
    tried(name, lambda: asked(wire.Call("", "rlm", ["what is it?"], contexts=[name])))
"""
    told = {"input": f"the parent's {secret}"}
    ran = await attack(scene, code, child=child, told=told, sub_model=sub, cell_seconds=10)
    printed = [text for text in (*asked, *(call.text for call in ran.calls)) if secret in text]
    return [*ran.tries, judged("the parent's input", printed), *ran.host()]


async def _late_piece(scene: Scene) -> list[Try]:
    """What is added to an input when its call has been looked up under the hash of what it was, on a busy host."""
    loop = asyncio.get_running_loop()

    def occupy() -> None:
        for _ in range(40):
            loop.run_in_executor(None, time.sleep, 0.2)  # the threads that look into the cache's folder

    def sub(messages: list[dict[str, str]]) -> str:
        if messages[-1]["content"] == "busy":
            loop.call_soon_threadsafe(occupy)
        return "I have read: " + messages[-1]["content"]

    model = ScriptedModel(sub, name="provider/model")
    kept: dict[str, Any] = {"cache": str(scene.canaries.folder / "cache"), "sub_model": model}
    code = """
import time
llm_query("busy", cache=False)
for number in range(20):
    to_control(piece(f"u{number}", "honest"))
    child = {"id": f"c{number}", "kind": "rlm", "prompts": [f"q{number}"], "contexts": [f"u{number}"]}
    to_control(message("rlm_call", child))
time.sleep(0.3)
for number in range(20): to_control(piece(f"u{number}", " forged"))
print(rlm_query_batched([f"q{number}" for number in range(20)], context="other"))
"""
    ran = await attack(scene, code, cell_seconds=20, **kept)
    honest = "print(rlm_query_batched([f'q{number}' for number in range(20)], context='honest'))"
    later = await ask(scene, honest, **kept)
    assert "honest" in later.printed
    return [judged("what another run is answered", "forged" in later.printed and later.printed), *ran.host()]


LIES = """
texts = {"no JSON": "{", "text": "text", "empty": "", "deep": "[" * 100_000 + "]" * 100_000, "NaN": "[NaN, 1e999]",
         "digits": "9" * 5_000, "surrogate": '"\\\\ud800"', "raw": "[\\ud800]", "twice": '{"a": 1, "a": 2}',
         "many": "[" + "[]," * 1_000_000 + "[]]", "class": '{"__class__": "os.system"}',
         "keys": json.dumps({"k" * 100_000: "v" * 100_000, "\\x1b[2J": 1}), "object": '{"__secret__": "X"}'}
for name, text in texts.items():
    for kind in ("json", "text"):
        to_control(piece(name + kind, text[:1], kind))
        to_control(piece(name + kind, text[1:], "text" if kind == "json" else "json"))
        whatever(lambda: asked(wire.Call("", "rlm", ["q" + name], contexts=[name + kind])))
for content in (b'{"id": "x", "kind": "pickle", "text": "x"}', b'{"id": 1, "kind": "text", "text": "x"}', b"7", b"",
                b'{"id": "x", "kind": "text", "text": ["x"]}', b'{"id": "x", "kind": "text"}'):
    to_control(message("rlm_context", content))
whatever(lambda: asked(wire.Call("", "rlm", ["q"], contexts=["x"])))
print(llm_query("after"))
"""


async def _lies(scene: Scene) -> list[Try]:
    """JSON that is none, or that no kernel can read. Each child that is given some is forked, loads it, and ends."""
    ran = await attack(scene, LIES, child="str(context)\n", cell_seconds=20)
    return [judged("the run", differs(ran.printed[-6:], "reply\n")), *ran.host()]


async def _numbers(scene: Scene) -> list[Try]:
    code = """
for prompts, contexts in ((1, 2), (2, 3), (3, 2), (0, 1), (1, 100_000), (100_000, 2), (2, 0)):
    to_control(piece("c", "input"))
    content = wire.Call("", "rlm", ["q"] * prompts, contexts=["c"] * contexts)
    results = kernel.bridge.request("rlm_call", content)
    print(len(results) == prompts or prompts > 1_000, all(result.error for result in results) or not contexts)
"""
    ran = await attack(scene, code, child="1\n", cell_seconds=20)
    return [judged("results", differs(set(ran.printed.split()) - {"True"}, set())), *ran.host()]


async def _code_for_children(scene: Scene) -> list[Try]:
    """What a parent gives its children to run first is run in their kernels, and is bounded as their cells are."""
    code = """
from concurrent.futures import ThreadPoolExecutor
sources = ["while True: pass", "import os; os._exit(1)", "import os; os.kill(os.getpid(), 19)", "(" * 100_000, "\\0",
           "raise ValueError('e' * 900_000)", "x = '" + "x" * 10_000_000 + "'",
           "get_ipython().kernel.shell_handlers.clear()"]
def give(source): whatever(lambda: asked(wire.Call("", "rlm", [f"q{len(source)}"], source=source)))
with ThreadPoolExecutor(8) as pool: list(pool.map(give, sources))
print(llm_query("after"))
"""
    ran = await attack(scene, code, child="1\n", cell_seconds=1, max_seconds=40)
    return [
        judged("the run", differs((ran.completion.stop_reason, ran.printed[-6:]), ("answered", "reply\n"))),
        *ran.host(),
    ]


async def _full_box(scene: Scene) -> list[Try]:
    """Each node may run so many children at once, whatever it asks for."""
    at_once = 2
    code = "print(len(rlm_query_batched([f'{context} {number}' for number in range(8)])))\n"
    options: dict[str, Any] = {"max_depth": 3, "max_children": at_once, "cell_seconds": 20}
    with growing(processes) as alive:
        ran = await ask(scene, code, child=lambda _: written(code + ANSWER), **options)
    assert ran.printed == "8\n" * 73
    most = 2 * (1 + at_once + at_once**2)  # some begin while others end, and the box has processes of its own
    too_many = alive.growth if alive.growth > most else None
    return [judged(f"processes for {most // 2} kernels", too_many), *ran.host()]


ATTEMPTS: list[Attempt] = [
    attempt(
        "names of inputs",
        "give inputs names that are paths out of the folder, of its sockets, with NUL, of 5,000 characters",
        "names of our own",
        UNHARMED,
        _names,
    ),
    attempt("an endless input", "send 400 MB where the disk has 8", "size of the disk", UNHARMED, _endless_input),
    attempt(
        "endless inputs",
        "send 12,000 inputs which no call uses, and names of 10 MB",
        "limit on inputs",
        UNHARMED,
        _endless_inputs,
    ),
    attempt(
        "a full disk of the host",
        "send an input that the host cannot write",
        "told to its call",
        UNHARMED,
        _full_disk,
    ),
    attempt(
        "inputs that stay",
        "give child after child an input that nearly fills the disk",
        "removed with the child",
        UNHARMED,
        _inputs_that_stay,
    ),
    attempt(
        "another kernel's input",
        "name inputs that the parent, or another child, has sent",
        "inputs of each kernel",
        f"LLMCallError {UNHARMED}",
        _of_another_kernel,
    ),
    attempt(
        "a late piece",
        "add to an input when its call is on its way, so that its answer is kept for another input",
        "sealed by its call",
        UNHARMED,
        _late_piece,
    ),
    attempt(
        "inputs that lie",
        "say that text is JSON; send JSON 100,000 deep, of 5,000 digits, of a million lists",
        "read in the child",
        UNHARMED,
        _lies,
    ),
    attempt(
        "inputs without prompts",
        "name more inputs than prompts, fewer, and 100,000",
        "schema check",
        UNHARMED,
        _numbers,
    ),
    attempt(
        "code for children",
        "give children code that never ends, ends their kernel, stops it, is 10 MB long or no Python",
        "cell time",
        UNHARMED,
        _code_for_children,
    ),
    attempt(
        "a box full of kernels",
        "ask for 72 children at once, at two depths",
        "limit on children",
        UNHARMED,
        _full_box,
    ),
]
