"""Cells in a real kernel in a real sandbox: state, outputs, the answer, endings."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import zmq.asyncio

from rlm_kernel import wire
from rlm_kernel.errors import ContextError, SandboxError
from rlm_kernel.host.session import Session
from tests.conftest import kernels_of
from tests.kernel.vocabulary import kernel, run


@pytest_asyncio.fixture(params=["bubblewrap", "landlock", "process"])
async def session(request: pytest.FixtureRequest) -> AsyncIterator[Session]:
    async with kernel(sandbox=request.param, cell_seconds=2.0) as started:
        yield started


async def test_a_cell_runs_in_another_process_and_keeps_its_state(session: Session) -> None:
    await run(session, "import os; x = 41")
    cell = await run(session, "print(os.getpid()); x + 1")
    assert [kind for kind, _ in cell.outputs] == ["stdout", "execute_result"]
    assert cell.outputs[1][1]["text/plain"] == "42"
    assert kernels_of(os.getpid()), "the kernel is no process of its own"
    assert cell.report.variables == {"x": "int"}


async def test_output_keeps_its_order(session: Session) -> None:
    cell = await run(session, "for i in range(500): print(2 * i, flush=True); print(2 * i + 1)")
    assert cell.text.split() == [str(i) for i in range(1000)]


async def test_state_survives_an_exception(session: Session) -> None:
    cell = await run(session, "x = 1\nraise ValueError('boom')", ok=False)
    assert cell.result.status == "error"
    assert "ValueError: boom" in cell.text
    assert (await run(session, "x")).text == "1"


async def test_sys_exit_and_exit_end_the_cell_only(session: Session) -> None:
    await run(session, "x = 1")
    for code in ("import sys; sys.exit(3)", "exit()", "quit()", "raise SystemExit"):
        assert (await run(session, code, ok=False)).result.status == "error"
    assert (await run(session, "x")).text == "1"


async def test_input_is_refused_instead_of_waiting_for_ever(session: Session) -> None:
    cell = await run(session, "input('name? ')", ok=False)
    assert "StdinNotImplementedError" in cell.text


@pytest.mark.parametrize(
    ("code", "value", "text"),
    [
        ("answer['content'] = 'x'; answer['ready'] = True", "x", "x"),
        ("answer.update(content=[1, 2], ready=True)", [1, 2], "[1, 2]"),
        ("answer = {'content': {'a': None}, 'ready': True}", {"a": None}, "{'a': None}"),
        ("answer['ready'] = True; answer['content'] = 3.5", 3.5, "3.5"),
    ],
)
async def test_the_answer_is_read_when_the_cell_ends_however_it_was_set(
    session: Session, code: str, value: object, text: str
) -> None:
    report = (await run(session, code)).report
    assert (report.ready, report.is_json, report.value, report.text) == (True, True, value, text)


async def test_an_answer_that_is_set_before_an_exception_counts(session: Session) -> None:
    cell = await run(session, "answer.update(content='kept', ready=True)\n1/0", ok=False)
    assert cell.report.ready
    assert cell.report.text == "kept"


async def test_an_answer_that_is_not_json_is_its_text(session: Session) -> None:
    for expression in ("(1, 2)", "{1}", "object", "float('nan')", "b'x'", "{1: 2}"):
        report = (await run(session, f"answer['content'] = {expression}")).report
        assert not report.is_json
        assert report.text


async def test_objects_of_the_models_own_cannot_break_the_report(session: Session) -> None:
    code = """
class Hostile:
    def __str__(self): raise RuntimeError("no text")
    def __bool__(self): raise RuntimeError("no truth")
    def __eq__(self, other): raise RuntimeError("no equality")
