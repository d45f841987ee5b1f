"""What a sandbox has to do and to prevent, as named checks: for whoever writes one, and for ``rlm doctor --sandbox``.

    for outcome in asyncio.run(conform("bubblewrap")):
        print(outcome)

Each check runs cells in one kernel of the sandbox and looks at what comes back. The first group is the contract that
every sandbox keeps; the second is isolation, which ``process`` does not promise. The attempts to break out that
stand behind `docs/security.md` are many more (``tests/escapes``).
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import RLMError
from rlm_kernel.host.sandboxes.box import Box, BoxOptions
from rlm_kernel.host.session import Session

PLANTED = "RLM_CONFORMANCE_SECRET"


class Broken(RLMError):
    """A check does not hold; the text says what was seen."""


class Kernel:
    """A session with the words that the checks use."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def run(self, code: str, status: str = "ok") -> str:
        """Run a cell that has to end in a certain way; return its output as text."""
        parts: list[str] = []
        result = await self.session.execute(code, lambda kind, data: parts.append(str(data.get("text/plain", ""))))
        text = "".join(parts)
        expect(result.status == status, f"a cell ended with {result.status} instead of {status}: {text[-300:]}")
        return text

    async def says(self, code: str, text: str) -> None:
        """Run a cell whose output has to be a certain text."""
        said = (await self.run(code)).strip()
        expect(said == text, f"expected {text!r}, got {said[-300:]!r}")

    async def refused(self, code: str) -> None:
        """Run a statement that has to raise OSError."""
        await self.says(f"try: {code}\nexcept OSError: print('refused')\nelse: print('allowed')", "refused")


def expect(condition: bool, text: str) -> None:
    """Raise `Broken` with a text unless the condition holds."""
    if not condition:
        raise Broken(text)


