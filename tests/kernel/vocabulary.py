"""Small words for tests that talk to a real kernel in a real sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.host.cell import CellResult
from rlm_kernel.host.sandboxes.box import Box, BoxOptions
from rlm_kernel.host.session import Session

Serve = Callable[[wire.Call], Awaitable[wire.Reply]]


async def upper(call: wire.Call) -> wire.Reply:
    """A host whose model shouts."""
    return wire.Reply(call.id, [wire.CallResult(text=prompt.upper()) for prompt in call.prompts])


@dataclass
class Cell:
    """What a cell did: its result and its outputs as (kind, MIME bundle)."""

    result: CellResult
    outputs: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All outputs as plain text."""
        return "".join(str(data.get("text/plain", "")) for _, data in self.outputs)

    @property
    def report(self) -> wire.CellReport:
        assert self.result.report is not None, f"no report: {self.result}, {self.text}"
        return self.result.report


@asynccontextmanager
async def kernel(
    serve: Serve = upper,
    *,
    sandbox: str = "bubblewrap",
    cell_seconds: float = 20.0,
    files: tuple[Path, ...] = (),
    box: Box | None = None,
    **options: Any,
) -> AsyncIterator[Session]:
    """A started session, closed at the end; in a box of its own, made with ``options``, where none is given."""
    own = box or Box(BoxOptions(sandbox=sandbox, **options))
    session = Session(own, cell_seconds, serve, files)
    try:
        await session.start()
        yield session
    finally:
        await session.close()
        if box is None:
            await own.close()


async def run(session: Session, code: str, *, ok: bool = True) -> Cell:
    """Run a cell; by default it must succeed."""
    outputs: list[tuple[str, dict[str, Any]]] = []
    result = await session.execute(code, lambda kind, data: outputs.append((kind, data)))
    cell = Cell(result, outputs)
    assert not ok or result.status == "ok", f"{result.status}: {cell.text}"
    return cell


async def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that another task does."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
