"""What a person does in a conversation's REPL between two questions, for the next one's model and journal."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import KernelDied, RLMError
from rlm_kernel.host.live import seen
from rlm_kernel.look import Look, Seen
from rlm_kernel.sinks.text import count, plain

if TYPE_CHECKING:
    from rlm_kernel.host.repl import Repl

OUTPUT_CHARACTERS = 1_000_000
NOTED_CHARACTERS = 5_000
"""Of a cell and of its output in the journal."""
NOTED_CELLS = 100
"""Of other clients, in a completion and before it: what a kernel tells of them may be invented."""
MARKS_SECONDS = 2.0
CHANGED = 100


class Output(str):
    """Text that a notebook shows as it is.

    Attributes
    ----------
    status
        How its cell ended: ``ok``, ``error``, ``timeout``, ``died``.
    """

    status: str = "ok"

    def __repr__(self) -> str:
        return str(self)


class Hand:
    """A person's hand in a REPL."""

    def __init__(self, repl: Repl) -> None:
        self._repl = repl
        self._notes: list[str] = []
        self._cells = 0
        self._left: Mapping[str, str] | None = {}

    async def execute(self, code: str) -> Output:
        """Run a cell."""
        shown: list[str] = []

        def on_output(kind: str, data: dict[str, Any]) -> None:
            if sum(map(len, shown)) < OUTPUT_CHARACTERS:
                shown.append(str(data.get("text/plain", "")))

        try:
            result = await self._repl.session.execute(code, on_output)
        except asyncio.CancelledError:  # by the person, while it ran
            self._interrupt()
            self._done(code, "It was stopped.")
            raise
        if result.restart is not None:
            shown.append(f"\nThe kernel was restarted: {result.restart}. Variables are lost, inputs loaded again.")
        self._repl.variables = {} if result.report is None else result.report.variables
        output = Output(plain("".join(shown))[:OUTPUT_CHARACTERS])
        output.status = result.status
        self._done(code, output)
        return output

    async def lets_go(self, *, stopped: bool = False) -> None:
        """Remember how the variables are when a completion has ended, and note what other clients run.

        One that was ``stopped`` may have left its cell running: it is interrupted.
        """
        if stopped:
            self._interrupt()
        self._repl.session.on_other_cell = others(self._notes.append)
        found = await self._seen()
        self._left = None if found is None else found.marks

    async def gives_back(self) -> tuple[list[str], str]:
        """Return what the journal should hold of what was done meanwhile, and what the model should hear of it."""
        notes, self._notes = self._notes, []
        cells, self._cells = self._cells, 0
        found = await self._seen()
        heard = [f"The user has run {count(cells, 'cell')} in this REPL since your last one."] if cells else []
        if found is not None and self._left is not None:
            changed = {name: found.names.get(name, "") for name in found.marks if _differs(found, self._left, name)}
            gone = [name for name in self._left if name not in found.names]
            heard += _said(changed, gone, bool(cells))
        return notes, " ".join(heard)

    def _interrupt(self) -> None:
        with contextlib.suppress(KernelDied):
            self._repl.session.interrupt()

    def _done(self, code: str, output: str) -> None:
        self._cells += 1
        self._notes.append(f"Run by hand: {code[:NOTED_CHARACTERS]}\n{output[:NOTED_CHARACTERS]}".rstrip())

    async def _seen(self) -> Seen | None:
        try:
            return seen.checked(await self._repl.session.look(Look("names"), MARKS_SECONDS))
        except (RLMError, TimeoutError):  # the kernel's fault: what it does not tell, nobody hears
            return None


def others(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return what hears of the cells of other clients, as the kernel tells of them, and passes the first few on."""
    left = itertools.count(NOTED_CELLS, -1)

    def on_cell(code: str) -> None:
        if next(left) > 0:
            tell(f"Run by another client of this kernel: {code[:NOTED_CHARACTERS]}")

    return on_cell


def _differs(found: Seen, left: Mapping[str, str], name: str) -> bool:
    return found.marks[name] != left.get(name)


def _said(changed: Mapping[str, str], gone: list[str], by_hand: bool) -> list[str]:
    some = ", ".join(f"{name} ({kind})" for name, kind in islice(seen.names(changed).items(), CHANGED))
    lost = ", ".join(seen.names(dict.fromkeys(gone[:CHANGED], "")))
    whose = "" if by_hand else "since your last cell, by the user's hand or by what your cells had left running"
    return [f"{what} {whose}".rstrip() + f": {which}." for what, which in (("Changed", some), ("Gone", lost)) if which]
