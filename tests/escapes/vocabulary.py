"""What an attempt is, how it is made, and how one sees that it failed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.host.sandboxes.base import kernel_environment
from rlm_kernel.host.sandboxes.box import Box, BoxOptions
from rlm_kernel.host.session import Session
from tests.escapes import attacker
from tests.escapes.canaries import Canaries
from tests.kernel.vocabulary import Cell, Serve, kernel, run, upper

UNHARMED = "unharmed"
"""The sign of a try that the host has judged."""

SET_BY_IPYTHON = ("CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "GIT_PAGER", "PAGER", "TERM", "PWD")

WORDS = Path(attacker.__file__).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Try:
    """One thing that an attempt tried: what it got, or the name of the error that stopped it."""

    label: str
    got: str | None = None
    error: str | None = None
    detail: str = ""


@dataclass
class Outcome:
    """How an attempt ended."""

    tries: list[Try] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    """Canaries that were reached."""


Drive = Callable[["Scene"], Awaitable[list[Try]]]
"""Makes an attempt and judges it from the host."""


@dataclass(frozen=True)
class Attempt:
    """A way out of the box that somebody might try.

    Attributes
    ----------
    name
        A few words.
    tries
        What it tries, in one line.
    stopped_by
        The protection that stops it.
    signs
        The errors by which one recognises that protection: each try has to end in one of them.
    code
        The cell. It says how each try ended with `attacker.tried`.
    drive
        In place of ``code``: makes an attempt that needs more than one cell, and judges it from the host.
    alone
        It may end its kernel or exhaust its box, and gets a box of its own.
    """

    name: str
    tries: str
    stopped_by: str
    signs: frozenset[str]
    code: str = ""
    drive: Drive | None = None
    alone: bool = False


def attempt(
    name: str,
    tries: str,
    stopped_by: str,
    signs: str,
    how: str | Drive,
    *,
    alone: bool = False,
) -> Attempt:
    """Build an attempt; ``signs`` are separated by spaces."""
    code, drive = (how, None) if isinstance(how, str) else ("", how)
    return Attempt(name, tries, stopped_by, frozenset(signs.split()), code, drive, alone)


def escaped(outcome: Outcome) -> str | None:
    """Return the evidence that an attempt got out; ``None`` when there is none."""
    got = [f"{t.label}: {t.got[:500]}" for t in outcome.tries if t.got is not None]
    return "; ".join([*got, *outcome.touched]) or None


def otherwise(attempt: Attempt, outcome: Outcome) -> dict[str, str]:
    """Return the tries that something else than the named protection stopped, and what."""
    expected = {*attempt.signs, UNHARMED, None}
    return {t.label: str(t.error) for t in outcome.tries if t.error not in expected}


@dataclass
class Scene:
    """Where attempts are made: a box, a second run beside it, and the canaries."""

    sandbox: str
    canaries: Canaries
    shared: Session
    """For attempts that do no harm to the ones after them."""
    other: Session
    """Another run's kernel, in a box of its own."""

    async def make(self, attempt: Attempt, *, afresh: bool = False) -> Outcome:
        """Make an attempt and look at the canaries. ``afresh``: in a box that is made now, whatever it may do."""
        outcome = Outcome()
        with _errors_of_the_host() as errors:
            if attempt.drive is not None:
                outcome.tries = await attempt.drive(self)
            elif attempt.alone or afresh:
                async with self.kernel() as session:
                    outcome.tries = await self.attack(session, attempt.code)
            else:
                outcome.tries = await self.attack(self.shared, attempt.code)
        said = "".join(f"{t.got} {t.detail}" for t in outcome.tries)
        outcome.touched = [*self.canaries.touched(said), *(f"the host stumbled: {error}" for error in errors)]
        if (await run(self.other, "1 + 1", ok=False)).text != "2":
            outcome.touched.append("another run's kernel was harmed")
        return outcome

    async def attack(self, session: Session, code: str, **told: Any) -> list[Try]:
        """Run an attempt's cell in a kernel and return its tries."""
        return tries_of(await self.cell(session, code, **told))

    async def cell(self, session: Session, code: str, **told: Any) -> Cell:
        """Run a cell that knows `attacker`'s words and where the canaries are."""
        await run(session, WORDS)
        await run(session, f"host.update(json.loads({json.dumps(self.described(session) | told)!r}))")
        return await run(session, code, ok=False)

    @asynccontextmanager
    async def kernel(self, serve: Serve = upper, cell_seconds: float = 30.0, **options: Any) -> AsyncIterator[Session]:
        """Start a kernel in a box of its own, with an input and canaries in it."""
        async with kernel(serve, sandbox=self.sandbox, cell_seconds=cell_seconds, **options) as session:
            await give_input(session)
            self.canaries.plant_in(session.inputs)
            yield session

    @asynccontextmanager
    async def siblings(self, serve: Serve = upper) -> AsyncIterator[tuple[Session, Session]]:
        """Start two kernels in one box."""
        box = Box(BoxOptions(sandbox=self.sandbox))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(box.close)
            sessions = [await stack.enter_async_context(kernel(serve, box=box)) for _ in range(2)]
            for session in sessions:
                await give_input(session)
            yield sessions[0], sessions[1]

    def described(self, session: Session) -> dict[str, Any]:
        """Return what an attacker is told."""
        inputs = session._provisioner.inputs_in_box()
        other = self.other.connection_file.parent
        return {
            **self.canaries.described(),
            "environment": sorted({*kernel_environment("/"), *SET_BY_IPYTHON}),
            "sandbox": self.sandbox,
            "inputs": inputs,
            "input": f"{inputs}/input.txt",
            "other_folder": str(other),
            "other_sockets": [str(path) for path in other.glob("k-*")],
            "own_folder": str(session.connection_file.parent),
        }


