"""Attempts on the host through the protocol: forged, replayed, poisoned and too many messages."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.host.connection import LIMITS
from rlm_kernel.host.session import Session
from tests.escapes.memory import HOST_GROWTH, growing
from tests.escapes.vocabulary import UNHARMED, Attempt, Drive, Scene, Try, attempt, differs, judged
from tests.kernel.vocabulary import Cell, run, until, upper

FORGER = Path(__file__).with_name("forger.py").read_text(encoding="utf-8")

POISON = """
poison = {
    "NaN": b'{"id": "p", "kind": "llm", "prompts": [NaN]}',
    "infinity": b'{"id": "p", "kind": "llm", "prompts": ["x"], "cell": -Infinity}',
    "a number of 5,000 digits": b'{"id": "p", "kind": "llm", "prompts": ["x"], "cell": ' + b"9" * 5000 + b"}",
    "a number too great for a float": b'{"id": "p", "kind": "llm", "prompts": ["x"], "cell": 1e999}',
    "100,000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "100,000 braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "brackets in a field": b'{"id": "p", "kind": "llm", "prompts": ' + b"[" * 900 + b"]" * 900 + b"}",
    "a key twice": b'{"id": "p", "kind": "llm", "prompts": ["x"], "prompts": [1]}',
    "invalid UTF-8": b'{"id": "\\xff\\xfe", "kind": "llm", "prompts": ["\\xff"]}',
    "UTF-16": '{"id": "p"}'.encode("utf-16"),
    "nothing": b"", "half an object": b'{"id": "p"', "a number": b"7", "null": b"null", "a text": b'"text"',
    "a class": b'{"id": "p", "kind": "llm", "prompts": [{"__class__": "os.system", "py/object": "os.system"}]}',
    "an object for an id": b'{"id": {"a": 1}, "kind": "llm", "prompts": ["x"]}',
    "a list for an id": b'{"id": ["p"], "kind": "llm", "prompts": ["x"]}',
    "no prompts": b'{"id": "p", "kind": "llm"}',
    "another kind": b'{"id": "p", "kind": "exec", "prompts": ["x"]}',
}
"""


class Host:
    """Serves calls and remembers them."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def serve(self, call: wire.Call) -> wire.Reply:
        await self.open.wait()
        self.prompts += [prompt[:100] for prompt in call.prompts]
        return wire.Reply(call.id, [wire.CallResult(text=prompt[:100].upper()) for prompt in call.prompts])


async def forge(scene: Scene, session: Session, code: str, **told: Any) -> Cell:
    """Run a cell that has the forger's words."""
    await run(session, FORGER)
    return await scene.cell(session, code, **told)


async def works(session: Session) -> Try:
    """Whether a session is of use after an attempt."""
    for _ in range(2):  # the first cell may find out that its kernel has to be restarted
        cell = await run(session, "print(llm_query('still here'))", ok=False)
    return judged("the session is of no use any more", differs(cell.text, "STILL HERE\n"))


async def _poisoned_calls(scene: Scene) -> list[Try]:
    host = Host()
    async with scene.kernel(host.serve) as session:
        code = """
for content in poison.values():
    for msg_type in ("rlm_call", "rlm_cancel", "rlm_attach_reply"):
        to_control(message(msg_type, content))
        to_control(message(msg_type, {}, metadata=content))
        to_control(message(msg_type, {}, parent=content))
        to_control(message(msg_type, {}, header=content))
llm_query("after")
"""
        await forge(scene, session, POISON + code)
        strange = set(host.prompts) - {"after", "\ufffd"}  # bytes that are no UTF-8 are replaced
        return [judged("calls that are none", strange), await works(session)]


async def _surrogates(scene: Scene) -> list[Try]:
    """Valid JSON for a text that UTF-8 cannot write, on its way out and on its way back."""
    async with scene.kernel() as session:
        code = """
for number, text in enumerate((b"\\\\ud800", b"\\\\udfff\\\\ud800", b"\\\\u0000", b"\\\\udc80")):
    to_control(message("rlm_call", b'{"id": "s%d", "kind": "llm", "prompts": ["%s"]}' % (number, text)))
    to_control(message("rlm_call", b'{"id": "%s", "kind": "llm", "prompts": ["x"]}' % text))
    to_control(message("rlm_call", b'{"id": "m%d", "kind": "llm", "prompts": ["x"], "model": "%s"}' % (number, text)))
try: llm_query("a \\ud800 b")
except UnicodeError: pass
"""
        cell = await forge(scene, session, code)
        return [judged("a call that never ends", differs(cell.result.status, "ok")), await works(session)]


