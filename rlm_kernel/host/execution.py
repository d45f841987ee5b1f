"""A node's cells, one at a time: approved, run, told to the stream, and compared with the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rlm_kernel.events import types as events
from rlm_kernel.host.prompts import CellRecord
from rlm_kernel.host.verify import ProposedCell, Verdict

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node

CELL_OUTPUT_CHARACTERS = 1_000_000
"""What the host keeps of one cell's output; the rest is dropped and said to be."""


class Execution:
    """Runs the cells of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def run(self, code: str) -> CellRecord:
        """Run one cell and tell the stream."""
        node, bus, cell = self._node, self._node.shared.bus, next(self._node.repl.cells)
        node.recorded.begin(cell)
        verdict, output = await self._approved(cell, code), _Output(node, cell)
        if verdict.kind == "rewrite":
            code = verdict.text
        bus.emit(events.CellStarted(node=node.id, iteration=node.ledger.iterations, cell=cell, code=code))
        record = output.record
        if verdict.kind == "rewrite":
            output.take("stderr", {"text/plain": f"This cell was changed before it ran. What runs is:\n{code}\n"})
        if verdict.kind == "refuse":
            output.take("stderr", {"text/plain": f"This cell was not run: {verdict.reason}\n"})
            record.status, seconds = "skipped", 0.0
        else:
            node.running_cell = cell
            try:
                result = await node.repl.session.execute(code, output.take)
            finally:
                node.running_cell = None
            record.status, record.report, record.restart = result.status, result.report, result.restart
            seconds = result.seconds
        bus.emit(events.CellFinished(node=node.id, cell=cell, status=record.status, seconds=seconds))
        self._say_what_differs(cell, code, record)
        if record.restart is not None:
            bus.emit(events.Note(node=node.id, text=f"The kernel was restarted: {record.restart}."))
        return record

    async def _approved(self, cell: int, code: str) -> Verdict:
        """Return what whoever approves cells says of one; what the journal has is not asked again."""
        node, said = self._node, self._node.recorded.check(cell, code)
        if said is not None:
            verdict = Verdict(said.verdict, node.recorded.cells[cell].code, said.reason)
        elif approval := node.shared.verifiers.approval:
            question, depth = node.task.question, node.ledger.depth
            verdict = await approval.of(ProposedCell(node.id, cell, code, question, depth))
        else:
            return Verdict.allow()
        kind: Any = verdict.kind
        checked = events.CellChecked(node=node.id, cell=cell, verdict=kind, code=code, reason=verdict.reason)
        node.shared.bus.emit(checked)
        return verdict

    def _say_what_differs(self, cell: int, code: str, record: CellRecord) -> None:
        node = self._node
        difference = node.recorded.difference(cell, code, record)
        if difference is not None and difference.diverges:
            node.diverge(difference.text, cell)
        elif difference is not None:
            node.recorded.differences.append(difference.text)
            node.shared.bus.emit(events.Note(node=node.id, text=difference.text))


class _Output:
    """What a cell prints, as far as the host keeps it."""

    def __init__(self, node: Node, cell: int) -> None:
        self.record = CellRecord()
        self._node = node
        self._cell = cell
        self._room = CELL_OUTPUT_CHARACTERS

    def take(self, kind: str, data: dict[str, Any]) -> None:
        """Keep an output and tell the stream."""
        if self._room <= 0:
            return
        size = sum(len(str(value)) for value in data.values())
        self._room -= size
        if self._room <= 0:
            kind, data = "stderr", {"text/plain": _cut(data, self._room + size)}
        self.record.add(kind, data)
        output = events.CellOutput(node=self._node.id, cell=self._cell, kind=kind, data=data)  # type: ignore[arg-type]
        self._node.shared.bus.emit(output)


def _cut(data: dict[str, Any], room: int) -> str:
    text = str(data.get("text/plain", ""))
    return f"{text[: max(room, 0)]}\n... output beyond {CELL_OUTPUT_CHARACTERS:,} characters was dropped.\n"
