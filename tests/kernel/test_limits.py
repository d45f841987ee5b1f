"""What model-written code does wrong, by accident or on purpose, ends as a clear cell result or a new kernel."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.host import session as sessions
from rlm_kernel.host.sandboxes.box import Box, BoxOptions
from tests.kernel.vocabulary import kernel, run, until

CELL_SECONDS = 1.5
GRACE_SECONDS = 1.0
SLACK_SECONDS = 10.0
"""What a machine that is busy with other things may add."""


@dataclass(frozen=True)
class Case:
    """Code, how its cell has to end, a word of what is said about it, and whether the variables survive."""

    name: str
    code: str
    status: str
    says: str = ""
    survives: bool = True


ENDLESS = "... output beyond 1,000,000 characters was dropped."

CASES = [
    Case("memory at once", "x = bytearray(10 << 30)", "error", "MemoryError"),
    Case("memory by and by", "x = []\nwhile True: x.append(bytearray(20 << 20))", "error", "MemoryError"),
    Case("processes", "import os\nwhile True:\n  if os.fork() == 0: import time; time.sleep(60)",
         "error", "BlockingIOError"),
    Case("memory of many",
         "import os, time\nfor _ in range(9): os.fork() or [b'x' * (3 << 27), time.sleep(9)]\nos.wait()",
         "died", "its processes together used more than 1,024 MiB", survives=False),
    Case("threads", "from threading import *\nwhile True: Thread(target=Event().wait, daemon=True).start()",
         "error", "thread"),
    Case("disk", "with open('f', 'wb') as f:\n  while True: f.write(bytes(1 << 20))", "error", "OSError"),
    Case("disk in many files", "for i in range(10**6): open(str(i), 'wb').write(bytes(1 << 20))",
         "error", "No space left"),
    Case("open files", "x = [open('/dev/null') for _ in range(10**4)]", "error", "Too many open files"),
    Case("endless prints", "while True: print('x' * 1000)", "timeout", ENDLESS),
    Case("endless writes", "import os\nwhile True: os.write(1, b'x' * 1000)", "timeout", ENDLESS),
    Case("endless displays", "while True: display('x' * 10_000)", "timeout", ENDLESS),
    Case("a subprocess that prints", "import subprocess as s, sys\ns.run([sys.executable, '-c', 'while 1: print(9)'])",
         "timeout", ENDLESS),
    Case("a huge print", "print('x' * 10**8)", "ok", ENDLESS),
    Case("a huge repr", "'x' * 10**8", "ok", ENDLESS),
    Case("a huge exception", "raise ValueError('x' * 10**7)", "error", ENDLESS),
    Case("a huge answer", "answer.update(content='x' * 10**8, ready=True)", "ok"),
    Case("recursion", "def f(): return f()\nf()", "error", "RecursionError"),
    Case("sys.exit", "import sys; sys.exit(3)", "error", "SystemExit: 3"),
    Case("its parent", "import os; os.kill(os.getppid(), 9)", "error", "PermissionError"),
    Case("a segfault", "import ctypes; ctypes.string_at(0)", "died", "signal 11 (Segmentation fault)", survives=False),
    Case("os._exit", "import os; os._exit(7)", "died", "status 7", survives=False),
    Case("SIGKILL", "import os; os.kill(os.getpid(), 9)", "died", "signal 9 (Killed)", survives=False),
    Case("SIGSTOP", "import os; os.kill(os.getpid(), 19)", "timeout", "could not be interrupted", survives=False),
    Case("its descriptors", "import os; os.closerange(3, 500)", "died", "its process", survives=False),
    Case("a loop that catches all", "import time\nwhile 1:\n  try: time.sleep(9)\n  except BaseException: pass",
         "timeout", "could not be interrupted", survives=False),
    Case("C code", "sum(range(10**12))", "timeout", "could not be interrupted", survives=False),
    Case("ignored signals", "import signal, time\nsignal.signal(2, signal.SIG_IGN)\ntime.sleep(99)",
         "timeout", "could not", survives=False),
]  # fmt: skip


ALONE = ("bwrap", "bwrap's init", "the warm parent", "the kernel")


def living() -> list[psutil.Process]:
    """Processes of the box."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@pytest.fixture(autouse=True)