async def _surrogate_reply(scene: Scene) -> list[Try]:
    """A model's reply may hold one: a provider's JSON can say it."""

    async def serve(call: wire.Call) -> wire.Reply:
        return wire.Reply(call.id, [wire.CallResult(text=f"{prompt} \ud800".upper()) for prompt in call.prompts])

    async with scene.kernel(serve, cell_seconds=2.0) as session:
        cell = await run(session, "len(llm_query('x'))", ok=False)
        return [judged("a call that never ends", cell.result.status == "timeout")]


async def _poisoned_outputs(scene: Scene) -> list[Try]:
    async with scene.kernel() as session:
        code = """
own = own_cell()
for content in poison.values():
    for msg_type in ("stream", "display_data", "execute_result", "error", "status", "clear_output", "comm_open"):
        to_iopub(message(msg_type, content, parent=own))
        to_iopub(message(msg_type, {"data": {"text/plain": []}, "text": [], "traceback": {}}, parent=own))
        to_iopub(message(msg_type, {}, parent=content, metadata=content))
    for msg_type in ("execute_reply", "rlm_load_reply"):
        to_shell(message(msg_type, content, parent={"msg_id": "nobody's"}))
        to_shell(message(msg_type, {"status": "ok"}, parent=content, metadata=content))
"""
        await forge(scene, session, POISON + code)
        return [await works(session)]


async def _poisoned_report(scene: Scene) -> list[Try]:
    """The state of the REPL, which travels in the metadata of every reply."""
    async with scene.kernel() as session:
        code = """
reports = [{"rlm": value} for value in (None, 7, "text", [], [1], True)]
reports += [{"rlm": {"ready": "yes", "variables": [1]}},
            {"rlm": {"value": [[1] * 1000] * 1000, "text": "x" * 10_000_000}}]
original = type(kernel).finish_metadata
type(kernel).finish_metadata = lambda *a: reports.pop(0) if reports else original(*a)
"""
        await forge(scene, session, code)
        statuses = [(await run(session, "1", ok=False)).result.status for _ in range(9)]
        return [judged("cells that never end", set(statuses) - {"ok", "error"}), await works(session)]


async def _another_cell(scene: Scene) -> list[Try]:
    """Ids of requests are counted, so the next one's is known."""
    async with scene.kernel() as session:
        code = """
import threading, time
own = own_cell()
begin, _, number = own["msg_id"].rpartition("_")
coming = [{**own, "msg_id": f"{begin}_{int(number) + n}"} for n in range(1, 10)]
done = {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
report = {"ready": True, "is_json": True, "value": "forged", "text": "forged"}
def forge(parent):
    to_iopub(message("stream", {"name": "stdout", "text": "forged"}, parent=parent))
    to_iopub(message("status", {"execution_state": "idle"}, parent=parent))
    return message("execute_reply", done, parent=parent, metadata={"rlm": report})
for parent in coming: to_shell(forge(parent))
def later():
    time.sleep(0.3)
    forge(own)
threading.Thread(target=later).start()
"""
        first = await forge(scene, session, code)
        second = await run(session, "import time; time.sleep(0.6); print('honest')")
        return [
            judged("an output of the next cell", differs(second.text, "honest\n")),
            judged("an answer of the next cell", second.report.ready),
            judged("an output of the last cell", "forged" in first.text and first.text),
        ]


async def _replay(scene: Scene) -> list[Try]:
    host = Host()
    async with scene.kernel(host.serve) as session:
        code = """
import time
honest = message("rlm_call", call("once", "replayed"))
for _ in range(20):
    to_control(list(honest))
    llm_query("another")
"""
        await forge(scene, session, code)
        times = host.prompts.count("once")
        assert times >= 1
        return [judged("a call was made again", times > 1 and times), await works(session)]


async def _pickles(scene: Scene) -> list[Try]:
    """Nothing is ever unpickled, whatever it looks like."""
    async with scene.kernel() as session:
        code = """
import base64, pickle
class Evil:
    def __reduce__(self): return os.system, ("touch " + host["folder"] + "/" + host["mark"],)
evil = pickle.dumps(Evil())
own, text = own_cell(), base64.b64encode(evil).decode()
for frames in (message("rlm_call", evil), message("rlm_call", call("x", "b"), buffers=(evil,)),
               message("rlm_call", call(text, "t")), message("rlm_call", {**call("x", "c"), "__reduce__": text})):
    to_control(frames)
bundle = {"data": {"application/x-python-pickle": text, "text/plain": "x"}}
to_iopub(message("display_data", bundle, parent=own, buffers=(evil,)))
to_shell(message("execute_reply", evil, parent=own))
answer["content"] = evil
"""
        await forge(scene, session, code)
        return [await works(session)]  # and the canaries say whether it was run