answer = {"content": Hostile(), "ready": Hostile()}
"""
    report = (await run(session, code)).report
    assert not report.ready
    assert report.text == "<Hostile whose str() raised RuntimeError>"


async def test_reserved_names_come_back_and_the_model_is_told(session: Session) -> None:
    (session.inputs / "c").write_text("the input")
    await session.load(wire.Load("context_0", "c", "text"))
    cell = await run(session, "context = llm_query = 1; del SHOW_VARS; answer = 'text'")
    assert set(cell.report.restored) == {"context", "llm_query", "SHOW_VARS", "answer"}
    assert (await run(session, "print(context, context_0, llm_query('a'), answer, SHOW_VARS())")).text == (
        "the input the input A {'content': '', 'ready': False} {}\n"
    )


async def test_text_crosses_byte_for_byte(session: Session) -> None:
    text = "a\r\nb\rc\n\u2028\U0001f600\x00"
    (session.inputs / "c").write_bytes(text.encode())
    loaded = await session.load(wire.Load("context_0", "c", "text"))
    assert (loaded.type, loaded.length) == ("str", len(text))
    assert (await run(session, "print(ascii(context))")).text.strip() == ascii(text)


async def test_an_input_that_is_not_text_is_refused(session: Session) -> None:
    (session.inputs / "c").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContextError, match="byte 0 is not valid utf-8"):
        await session.load(wire.Load("context_0", "c", "text"))


@pytest.mark.parametrize(
    "code",
    [
        "import time\nwhile True: time.sleep(1)",
        "while True: pass",
        "import asyncio\nawait asyncio.sleep(1000)",
        "import concurrent.futures as f, time\nwith f.ThreadPoolExecutor(4) as p: list(p.map(time.sleep, [3] * 4))",
    ],
)
async def test_a_cell_that_runs_too_long_is_interrupted_and_keeps_the_state(session: Session, code: str) -> None:
    await run(session, "kept = 7")
    assert (await run(session, code, ok=False)).result.status == "timeout"
    assert (await run(session, "kept")).text == "7"


async def test_a_cell_that_cannot_be_interrupted_costs_the_kernel_and_the_input_is_loaded_again() -> None:
    async with kernel(cell_seconds=0.5) as session:
        (session.inputs / "c").write_text("again")
        await session.load(wire.Load("context_0", "c", "text"))
        await run(session, "kept = 7")
        cell = await run(session, "sum(range(10**12))", ok=False)  # one call into C: no signal handler runs
        assert (cell.result.status, cell.result.report) == ("timeout", None)
        assert (await run(session, "print(context, 'kept' in globals())")).text == "again False\n"


@pytest.mark.parametrize(
    "code", ["import ctypes; ctypes.string_at(0)", "import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"]
)
async def test_a_kernel_that_dies_in_mid_cell_is_restarted_with_the_input(session: Session, code: str) -> None:
    (session.inputs / "c").write_text("again")
    await session.load(wire.Load("context_0", "c", "text"))
    assert (await run(session, code, ok=False)).result.status == "died"
    assert (await run(session, "context")).text == "'again'"


async def test_a_start_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlm_kernel.host.sandboxes import process

    (tmp_path / "ipykernel.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.setattr(process, "kernel_environment", lambda home: {"PYTHONPATH": str(tmp_path)})
    with pytest.raises(SandboxError, match="did not start in sandbox='process'.*ImportError: broken on purpose"):
        async with kernel(sandbox="process"):
            pytest.fail("it started")


async def test_the_heartbeat_answers_a_client_that_wants_one(session: Session) -> None:
    info = json.loads(session.connection_file.read_text())
    assert "Heartbeat" not in (await run(session, "import threading; [t.name for t in threading.enumerate()]")).text
    context = zmq.asyncio.Context()
    try:
        for ping in (b"one", b"two"):
            client = context.socket(zmq.REQ)
            client.connect(f"ipc://{info['ip']}-{info['hb_port']}")
            await client.send(ping)
            assert await asyncio.wait_for(client.recv(), 10) == ping
    finally:
        context.destroy(linger=0)


async def test_a_second_client_can_attach_without_seeing_the_calls(session: Session) -> None:
    from jupyter_client.asynchronous.client import AsyncKernelClient

    client = AsyncKernelClient(connection_file=str(session.connection_file))
    client.load_connection_file()
    client.start_channels(hb=False)
    try:
        await client.wait_for_ready(timeout=10)
        await run(session, "x = llm_query('mine')")
        reply = await client.execute_interactive("print(x)", timeout=10, output_hook=lambda msg: None)
        assert reply["content"]["status"] == "ok"
    finally:
        client.stop_channels()
