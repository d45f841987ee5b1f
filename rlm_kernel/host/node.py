"""One RLM node: its REPL, its root model, its place in the tree. The engine drives it, the stream hears of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached
from rlm_kernel.events import types as events
from rlm_kernel.events.types import StopReason
from rlm_kernel.host import inputs, loop, parse
from rlm_kernel.host.answers.acceptance import Acceptance
from rlm_kernel.host.answers.answer import Answer
from rlm_kernel.host.broker import Broker
from rlm_kernel.host.dialogue import Dialogue
from rlm_kernel.host.execution import Execution
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.live.hand import others
from rlm_kernel.host.parse import Cells
from rlm_kernel.host.prompts import CellRecord, Scene, ToolDoc, Turn
from rlm_kernel.host.providers import Model
from rlm_kernel.host.repl import Repl
from rlm_kernel.host.resume.recorded import Recorded
from rlm_kernel.host.shared import Shared, Task


class Node:
    """A task and a REPL to solve it in. Use as an async context manager: a kernel of its own lives inside.

    Parameters
    ----------
    shared
        What all nodes of the run have in common.
    ledger
        The node's view of the account.
    task
        What it has to do.
    node_id
        ``"0"`` for the root, the call's id for a child.
    repl
        A conversation's, which outlives the node.
    model
        The root model; by default the one of the node's depth.
    recorded
        What the journal holds of it, where the run goes on from one.
    seed
        What `random` in its REPL begins with.
    """

    def __init__(
        self,
        shared: Shared,
        ledger: Ledger,
        task: Task,
        node_id: str = "0",
        *,
        repl: Repl | None = None,
        model: Model | None = None,
        recorded: Recorded | None = None,
        seed: str = "",
    ) -> None:
        self.shared = shared
        self.ledger = ledger
        self.task = task
        self.id = node_id
        self.running_cell: int | None = None
        self.best = Answer()
        self.dialogue: Dialogue | None = None
        self.recorded = recorded or Recorded()
        self._model = model or shared.models.at(ledger.depth)
        self._own_repl, self._seed = repl is None, seed
        self._started = time.monotonic()
        self._ids = itertools.count(1)
        self._acceptance = Acceptance(task.answer_type, shared.options.finals, self.execute)
        self._errors = self._repeats = 0
        """Turns in a row that failed, and that were the same."""
        self._last_turn: Any = None
        self._restarts = 0
        self.broker, self.execution = Broker(self), Execution(self)
        file = inputs.single_file(task.context)
        tools = shared.sub_tools if ledger.depth else shared.tools
        self.tools = tools
        self.repl = repl or Repl(shared.options, shared.box, tools, () if file is None else (file,))

    def child(self, task: Task, node_id: str, model: Model, recorded: Recorded | None, key: str) -> Node:
        """Return a node one level down, with everything inherited but the model; ``key`` tells it from its siblings."""
        seed = f"{self._seed} {key}"
        return Node(self.shared, self.ledger.child(), task, node_id, model=model, recorded=recorded, seed=seed)

    async def remember(self) -> None:
        """Put the messages into the REPL, for the conversation's next completion."""
        assert self.dialogue is not None
        await self.repl.add_history(self.dialogue.history)

    def next_call_id(self) -> str:
        """Return the id of this node's next sub-call."""
        return f"{self.id}.{next(self._ids)}"

    async def __aenter__(self) -> Node:
        self.repl.serve, self.repl.seed = self.broker.serve, self._seed
        self._let_in()
        if self.dialogue is not None:  # it goes on
            self._acceptance.notes.extend(await self._given_back())
            return self
        try:
            if self._own_repl:
                await self.repl.open(self.task.context, self.task.source)
            else:
                await self.repl.renew(self.task.context)
        except BaseException as error:
            await self.__aexit__(type(error), error)
            raise
        started = events.NodeStarted(
            node=self.id,
            depth=self.ledger.depth,
            model=self._model.name,
            question=self.task.question,
            context=wire.encode(self.context),
        )
        self.shared.bus.emit(started)
        scene = self._scene(tuple(await self._given_back()))
        self.dialogue = Dialogue(self.id, self.shared, self.ledger, self._model, scene, self.recorded)
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any = None) -> None:
        self.repl.serve = None
        self.shared.repls.pop(self.id, None)
        try:
            if self._own_repl:
                await loop.to_the_end(self.repl.close())
            else:  # nobody waits for what the cells have left under way
                await loop.to_the_end(self.repl.session.calls.end())
                if self.repl.hand is not None:
                    await loop.to_the_end(self.repl.hand.lets_go(stopped=error is not None))
        finally:
            self._say_how_it_ended(error)

    def _let_in(self) -> None:
        """Let people look into the kernel; what another client runs there is told."""
        self.shared.repls[self.id] = self.repl
        self.repl.session.on_other_cell = others(self._note)

    def _note(self, text: str) -> None:
        self.shared.bus.emit(events.Note(node=self.id, text=text))

    async def _given_back(self) -> list[str]:
        """Take the REPL from a person, if one has had it; tell the stream, and return what the model should hear."""
        if self.repl.hand is None:
            return []
        notes, heard = await self.repl.hand.gives_back()
        for note in notes:
            self._note(note)
        return [heard] if heard else []

    def _say_how_it_ended(self, error: BaseException | None) -> None:
        reason: StopReason = self.best.stop_reason
        if error is not None:
            reason = "cancelled" if isinstance(error, asyncio.CancelledError) else "error"
        text = None if error is None or reason == "cancelled" else str(error)
        seconds = time.monotonic() - self._started
        self.shared.bus.emit(events.NodeFinished(node=self.id, stop_reason=reason, seconds=seconds, error=text))

    @property
    def context(self) -> wire.Loaded:
        """What its input is."""
        return self.repl.contexts[-1] if self.repl.contexts else wire.Loaded(description="empty: there is none yet")

    async def ask(self) -> tuple[str, Cells]:
        """Ask the root model; return what it said, as far as it counts, and the cells in it."""
        assert self.dialogue is not None
        reply, options = await self.dialogue.ask(), self.shared.options
        first_only, cut = options.cells == "first", reply.finish == "length"
        cells = parse.cells(reply.text, options.fences, first_only=first_only, cut=cut)
        return reply.text.removesuffix(cells.dropped or ""), cells

    async def compact(self) -> None:
        """Summarize the history where it comes near the model's window."""
        assert self.dialogue is not None
        if self.dialogue.is_near_window:
            await self.dialogue.compact()
            await self.repl.set_history(self.dialogue.record)

    async def execute(self, code: str) -> CellRecord:
        """Run one cell, and take what it says of the answer and the variables."""
        record = await self.execution.run(code)
        if record.restart is not None:
            record.lost, self.repl.variables = self.repl.variables, {}
            self._restarts += 1
            self.ledger.check_restarts(self._restarts)
        if record.report is not None:
            self.repl.variables = record.report.variables
            if record.report.text:
                self.best = Answer.of_report(record.report)
        return record

    def diverge(self, reason: str, cell: int | None) -> None:
        """Go on without the journal's replies, because the node has done something else than before."""
        if not self.recorded.diverged:
            self.recorded.diverged = reason
            self.shared.bus.emit(events.Diverged(node=self.id, reason=reason, cell=cell))

    async def accepted_answer(self, text: str, records: Sequence[CellRecord]) -> Answer | None:
        """Return what the turn answers, if it does; why it does not, the model hears with its next observation."""
        return await self._acceptance.of_turn(text, records)

    def observe(self, text: str, cells: Cells, records: Sequence[CellRecord]) -> None:
        """Append the reply and what came of it to the history.

        Raises
        ------
        LimitReached
            So many turns in a row have failed, or were the same.
        """
        assert self.dialogue is not None
        notes = self._acceptance.notes
        if cells.dropped:
            notes.append("What followed your first code block was dropped: only that block has run.")
        turn = Turn(
            records=records,
            problem=cells.problem,
            iteration=self.ledger.iterations,
            iterations=self.ledger.limits.max_iterations,
            contexts=len(self.repl.contexts),
            histories=self.repl.histories,
            notes=tuple(notes),
        )
        notes.clear()
        self.dialogue.add(text, self.shared.prompts.observation(turn))
        self._errors = 0 if any(record.status == "ok" for record in records) else self._errors + 1
        this_turn = (text, [(record.status, record.output) for record in records])
        self._repeats = self._repeats + 1 if this_turn == self._last_turn else 1
        self._last_turn = this_turn
        self.ledger.check_turns(self._errors, self._repeats)

    def finish(self, answer: Answer) -> Answer:
        """End with an answer; one that was made when a limit had been reached says so."""
        if (limit := self.ledger.spent) is not None:
            self.shared.bus.emit(events.LimitHit(node=self.id, limit=limit.limit, maximum=limit.maximum))
            answer = replace(answer, stop_reason=limit.limit)  # type: ignore[arg-type]
        return self._end(answer)

    async def stop(self, limit: LimitReached) -> Answer:
        """End because a limit is spent, with the best answer so far, else with what one last request gives."""
        if limit.limit == "max_iterations" and not self.best.text and self._acceptance.ran:
            self.best = await self._last_words()
        self.best = await self._acceptance.typed_if_it_fits(self.best)
        self.shared.bus.emit(events.LimitHit(node=self.id, limit=limit.limit, maximum=limit.maximum))
        return self._end(replace(self.best, stop_reason=limit.limit))  # type: ignore[arg-type]

    async def _last_words(self) -> Answer:
        assert self.dialogue is not None
        try:
            async with self.ledger.clock():
                return await self._acceptance.of_last_words((await self.dialogue.last_words()).text)
        except LimitReached:
            return Answer()

    def _end(self, answer: Answer) -> Answer:
        self.best = answer
        if answer.text:
            self.shared.bus.emit(events.NodeAnswered(node=self.id, value=answer.value, text=answer.text))
        return answer

    def _scene(self, notes: tuple[str, ...]) -> Scene:
        return Scene(
            question=self.task.question,
            context=self.context,
            iterations=self.ledger.limits.max_iterations,
            contexts=len(self.repl.contexts),
            histories=self.repl.histories,
            tools=tuple(ToolDoc(name, text) for name, text in self.tools.docs()),
            recursion=self.ledger.may_recurse,
            models=tuple(self.shared.models.names),
            answer_schema=None if self.task.answer_type is None else self.task.answer_type.schema,
            depth=self.ledger.depth,
            notes=notes,
        )
