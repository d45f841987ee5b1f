"""Somebody looks at each cell before it runs: scripted models, real kernels."""

from __future__ import annotations

import asyncio
import io
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import rlm_kernel
from rlm_kernel import RLM, Approver, OptionError, ProposedCell, ScriptedModel, Verdict
from rlm_kernel.events import types as events
from rlm_kernel.journal import read
from tests.host.script import cell, done, heard
from tests.journal.test_replay_of_any_run import shown


def root(*codes: str) -> ScriptedModel:
    """A root model that writes these cells, one a turn."""
    return ScriptedModel([cell(code) for code in codes])


ANSWER = "answer['content'] = x\nanswer['ready'] = True"


class TestWhatItSays:
    async def test_it_sees_each_cell_and_lets_it_run(self) -> None:
        seen: list[ProposedCell] = []

        def approve(cell: ProposedCell) -> bool:
            seen.append(cell)
            return True

        completion = await RLM(root("x = 1", ANSWER), approve=approve).acompletion("a question", "c")
        assert completion.answer == 1
        assert seen == [
            ProposedCell("0", number, code, "a question") for number, code in enumerate(("x = 1", ANSWER), 1)
        ]

    async def test_another_cell_runs_and_the_model_is_told(self) -> None:
        def approve(cell: ProposedCell) -> Verdict:
            return Verdict.rewrite("x = 2") if cell.cell == 1 else Verdict.allow()

        model = root("x = 1", ANSWER)
        completion = await RLM(model, approve=approve).acompletion("q", "c")
        assert completion.answer == 2
        assert "This cell was changed before it ran. What runs is:\nx = 2" in heard(model)
        assert completion.tree.root.iterations[0].cells[0].code == "x = 2"
        assert "Cell 1 was changed before it ran." in completion.tree.root.notes

    async def test_a_cell_is_skipped_and_the_model_is_told_why(self) -> None:
        async def approve(cell: ProposedCell) -> Any:
            return Verdict.refuse("it deletes something") if "del" in cell.code else None

        model = root("x = 1", "del x", ANSWER)
        completion = await RLM(model, approve=approve).acompletion("q", "c")
        assert completion.answer == 1
        assert "This cell was not run: it deletes something" in heard(model)
        assert completion.tree.root.iterations[1].cells[0].status == "skipped"

    async def test_it_stops_the_run(self) -> None:
        def approve(cell: ProposedCell) -> Verdict:
            return Verdict.stop() if cell.cell == 2 else Verdict.allow()

        completion = await RLM(root("x = 1", "x = 2", ANSWER), approve=approve).acompletion("q", "c")
        assert completion.stop_reason == "cancelled"
        assert len([e for e in read(completion.run_dir) if isinstance(e, events.CellFinished)]) == 1

    async def test_children_are_asked_about_one_at_a_time(self) -> None:
        asked: list[str] = []
        waiting = 0

        async def approve(cell: ProposedCell) -> bool:
            nonlocal waiting
            waiting += 1
            assert waiting == 1
            await asyncio.sleep(0.05)
            waiting -= 1
            asked.append(f"{cell.depth} {cell.node}")
            return True

        child = ScriptedModel(lambda messages: done("context"))
        model = root("x = rlm_query_batched(['a', 'b', 'c'])", ANSWER)
        completion = await RLM(model, child_model=child, max_depth=2, approve=approve).acompletion("q", "c")
        assert completion.answer == ["a", "b", "c"]
        assert sorted(asked) == ["0 0", "0 0", "1 0.1", "1 0.2", "1 0.3"]


class TestBadInput:
    @pytest.mark.parametrize("says", [KeyError("x"), "yes", 7, False, Verdict.retry("again")])
    async def test_what_is_no_verdict_does_not_let_a_cell_run(self, says: Any) -> None:
        def approve(cell: ProposedCell) -> Any:
            if isinstance(says, Exception) and cell.cell == 1:
                raise says
            return says if cell.cell == 1 else True

        model = root("x = 1\nprint('it ran')", "x = 'none'", ANSWER)
        completion = await RLM(model, approve=approve).acompletion("q", "c")
        assert completion.answer == "none"
        assert "it ran" not in str(list(completion.tree.root.iterations[0].cells[0].outputs))

    def test_what_is_no_function_is_refused(self) -> None:
        with pytest.raises(OptionError, match="approve: expected a function, or None, not str"):
            RLM(root("x"), approve="yes")