Attempt = Callable[[Kernel], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """A promise, and the attempt that shows whether it is kept."""

    name: str
    about: str
    isolation: bool
    cell_seconds: float
    attempt: Attempt


CHECKS: list[Check] = []


@dataclass(frozen=True)
class Outcome:
    """How a check went: ``error`` is ``None`` where it holds."""

    check: Check
    error: str | None
    seconds: float

    def __str__(self) -> str:
        mark = "ok  " if self.error is None else "FAIL"
        return f"{mark} {self.check.name:<14} {self.check.about if self.error is None else self.error}"


def check(*, isolation: bool = False, cell_seconds: float = 30.0) -> Callable[[Attempt], Attempt]:
    """Add a function to the checks: its name is theirs, its docstring the promise."""

    def add(attempt: Attempt) -> Attempt:
        name, about = attempt.__name__.replace("_", " "), (attempt.__doc__ or "").rstrip(".")
        CHECKS.append(Check(name, about, isolation, cell_seconds, attempt))
        return attempt

    return add


async def conform(sandbox: str, isolation: bool = True) -> list[Outcome]:
    """Run every check against a sandbox; without ``isolation`` only the contract's.

    Raises
    ------
    SandboxError
        No kernel could be started, so that there is nothing to check.
    """
    outcomes = []
    box = Box(BoxOptions(sandbox=sandbox, memory_mb=1024, disk_mb=64))
    os.environ[PLANTED] = "planted"
    try:
        for check in CHECKS:
            if check.isolation and not isolation:
                continue
            session = Session(box, check.cell_seconds, _shout)
            started = time.monotonic()
            error = None
            try:
                await session.start()
                await check.attempt(Kernel(session))
            except Broken as broken:
                error = str(broken)
            finally:
                await session.close()
            outcomes.append(Outcome(check, error, time.monotonic() - started))
    finally:
        del os.environ[PLANTED]
        await box.close()
    return outcomes


async def _shout(call: wire.Call | wire.ToolCall) -> wire.Reply:
    assert isinstance(call, wire.Call)
    return wire.Reply(call.id, [wire.CallResult(text=prompt.upper()) for prompt in call.prompts])


@check()
async def cells(kernel: Kernel) -> None:
    """A cell runs, its output comes back, and its variables stay."""
    await kernel.says("x = 41\nprint('printed')\nx + 1", "printed\n42")
    await kernel.run("raise ValueError", status="error")
    await kernel.says("x", "41")


@check()
async def sub_calls(kernel: Kernel) -> None:
    """Sub-calls from cells, threads and asyncio are answered in order."""
    await kernel.says("print(llm_query('a'), *llm_query_batched(['b', 'c']), await allm_query('d'))", "A B C D")
    pool = "from concurrent.futures import ThreadPoolExecutor as Pool\n"
    await kernel.says(f"{pool}with Pool(16) as pool: print(''.join(pool.map(llm_query, 'xyz' * 100)))", "XYZ" * 100)


@check()
async def big_sub_calls(kernel: Kernel) -> None:
    """A prompt of half a million characters crosses, and a batch of ten thousand."""
    await kernel.says("print(len(llm_query('x' * 500_000)))", "500000")
    await kernel.says("print(len(llm_query_batched(['x'] * 10_000)))", "10000")


@check()
async def inputs(kernel: Kernel) -> None:
    """An input arrives byte for byte."""
    text = "a\r\nb\rc\n\u2028\U0001f600\x00"
    (kernel.session.inputs / "text").write_bytes(text.encode())
    await kernel.session.load(wire.Load("context_0", "text", "text"))
    await kernel.says("print(ascii(context))", ascii(text))


@check()
async def answers(kernel: Kernel) -> None:
    """The answer is read when the cell ends."""
    result = await kernel.session.execute("answer.update(content=[1, None], ready=True)", lambda kind, data: None)
    expect(result.report is not None and result.report.ready, "the answer was not seen")
    expect(result.report is not None and result.report.value == [1, None], f"the answer was {result.report}")


@check(cell_seconds=2.0)
async def interrupts(kernel: Kernel) -> None:
    """An endless cell is interrupted and the variables stay."""
    await kernel.run("x = 1")
    for code in ("while True: pass", "import time; time.sleep(99)", "import asyncio; await asyncio.sleep(99)"):
        await kernel.run(code, status="timeout")
    await kernel.says("x", "1")


@check()
async def deaths(kernel: Kernel) -> None:
    """A kernel that dies is noticed, and a new one has the input."""
    (kernel.session.inputs / "text").write_text("again")
    await kernel.session.load(wire.Load("context_0", "text", "text"))
    await kernel.run("import os; os._exit(1)", status="died")
    await kernel.says("print(context)", "again")


@check(cell_seconds=2.0)
async def floods(kernel: Kernel) -> None:
    """Endless output is cut, not stored."""
    text = await kernel.run("while True: print('x' * 1000)", status="timeout")
    expect(len(text) < 3_000_000, f"{len(text):,} characters came through")


@check(isolation=True)
async def environment(kernel: Kernel) -> None:
    """The host's environment is not the kernel's."""
    await kernel.says(f"import os; print({PLANTED!r} in os.environ)", "False")


@check(isolation=True)
async def files(kernel: Kernel) -> None:
    """The host's files cannot be read or written."""
    with tempfile.NamedTemporaryFile("w", prefix="rlm-conformance-") as secret:
        secret.write("secret")
        secret.flush()
        os.chmod(secret.name, 0o666)  # noqa: PTH101, S103 - open to everybody, but in the box
        for mode in ("r", "a"):
            await kernel.refused(f"open({secret.name!r}, {mode!r})")
    for path in ("/etc/shadow", str(Path.home() / ".ssh"), "/root", "/home"):
        await kernel.refused(f"import os; os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r})")


@check(isolation=True)
async def network(kernel: Kernel) -> None:
    """No socket of the host's or the network's can be reached."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for address in (listener.getsockname(), ("192.0.2.1", 80)):
            await kernel.refused(f"import socket; socket.create_connection({address!r}, timeout=1)")


@check(isolation=True)
async def processes(kernel: Kernel) -> None:
    """No other process can be signalled."""
    await kernel.refused(f"import os; os.kill({os.getpid()}, 0)")
    await kernel.refused("import os; os.kill(os.getppid(), 0)")


@check(isolation=True)
async def resources(kernel: Kernel) -> None:
    """Memory, processes and disk are bounded, and the kernel lives on."""
    bombs: dict[str, Any] = {
        "bytearray(8 << 30)": "MemoryError",
        "import os\nfor _ in range(600):\n  if os.fork() == 0: import time; time.sleep(30)": "BlockingIOError",
        "open('f', 'wb').write(bytes(100 << 20))": "OSError",
    }
    for code, error in bombs.items():
        text = await kernel.run(code, status="error")
        expect(error in text, f"expected {error}, got {text[-200:]!r}")
    await kernel.says("1 + 1", "2")
