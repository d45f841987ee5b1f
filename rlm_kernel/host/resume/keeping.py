"""Keeps a run's input in its journal, beside the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rlm_kernel import wire
from rlm_kernel.events.types import InputKept, Note
from rlm_kernel.host import loop
from rlm_kernel.host.bus import Bus
from rlm_kernel.host.redaction import Redactor
from rlm_kernel.host.resume.again import PreparedInput
from rlm_kernel.journal import inputs

SMALL_BYTES = 1 << 20
"""What is kept before the first model is asked."""


@asynccontextmanager
async def keeping(
    bus: Bus, run_dir: Path, prepared: Sequence[PreparedInput], redactor: Redactor
) -> AsyncIterator[None]:
    """Copy inputs into the journal while the run goes on; small ones before it does.

    A file of the caller's is not copied, because it may be of any size and is there already. What holds a secret is not
    kept at all.
    """
    task = asyncio.create_task(_keep(bus, run_dir, prepared, redactor))
    if all(one.own or one.size <= SMALL_BYTES for one in prepared):
        await task
    try:
        yield
    finally:
        await loop.to_the_end(_ended(task))


async def _ended(task: asyncio.Task[None]) -> None:
    await task


async def _keep(bus: Bus, run_dir: Path, prepared: Sequence[PreparedInput], redactor: Redactor) -> None:
    for one in prepared:
        try:
            bus.emit(await asyncio.to_thread(_kept, run_dir, one, redactor))
        except OSError as error:
            reason = error.strerror or error
            bus.emit(Note(text=f"The input is not in the journal: {reason}. To resume the run, pass context= again."))


def _kept(run_dir: Path, prepared: PreparedInput, redactor: Redactor) -> InputKept:
    file, load = prepared.file, wire.encode(prepared.load)
    if not prepared.own and redactor.is_in(file):
        raise OSError("it holds a secret")
    if prepared.own:
        status = file.stat()
        return InputKept(load=load, path=str(file), bytes=status.st_size, modified=status.st_mtime_ns)
    return InputKept(load=load, path=inputs.keep(run_dir, file), bytes=prepared.size)
