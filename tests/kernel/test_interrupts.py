"""The interrupt ladder: ask the kernel, signal it from outside, kill it. Each step, with real code that needs it."""

from __future__ import annotations

import asyncio
import time

import pytest

from rlm_kernel import wire
from rlm_kernel.host import session as sessions
from tests.kernel.vocabulary import kernel, run

CELL_SECONDS = 0.5
GRACE_SECONDS = 1.0
SLACK_SECONDS = 5.0


async def never(call: wire.Call) -> wire.Reply:
    """A host whose model does not answer."""
    await asyncio.Event().wait()
    raise AssertionError


ASKED = {
    "a busy loop": "while True: pass",
    "a sleep": "import time; time.sleep(99)",
    "a lock": "import threading; threading.Event().wait()",
    "an await": "import asyncio; await asyncio.sleep(99)",
    "a gather": "import asyncio; await asyncio.gather(*(asyncio.sleep(99) for _ in range(50)))",
    "a subprocess": "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(99)'])",
    "C code that checks": "import re; re.match('(a*)*b', 'a' * 40)",
    "a pipe": "import os; os.read(os.pipe()[0], 1)",
}
SIGNALLED = {
    "code that catches the first": "import time\ntry: time.sleep(99)\nexcept BaseException: time.sleep(99)",
    "code that catches two": (
        "import time\nfor _ in range(2):\n  try: time.sleep(99)\n  except BaseException: pass\ntime.sleep(99)"
    ),
    "a kernel whose control thread hangs": (
        "import time; from tornado.ioloop import IOLoop\n"
        "get_ipython().kernel.control_thread.io_loop.add_callback(time.sleep, 99)\ntime.sleep(99)"
    ),
}
KILLED = {
    "C code that does not": "sum(range(10**12))",
    "code that catches all": "import time\nwhile True:\n  try: time.sleep(99)\n  except BaseException: pass",
    "a kernel that is stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
}


@pytest.fixture(autouse=True)
def _short_graces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "INTERRUPT_SECONDS", GRACE_SECONDS)


LADDER = [ASKED, SIGNALLED, KILLED]


@pytest.mark.parametrize(
    ("sandbox", "code", "steps"),
    [
        *(
            pytest.param("bubblewrap", code, steps, id=name)
            for steps, cases in enumerate(LADDER, 1)
            for name, code in cases.items()
        ),
        *(
            pytest.param("landlock", next(iter(cases.values())), steps, id=f"landlock {steps}")
            for steps, cases in enumerate(LADDER, 1)
        ),
    ],
)
async def test_each_step_ends_what_the_one_before_could_not(sandbox: str, code: str, steps: int) -> None:
    async with kernel(sandbox=sandbox, cell_seconds=CELL_SECONDS) as session:
        await run(session, "kept = 7")
        started = time.monotonic()
        result = (await run(session, code, ok=False)).result
        seconds = time.monotonic() - started
        assert result.status == "timeout"
        assert (result.restart is not None) == (steps == 3)
        assert CELL_SECONDS + (steps - 1) * GRACE_SECONDS <= seconds + 0.2
        assert seconds < CELL_SECONDS + min(steps, 2) * GRACE_SECONDS + SLACK_SECONDS
        assert (await run(session, "'kept' in globals()")).text == str(steps < 3)


@pytest.mark.parametrize(
    "code",
    [
        "llm_query('a')",
        "llm_query_batched(['a'] * 100)",
        "await allm_query('a')",
        "import concurrent.futures as f\nwith f.ThreadPoolExecutor(8) as pool: list(pool.map(llm_query, 'a' * 100))",
    ],
)
async def test_waiting_calls_end_at_once_when_somebody_interrupts(code: str) -> None:
    async with kernel(never, cell_seconds=CELL_SECONDS) as session:
        cell = asyncio.create_task(run(session, code, ok=False))
        await asyncio.sleep(3 * CELL_SECONDS)
        assert not cell.done(), "waiting for sub-calls is not the cell's own time"
        session._channels.send("control", "interrupt_request", {})
        started = time.monotonic()
        assert (await cell).result.status == "interrupted"
        assert time.monotonic() - started < SLACK_SECONDS


async def test_own_time_counts_between_calls() -> None:
    """A cell that computes for its whole time and then waits is still bounded by what it computed."""

    async def slow(call: wire.Call) -> wire.Reply:
        await asyncio.sleep(0.3)
        return wire.Reply(call.id, [wire.CallResult(text="x")])

    code = "import time\nfor _ in range(100):\n  llm_query('a')\n  time.sleep(0.2)"
    async with kernel(slow, cell_seconds=1.0) as session:
        started = time.monotonic()
        assert (await run(session, code, ok=False)).result.status == "timeout"
        assert 2.0 < time.monotonic() - started < 2.5 + SLACK_SECONDS