def _short_graces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "INTERRUPT_SECONDS", GRACE_SECONDS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_each_ends_in_time_and_the_next_cell_runs(case: Case) -> None:
    options: dict[str, Any] = {"memory_mb": 1024, "disk_mb": 64, "max_processes": 64}
    own_end = case.status != "timeout"
    async with kernel(cell_seconds=20.0 if own_end else CELL_SECONDS, **options) as session:
        (session.inputs / "c").write_text("the input")
        await session.load(wire.Load("context_0", "c", "text"))
        await run(session, "kept = 7")
        before, started = psutil.Process().memory_info().rss, time.monotonic()
        cell = await run(session, case.code, ok=False)
        assert own_end or time.monotonic() - started < CELL_SECONDS + 2 * GRACE_SECONDS + SLACK_SECONDS
        assert cell.result.status == case.status, cell.text[-500:]
        assert case.says in cell.text + str(cell.result.restart)
        assert (await run(session, "print(context, 'kept' in globals())")).text == f"the input {case.survives}\n"
        assert psutil.Process().memory_info().rss - before < 300 << 20, "the host's memory is not flat"


async def test_a_fork_bomb_is_bounded_and_gone_with_its_kernel() -> None:
    async with kernel(cell_seconds=CELL_SECONDS, max_processes=64) as session:
        await run(session, "import os\nwhile True: os.fork()", ok=False)
        assert (await run(session, "1 + 1")).text == "2"
        await until(lambda: len(living()) == len(ALONE))
        await run(session, "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)")


async def test_what_a_kernel_leaves_running_ends_with_it() -> None:
    """Daemons that leave their session too: their parent in the box adopts and kills them."""
    daemon = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(100)
    os._exit(0)
"""
    box = Box(BoxOptions())
    try:
        async with kernel(box=box) as keeper:
            assert len(living()) == len(ALONE)
            async with kernel(box=box) as session:
                await run(session, daemon)
                await until(lambda: len(living()) > len(ALONE) + 1)
            await until(lambda: len(living()) == len(ALONE))
            assert (await run(keeper, "1 + 1")).text == "2"
    finally:
        await box.close()


async def test_a_context_larger_than_the_memory_allowed_is_an_error_in_one_line() -> None:
    async with kernel(memory_mb=512) as session:
        with (session.inputs / "c").open("wb") as file:
            file.truncate(1 << 30)
        with pytest.raises(ContextError, match="Memory|memory"):
            await session.load(wire.Load("context_0", "c", "text"))
        assert (await run(session, "1 + 1")).text == "2"


async def test_the_warm_parent_may_die_too() -> None:
    """Then all its kernels have died, and the next start makes a new parent."""
    box = Box(BoxOptions())
    try:
        async with kernel(box=box) as session:
            await run(session, "kept = 7")
            box._parents[0].process.kill()
            cell = await run(session, "import time; time.sleep(10)", ok=False)
            assert cell.result.status == "died"
            assert (await run(session, "'kept' in globals()")).text == "False"
    finally:
        await box.close()


async def test_200_kernels_leave_nothing_behind() -> None:
    process = psutil.Process()
    box = Box(BoxOptions())
    try:
        for number in range(200):
            async with kernel(box=box) as session:
                await run(session, "x = 1")
            if number == 20:
                memory, files, threads = process.memory_info().rss, process.num_fds(), process.num_threads()
        assert process.num_fds() <= files
        assert process.num_threads() <= threads
        assert process.memory_info().rss - memory < 30 << 20
        assert box._parents[0].kernels == 0
        await until(lambda: len(living()) == len(ALONE) - 1)  # the last one may still be on its way out
        path = box.path
    finally:
        await box.close()
    assert not path.exists()
    assert process.children() == []