@asynccontextmanager
async def staged(sandbox: str) -> AsyncIterator[Scene]:
    """Start the two runs and plant the canaries."""
    box = Box(BoxOptions(sandbox=sandbox))
    canaries = Canaries(box.user)
    try:
        async with kernel(box=box, cell_seconds=30.0) as shared, kernel(sandbox=sandbox) as other:
            await give_input(shared)
            canaries.plant_in(shared.inputs)
            yield Scene(sandbox, canaries, shared, other)
    finally:
        await box.close()
        canaries.remove()


async def give_input(session: Session) -> None:
    """Load a text as ``context``."""
    file = session.inputs / "input.txt"
    file.write_text("the input")
    file.chmod(0o666)  # only the box keeps it as it is
    session.inputs.chmod(0o777)
    await session.load(wire.Load("context_0", "input.txt", "text"))


def tries_of(cell: Cell) -> list[Try]:
    """Return the tries of a cell. One that ends in an error of its own is a fault of the attempt."""
    assert cell.result.status in ("ok", "died"), f"the attempt itself is broken: {cell.text[-2000:]}"
    return tries_in(cell.text)


def tries_in(text: str) -> list[Try]:
    """Read what `attacker.tried` printed."""
    lines = text.splitlines()
    return [Try(**json.loads(line.removeprefix(attacker.MARK))) for line in lines if line.startswith(attacker.MARK)]


def judged(label: str, evidence: object) -> Try:
    """Return a try that the host has judged: it came to nothing when ``evidence`` is false."""
    return Try(label, got=str(evidence)) if evidence else Try(label, error=UNHARMED)


def differs(seen: object, wanted: object) -> str | None:
    """Return what was seen where it is not what was wanted: evidence for `judged`."""
    return None if seen == wanted else f"{seen!r} instead of {wanted!r}"


@contextmanager
def _errors_of_the_host() -> Iterator[list[str]]:
    """Collect what went wrong on the host without anybody noticing: logged errors, tasks that raised."""
    errors: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            errors.append(self.format(record)[-300:])

    collector, loop = Collector(logging.ERROR), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(f"{context['message']}: {context.get('exception')!r}"))
    logging.getLogger().addHandler(collector)
    try:
        yield errors
    finally:
        logging.getLogger().removeHandler(collector)
        loop.set_exception_handler(None)