async def _another_run(scene: Scene) -> list[Try]:
    """The attacker even has the other run's key: the channels are what it does not have."""
    mine, theirs = Host(), Host()
    theirs.open.clear()
    async with scene.kernel(mine.serve) as attacker, scene.kernel(theirs.serve) as victim:
        waiting = asyncio.create_task(run(victim, "print(llm_query('theirs'))"))
        await until(lambda: bool(victim._calls))
        key = victim._channels._session.key.decode()
        code = """
key = host["key"].encode()
for signed in (None, key):
    for number in range(20):
        reply = {"id": str(number), "results": [{"text": "forged", "error": None, "limit": None, "maximum": 0.0}]}
        to_control(message("rlm_reply", reply, key=signed))
        to_control(message("rlm_cancel", {"ids": [str(number)]}, key=signed))
to_control(message("rlm_call", call("forged with their key", "f1", host["cell"]), key=key))
to_control(message("rlm_call", call("forged with their cell", "f2", host["cell"])))
to_iopub(message("stream", {"name": "stdout", "text": "forged"}, parent={"msg_id": host["cell"]}, key=key))
to_shell(message("execute_reply", {"status": "ok"}, parent={"msg_id": host["cell"]}, key=key))
llm_query("after")
"""
        await forge(scene, attacker, code, key=key, cell=next(iter(victim._cells)))
        theirs.open.set()
        text = (await waiting).text
        return [
            judged("the other run's answer", differs(text, "THEIRS\n")),
            judged("the other run's calls", differs(theirs.prompts, ["theirs"])),
            judged("a call with the other run's key", "forged with their key" in mine.prompts),
        ]


async def _second_host(scene: Scene) -> list[Try]:
    """Calls then go to nobody. That is the attacker's own loss; the host must not wait for ever."""
    host = Host()
    async with scene.kernel(host.serve, cell_seconds=1.0) as session:
        code = """
kernel.rlm_attach_request(kernel.control_stream, [b"somebody else"], {"header": {}, "content": {"version": 1}})
llm_query("lost")
"""
        cell = await forge(scene, session, code)
        ended = await run(session, "1 + 1", ok=False)
        return [
            judged("the cell never ended", differs(cell.result.status, "timeout")),
            judged("the session is of no use any more", differs(ended.text, "2")),
        ]


LONG = 384 << 20


async def _long_message(scene: Scene) -> list[Try]:
    assert max(LIMITS.values()) < LONG
    async with scene.kernel() as session:
        with growing() as memory:
            code = """
own, long = own_cell(), bytes(host["long"])
to_iopub(message("stream", long, parent=own))
to_control(message("rlm_call", long))
to_shell(message("execute_reply", long, parent=own))
"""
            await forge(scene, session, code, long=LONG)
            outcome = await works(session)
        return [judged("the host's memory", memory.beyond(HOST_GROWTH)), outcome]


