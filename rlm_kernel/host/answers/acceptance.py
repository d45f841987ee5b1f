"""Decides what answers a node's task: a cell that is ready, or a final in the text, if it is of the right type."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from rlm_kernel.host import finals
from rlm_kernel.host.answers.answer import Answer
from rlm_kernel.host.answers.answer_type import AnswerType, MismatchError
from rlm_kernel.host.prompts import CellRecord


class Acceptance:
    """What one node accepts as its answer.

    Parameters
    ----------
    answer_type
        What the answer has to be.
    legacy_finals
        Whether ``FINAL(...)`` and ``FINAL_VAR(...)`` in the text count.
    execute
        Runs a cell: such a final is taken through the REPL's function of that name.

    Attributes
    ----------
    ran
        Whether any cell has run without an error.
    notes
        Why something was not accepted, for the model; whoever tells it clears them.
    """

    def __init__(
        self,
        answer_type: AnswerType | None,
        legacy_finals: bool,
        execute: Callable[[str], Awaitable[CellRecord]],
    ) -> None:
        self.ran = False
        self.notes: list[str] = []
        self._type = answer_type
        self._legacy_finals = legacy_finals
        self._execute = execute

    async def of_turn(self, text: str, records: Sequence[CellRecord]) -> Answer | None:
        """Return the answer of the first cell that is ready, else of a final in the text."""
        ran_before, self.ran = self.ran, self.ran or any(record.status == "ok" for record in records)
        ready = next((record for record in records if record.answers()), None)
        if ready is None:
            ready = await self._final(text, records, ran_before)
        if ready is None or ready.report is None:
            return None
        try:
            return await self._typed(Answer.of_report(ready.report))
        except MismatchError as error:
            self.notes.append(f"Your answer was not accepted:\n{error}\nCorrect it and set it ready again.")
            return None

    async def of_last_words(self, text: str) -> Answer:
        """Return what the model says when its turns are used up: all of it, or the final in it."""
        final = await self._final(text, (), self.ran)
        answer = Answer.of_text(text) if final is None or final.report is None else Answer.of_report(final.report)
        return await self.typed_if_it_fits(answer)

    async def typed_if_it_fits(self, answer: Answer) -> Answer:
        """Return the best answer there is as its type; one that does not fit stays what it is."""
        try:
            return await self._typed(answer) if answer.text else answer
        except MismatchError:
            return answer

    async def _typed(self, answer: Answer) -> Answer:
        if self._type is None:
            return answer
        typed = await asyncio.to_thread(self._type.check, answer.value, answer.text)
        return replace(answer, value=self._type.plain(typed), typed=(typed,))

    async def _final(self, text: str, records: Sequence[CellRecord], ran_before: bool) -> CellRecord | None:
        if not self._legacy_finals:
            return None
        final = finals.find(text)
        if final is None:
            if (overlooked := finals.overlooked(text)) is not None:
                self.notes.append(overlooked)
            return None
        if (reason := finals.accept(final, records, ran_before)) is not None:
            self.notes.append(reason)
            return None
        record = await self._execute(f"{final.name}({final.value!r})")
        if record.answers():
            return record
        self.notes.append(f"{final.name} was ignored: the REPL has no variable {final.value!r}.")
        return None
