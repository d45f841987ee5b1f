"""What an answer may be: typed, several, as text; refused, so far, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pydantic
import pytest

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply
from tests.host.script import cell, done, events_of, heard


class Verdict(pydantic.BaseModel):
    guilty: bool
    score: float = pydantic.Field(ge=0, le=1)


@dataclass
class Place:
    name: str
    year: int


class TestTypes:
    @pytest.mark.parametrize(
        ("kind", "expression", "answer"),
        [
            (int, "42", 42),
            (list[str], "['a', 'b']", ["a", "b"]),
            (Literal["yes", "no"], "'yes'", "yes"),
            (Verdict, "{'guilty': True, 'score': 0.5}", Verdict(guilty=True, score=0.5)),
            (Place, "{'name': 'Skarholm', 'year': 1747}", Place("Skarholm", 1747)),
            ({"year": int, "place": str}, "{'year': 1747, 'place': 'here'}", {"year": 1747, "place": "here"}),
            ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ],
    )
    async def test_an_answer_comes_back_as_the_type(self, kind: Any, expression: str, answer: Any) -> None:
        root = ScriptedModel([done(expression)])
        completion = await RLM(root, answer_type=kind).acompletion("q", "c")
        assert completion.answer == answer
        assert type(completion.answer) is type(answer)
        assert "JSON schema" in "".join(message.content for message in root.requests[0])

    async def test_a_mismatch_is_fed_back_with_path_and_message(self) -> None:
        root = ScriptedModel([done("{'guilty': 'perhaps', 'score': 3}"), done("{'guilty': True, 'score': 1}")])
        completion = await RLM(root, answer_type=Verdict).acompletion("q", "c")
        assert completion.answer == Verdict(guilty=True, score=1)
        assert "guilty: Input should be a valid boolean" in heard(root)
        assert "score: Input should be less than or equal to 1" in heard(root)

    async def test_an_answer_that_was_refused_has_to_be_made_ready_again(self) -> None:
        root = ScriptedModel([done("'many'"), cell("answer['content'] = 3"), done("4")])
        assert (await RLM(root, answer_type=int).acompletion("q", "c")).answer == 4

    async def test_one_that_never_fits_is_kept_as_it_is_when_the_turns_end(self) -> None:
        root = ScriptedModel([done("'many'")] * 3)
        completion = await RLM(root, answer_type=int, max_iterations=2, max_repeats=None).acompletion("q", "c")
        assert (completion.answer, completion.stop_reason) == ("many", "max_iterations")


class TestFinalsInText:
    async def test_a_final_is_taken_after_its_cells_have_run(self) -> None:
        root = ScriptedModel([cell("x = [1, (2)]"), "So it is.\nFINAL_VAR(x)"])
        completion = await RLM(root, finals=True).acompletion("q", "c")
        assert completion.answer is not None
        assert completion.text == "[1, 2]"

    @pytest.mark.parametrize("text", ["FINAL(f(1) and (2))", "  FINAL(a\n(b) c)"])
    async def test_brackets_are_matched(self, text: str) -> None:
        root = ScriptedModel([cell("1"), text])
        completion = await RLM(root, finals=True).acompletion("q", "c")
        assert completion.text == text.strip()[6:-1]

    async def test_one_that_stands_in_a_fence_or_before_anything_ran_is_none(self) -> None:
        root = ScriptedModel(["FINAL(invented)", cell("x = 'FINAL(7)'\n# FINAL(8)"), "FINAL(9)"])
        completion = await RLM(root, finals=True).acompletion("q", "c")
        assert completion.text == "9"
        assert "ignored" in heard(root, 1)

    async def test_a_final_beside_a_cell_that_had_not_run_is_invented(self) -> None:
        root = ScriptedModel([f"{cell('x = 5')}\nFINAL(7)", "FINAL_VAR(x)"])
        assert (await RLM(root, finals=True).acompletion("q", "c")).text == "5"

    async def test_without_the_option_text_is_text(self) -> None:
        root = ScriptedModel([cell("1"), "FINAL(7)", done("8")])
        assert (await RLM(root).acompletion("q", "c")).answer == 8


class TestTurns:
    async def test_a_model_that_repeats_itself_is_stopped(self) -> None:
        root = ScriptedModel([cell("print('again')")] * 9)
        completion = await RLM(root).acompletion("q", "c")
        assert completion.stop_reason == "max_repeats"
        assert len(root.requests) == 3

    async def test_the_same_code_with_another_outcome_is_no_repetition(self) -> None:
        root = ScriptedModel([cell("n = globals().get('n', 0) + 1\nprint(n)")] * 4 + [done("n")])
        assert (await RLM(root).acompletion("q", "c")).answer == 4

    async def test_so_many_failed_turns_in_a_row_end_the_run(self) -> None:
        root = ScriptedModel([cell("1/0"), cell("ok = 1"), "no cell", cell("2/0"), cell("3/0")])
        completion = await RLM(root, max_errors=3).acompletion("q", "c")
        assert completion.stop_reason == "max_errors"
        assert len(root.requests) == 5

    async def test_a_model_that_kills_its_kernel_again_and_again_is_stopped(self) -> None:
        root = ScriptedModel([cell(f"import os; os._exit({n})") for n in range(1, 9)])
        completion = await RLM(root, max_restarts=1).acompletion("q", "c")
        assert completion.stop_reason == "max_restarts"
        assert len(root.requests) == 2

    async def test_a_variable_that_may_not_even_be_looked_at_hinders_nothing(self) -> None:
        lazy = "class Lazy:\n    @property\n    def __class__(self): raise RuntimeError('not bound')\nlazy = Lazy()"
        root = ScriptedModel([cell(lazy), done("7")])
        assert (await RLM(root).acompletion("q", "c")).answer == 7
        assert "lazy (Lazy)" in heard(root, 1)

    async def test_only_the_first_cell_runs_where_that_is_asked_for(self) -> None:
        reply = f"{cell('x = 1')}\nOutput: 2\n{cell('x = 2')}"
        root = ScriptedModel([reply, done("x")])
        assert (await RLM(root, cells="first").acompletion("q", "c")).answer == 1
        assert "dropped" in heard(root)
        assert "Output: 2" not in "".join(message.content for message in root.requests[1])

    async def test_a_model_that_only_thought_aloud_has_still_said_something(self) -> None:
        root = ScriptedModel([Reply("", Usage(), reasoning=done("6"))])
        assert (await RLM(root).acompletion("q", "c")).answer == 6

    async def test_a_reply_that_was_cut_off_is_not_run(self) -> None:
        root = ScriptedModel([Reply("```repl\nx = 1\n", Usage(), finish="length"), done("'x' in globals()")])
        assert (await RLM(root).acompletion("q", "c")).answer is False
        assert "cut" in heard(root)

    async def test_when_the_turns_end_the_answer_so_far_goes_before_another_request(self) -> None:
        root = ScriptedModel([cell("answer['content'] = 'so far'")])
        completion = await RLM(root, max_iterations=1).acompletion("q", "c")
        assert (completion.answer, completion.stop_reason) == ("so far", "max_iterations")
        assert len(root.requests) == 1

    async def test_where_no_cell_ever_ran_nothing_is_invented(self) -> None:
        root = ScriptedModel(["The answer is 42."] * 2)
        completion = await RLM(root, max_iterations=2).acompletion("q", "c")
        assert (completion.answer, completion.stop_reason, completion.cells) == (None, "max_iterations", 0)
        assert len(root.requests) == 2

    async def test_without_sub_calls_there_is_only_the_repl(self) -> None:
        root = ScriptedModel([cell("llm_query('x')"), done("1")])
        completion = await RLM(root, sub_calls=False).acompletion("q", "c")
        assert "This run has no sub-calls" in heard(root)
        assert "llm_query" not in root.requests[0][0].content
        assert events_of(completion, events.CallRequested) == []


class TestAsRlmsTalks:
    async def test_its_messages_and_no_echo(self) -> None:
        root = ScriptedModel(["```repl\nx = 1\nx + 1\nprint('printed')\n```", done("x")])
        await RLM(root, compat="rlms").acompletion("q", "some context")
        roles = [message.role for message in root.requests[1]]
        assert roles == ["system", "user", "user", "assistant", "user", "user"]
        assert "printed" in root.requests[1][4].content
        assert "\n2" not in root.requests[1][4].content

    async def test_only_its_fence_is_a_cell(self) -> None:
        root = ScriptedModel(["```python\nx = 1\n```", done("'x' in globals()")])
        assert (await RLM(root, compat="rlms").acompletion("q", "c")).answer is False


class TestCompaction:
    async def test_the_history_is_summarized_near_the_window_and_kept_in_the_repl(self) -> None:
        told = [cell(f"print('{n}' * 3000)") for n in range(4)]
        root = ScriptedModel([*told, "I found 0, 1, 2 and 3.", done("[len(history), history[1], len(history[0])]")])
        completion = await RLM(root, context_window=4000, compaction=0.85).acompletion("q", "c")
        kept = completion.answer
        assert kept[0] == 2
        assert kept[1] == {"type": "summary", "content": "I found 0, 1, 2 and 3."}
        assert kept[2] >= 4
        last = root.requests[-1]
        assert last[:2] == root.requests[0]
        assert "I found 0, 1, 2 and 3." in "".join(message.content for message in last)
        assert sum(len(message.content) for message in last) < sum(len(m.content) for m in root.requests[-2])
        compacted = events_of(completion, events.Compacted)
        assert len(compacted) == 1
        assert tuple(last[2:]) == compacted[0].messages

    async def test_a_prompt_over_a_known_window_is_refused_before_it_is_sent(self) -> None:
        root = ScriptedModel([done("1")])
        rlm = RLM(root, context_window=100, system_prompt="x" * 2000)
        with pytest.raises(Exception, match="reads 100 tokens, about 400 characters: .* too many"):
            await rlm.acompletion("q", "c")
        assert root.requests == []