class TestApprover:
    def asked(self, *answers: str, code: str = "x = 1") -> tuple[Verdict, list[str]]:
        """Let an approver ask in lines; return what it said to the run, and what the person saw."""
        approver, seen, replies = Approver(), [], iter(answers)

        def read(prompt: str) -> str:
            seen.append(prompt)
            return next(replies)

        with ThreadPoolExecutor() as pool:
            verdict = pool.submit(approver, ProposedCell("0.3", 2, code, "q", 1))
            while approver.waiting is None:
                time.sleep(0.001)
            approver.ask(read, seen.append)
            return verdict.result(), seen

    def test_lines_are_verdicts(self) -> None:
        verdict, seen = self.asked("")
        assert verdict == Verdict.allow()
        assert seen == ["\nCell 2 of the child 0.3\nx = 1", "[r]un, [e]dit, [s]kip, s[t]op: "]
        assert self.asked("s", "too slow")[0] == Verdict.refuse("too slow")
        assert self.asked("hm", "skip", "")[0] == Verdict.refuse("The user has skipped it.")
        assert self.asked("t")[0] == Verdict.stop()

    def test_an_editor_changes_the_code(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setenv("EDITOR", "sed -i s/1/2/")
        monkeypatch.delenv("VISUAL", raising=False)
        assert self.asked("e")[0] == Verdict.rewrite("x = 2")
        monkeypatch.setenv("EDITOR", "true")
        assert self.asked("e")[0] == Verdict.allow()
        monkeypatch.setenv("EDITOR", "no-such-editor")
        verdict, seen = self.asked("e", "r")
        assert verdict == Verdict.allow()
        assert "The editor 'no-such-editor' failed" in seen[2]

    def test_without_a_terminal_there_is_no_editor(self) -> None:
        verdict, seen = self.asked("e", "r")
        assert verdict == Verdict.allow()
        assert "Editing needs a terminal" in seen[2]

    def test_what_keeps_it_from_asking_stops_the_run(self) -> None:
        approver = Approver()
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(approver, ProposedCell("0", 1, "x"))
            while approver.waiting is None:
                time.sleep(0.001)

            def ctrl_c(prompt: str) -> str:
                raise KeyboardInterrupt

            approver.ask(ctrl_c, lambda words: None)
            assert waiting.result() == Verdict.stop()
        approver.close()
        assert approver(ProposedCell("0", 2, "x")) == Verdict.stop()


class Terminal(io.StringIO):
    """A standard input that says it is one."""

    def isatty(self) -> bool:
        return True


class TestJournal:
    async def test_a_person_is_not_asked_twice_and_what_was_changed_stays_changed(self) -> None:
        asked: list[int] = []

        def approve(cell: ProposedCell) -> Verdict:
            asked.append(cell.cell)
            return [Verdict.rewrite("x = 2"), Verdict.refuse("no"), Verdict.allow()][len(asked) - 1]

        rlm = RLM(root("x = 1", "x = 3"), approve=approve)
        with pytest.raises(rlm_kernel.ModelError):
            await rlm.acompletion("q", "c")
        assert rlm.last is not None
        completion = await rlm_kernel.resume(rlm.last.id, model=root(ANSWER), approve=approve)
        assert (completion.answer, asked) == (2, [1, 2, 3])

    async def test_a_replay_asks_nobody(self) -> None:
        verdicts = iter([Verdict.rewrite("x = 2"), Verdict.refuse("no"), Verdict.allow()])
        rlm = RLM(root("x = 1", "x = 3", ANSWER), approve=lambda cell: next(verdicts))
        completion = await rlm.acompletion("q", "c")
        again = await shown(completion.run_dir)
        assert again.completion.answer == 2