async def _many_parts(scene: Scene) -> list[Try]:
    """The limit on a message's length is one on each of its parts; the host gets a message when it is whole."""
    async with scene.kernel() as session:
        with growing() as memory:
            code = "part = bytes(host['size'])\nto_iopub(message('stream', {}, buffers=(part,) * host['parts']))\n"
            size = LIMITS["iopub"] - 1
            await forge(scene, session, code, size=size, parts=2 * HOST_GROWTH // size)
            outcome = await works(session)
        return [judged("the host's memory", memory.beyond(HOST_GROWTH)), outcome]


async def _million_parts(scene: Scene) -> list[Try]:
    """Each part costs the host more than it costs the kernel: these are written past all that builds messages."""
    async with scene.kernel() as session:
        with growing() as memory:
            code = "kernel.shell_stream._peers[identity[0]]._transport.write(bytes([1, 2, 0, 0]) * 8_000_000)\n"
            await forge(scene, session, code)
            outcome = await works(session)
        return [judged("the host's memory", memory.beyond(HOST_GROWTH // 2)), outcome]


def flood_of(send: str, msg_type: str, channel: str) -> Drive:
    """Send messages as long as they may be, while the host does something else for a moment."""

    async def serve(call: wire.Call) -> wire.Reply:
        asyncio.get_running_loop().call_later(0.02, time.sleep, 1.5)
        return await upper(call)

    async def drive(scene: Scene) -> list[Try]:
        async with scene.kernel(serve, cell_seconds=5.0) as session:
            with growing() as memory:
                code = f"""
long = message("{msg_type}", b'{{"text": "' + bytes(host["size"]) + b'"}}')
llm_query("begin")
for _ in range(host["messages"]): {send}(list(long))
"""
                size = LIMITS[channel] - (1 << 16)
                await forge(scene, session, code, size=size, messages=2 * HOST_GROWTH // size + 2)
                outcome = await works(session)
            return [judged("the host's memory", memory.beyond(HOST_GROWTH)), outcome]

    return drive


async def _flood_of_calls(scene: Scene) -> list[Try]:
    host = Host()
    async with scene.kernel(host.serve) as session:
        with growing() as memory:
            code = """
for number in range(5_000): to_control(message("rlm_call", call("x" * 1000, str(number))))
llm_query("after")
"""
            await forge(scene, session, code)
            outcome = await works(session)
        return [judged("the host's memory", memory.beyond(HOST_GROWTH)), outcome]


async def _calls_that_wait(scene: Scene) -> list[Try]:
    """While a provider is slow, every prompt that waits for it is in the host's memory."""
    host = Host()
    host.open.clear()
    async with scene.kernel(host.serve) as session:
        with growing() as memory:
            code = """
import time
for number in range(700): to_control(message("rlm_call", call("x" * 1_000_000, str(number))))
to_host, before = kernel.control_stream._peers[identity[0]], None
while (left := to_host.unsent) != before:  # until the host takes no more, or has it all
    before = left
    time.sleep(1)
"""
            await forge(scene, session, code)
            host.open.set()
            outcome = await works(session)
        return [judged("the host's memory", memory.beyond(HOST_GROWTH)), outcome]


async def _garbage(scene: Scene) -> list[Try]:
    """Below the protocol: bytes written straight into the host's connections."""
    async with scene.kernel(cell_seconds=1.0) as session:
        code = """
import socket
for descriptor in range(3, 1024):
    try:
        with socket.socket(fileno=os.dup(descriptor)) as sock:
            if sock.getsockname() and not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.setblocking(False)
                for _ in range(20): sock.send(os.urandom(100_000))
    except OSError: pass
"""
        with contextlib.suppress(asyncio.CancelledError):
            await forge(scene, session, code)
        return [await works(session)]


ATTEMPTS: list[Attempt] = [
    attempt(
        "poisoned calls",
        "send calls, cancellations and headers that are no JSON, or the worst JSON",
        "schema check",
        UNHARMED,
        _poisoned_calls,
    ),
    attempt("lone surrogates", "send texts that UTF-8 cannot write", "schema check", UNHARMED, _surrogates),
    attempt(
        "a surrogate in a reply",
        "have a model reply with a text that UTF-8 cannot write",
        "schema check",
        UNHARMED,
        _surrogate_reply,
    ),
    attempt(
        "poisoned outputs",
        "send outputs, replies and comm messages that are the worst JSON",
        "schema check",
        UNHARMED,
        _poisoned_outputs,
    ),
    attempt(
        "poisoned report",
        "replace the report at a cell's end by other shapes",
        "schema check",
        UNHARMED,
        _poisoned_report,
    ),
    attempt("pickles", "send pickles wherever bytes or text can go", "JSON only", UNHARMED, _pickles),
    attempt(
        "another cell's reply",
        "forge the next cell's reply, answer and outputs, and outputs of a cell that has ended",
        "ids of requests",
        UNHARMED,
        _another_cell,
    ),
    attempt("replay", "send a signed call again and again", "signature: each counts once", UNHARMED, _replay),
    attempt(
        "another run's messages",
        "forge calls, replies, cancellations and outputs of another run, with its key in hand",
        "signature, own channels",
        UNHARMED,
        _another_run,
    ),
    attempt(
        "a second host", "attach somebody else as the host, and wait for ever", "cell time", UNHARMED, _second_host
    ),
    attempt(
        "a message that is too long",
        "send one message beyond the limit on each channel",
        "limit on messages",
        UNHARMED,
        _long_message,
    ),
    attempt(
        "a message of many parts",
        "send one message whose parts are each within the limit",
        "limit on messages",
        UNHARMED,
        _many_parts,
    ),
    attempt(
        "a message of a million parts",
        "send one message of 8,000,000 parts of two bytes",
        "limit on messages",
        UNHARMED,
        _million_parts,
    ),
    attempt(
        "flood of outputs",
        "send 800 MB of outputs while the host is busy",
        "limit on messages",
        UNHARMED,
        flood_of("to_iopub", "stream", "iopub"),
    ),
    attempt(
        "flood of replies",
        "send 800 MB of replies while the host is busy",
        "limit on messages",
        UNHARMED,
        flood_of("to_shell", "execute_reply", "shell"),
    ),
    attempt(
        "flood of long calls",
        "send 800 MB of calls while the host is busy",
        "limit on messages",
        UNHARMED,
        flood_of("to_control", "rlm_call", "control"),
    ),
    attempt("flood of calls", "make 5,000 calls at once", "limit on messages", UNHARMED, _flood_of_calls),
    attempt(
        "calls that wait",
        "make 700 MB of prompts wait for a slow provider",
        "limit on messages",
        UNHARMED,
        _calls_that_wait,
    ),
    attempt(
        "garbage", "write random bytes into the host's open connections", "restart of the kernel", UNHARMED, _garbage
    ),
]
