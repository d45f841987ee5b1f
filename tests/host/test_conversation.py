"""Several completions in one REPL, and going on after a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest

from rlm_kernel import RLM, OptionError, RLMError, ScriptedModel, journal


def cell(code: str) -> str:
    return f"Here is a cell.\n```repl\n{code}\n```"


def done(expression: str) -> str:
    return cell(f"answer['content'] = {expression}\nanswer['ready'] = True")


def test_variables_and_inputs_stay_from_one_question_to_the_next() -> None:
    root = ScriptedModel(
        [
            cell("kept = context.upper()"),
            done("kept"),
            done("[kept, context, context_0, context_1, contexts, context is context_1]"),
        ]
    )
    with RLM(root) as rlm:
        assert rlm.completion("first", context="one").answer == "ONE"
        second = rlm.completion("second", context="two")
    assert second.answer == ["ONE", "two", "one", "two", ["one", "two"], True]
    assert "`context_0` to `context_1`" in "".join(message.content for message in root.requests[-1])


def test_a_question_without_an_input_uses_those_there_are() -> None:
    root = ScriptedModel([done("context"), done("[context, answer['content']]")])
    with RLM(root) as rlm:
        rlm.completion("first", context="one")
        assert rlm.completion("second").answer == ["one", ""]


def test_the_messages_of_before_are_in_the_repl() -> None:
    root = ScriptedModel([done("1"), done("2"), done("[len(history_0), history_1[1]['role'], history == history_1]")])
    with RLM(root) as rlm:
        rlm.completion("first", context="one")
        rlm.completion("second")
        assert rlm.completion("third").answer == [2, "user", True]


def test_an_input_may_be_added_without_asking() -> None:
    root = ScriptedModel([done("[context_0, context_1['x']]")])
    with RLM(root) as rlm:
        rlm.add_context("one")
        rlm.add_context({"x": [2]})
        assert rlm.completion("both").answer == ["one", [2]]


def test_as_rlms_has_it_the_first_input_stays_context() -> None:
    root = ScriptedModel([done("context"), done("[context, context_1]")])
    with RLM(root, compat="rlms") as rlm:
        rlm.completion("first", context="one")
        assert rlm.completion("second", context="two").answer == ["one", "two"]


async def test_the_async_form_does_the_same_in_the_callers_loop() -> None:
    root = ScriptedModel([cell("kept = 7"), done("1"), done("kept + len(context)")])
    async with RLM(root) as rlm:
        await rlm.acompletion("first", context="one")
        await rlm.aadd_context("four")
        assert (await rlm.acompletion("second")).answer == 11
        with pytest.raises(RLMError, match="opened with `async with`"):
            rlm.start("third")


async def test_a_conversation_opened_in_sync_code_can_be_asked_from_async_code() -> None:
    root = ScriptedModel([done("1"), done("context")])
    with RLM(root) as rlm:
        await asyncio.to_thread(rlm.completion, "first", "one")
        assert (await rlm.acompletion("second")).answer == "one"


def test_a_kernel_that_died_gets_its_inputs_and_histories_back() -> None:
    root = ScriptedModel([done("1"), cell("import os; os._exit(1)"), done("[context_0, context_1, len(history_0)]")])
    with RLM(root) as rlm:
        rlm.completion("first", context="one")
        assert rlm.completion("second", context="two").answer == ["one", "two", 2]


def test_one_failed_question_leaves_the_conversation_usable() -> None:
    root = ScriptedModel([RLMError("down"), done("context")])
    with RLM(root) as rlm:
        with pytest.raises(RLMError, match="down"):
            rlm.completion("first", context="one")
        assert rlm.completion("second").answer == "one"


async def test_two_questions_at_once_are_refused() -> None:
    async def slow(messages: Any) -> str:
        await asyncio.sleep(0.3)
        return done("1")

    async with RLM(slow) as rlm:
        first = asyncio.create_task(rlm.acompletion("first", context="one"))
        await asyncio.sleep(0.1)
        with pytest.raises(RLMError, match="one question at a time"):
            await rlm.acompletion("second")
        assert (await first).answer == 1


def test_its_kernel_ends_with_it() -> None:
    before = len(psutil.Process().children(recursive=True))
    with RLM(ScriptedModel([done("1")])) as rlm:
        rlm.completion("q", context="c")
        assert len(psutil.Process().children(recursive=True)) > before
    assert len(psutil.Process().children(recursive=True)) == before
    with pytest.raises(RLMError, match="can be given more inputs"):
        rlm.add_context("more")


class TestGoingOn:
    """A limit ends a completion; a higher one lets it go on, in the same REPL and the same journal."""

    def test_a_run_goes_on_with_more_turns(self) -> None:
        root = ScriptedModel([cell("x = 1"), cell("x += 1"), "not known yet", cell("x += 1"), done("x")])
        with RLM(root, max_iterations=2) as rlm:
            first = rlm.completion("q", context="c")
            assert (first.stop_reason, first.text) == ("max_iterations", "not known yet")
            second = rlm.go_on(max_iterations=4)
        assert (second.answer, second.stop_reason) == (3, "answered")
        assert root.requests[3] == root.requests[2][:-1]  # the request for last words is not part of the history
        assert second.run_dir == first.run_dir
        assert second.tree.state == "ok"
        assert any("went on with max_iterations=4" in note for note in second.tree.root.notes)
        assert [event.type for event in journal.read(second.run_dir)].count("run_finished") == 2

    def test_it_goes_on_with_more_calls(self) -> None:
        root = ScriptedModel([cell("got = llm_query_batched(['a', 'b', 'c'])"), done("llm_query('d')")])
        with RLM(root, sub_model=lambda m: "ok", max_calls=2) as rlm:
            assert rlm.completion("q", context="c").stop_reason == "max_calls"
            assert rlm.go_on(max_calls=3).answer == "ok"

    @pytest.mark.parametrize(
        ("limits", "message"),
        [
            ({"max_iterations": 1}, "does not raise the limit"),
            ({"max_iterations": "many"}, "max_iterations='many': expected a whole number"),
            ({"max_depth": 3}, "'max_depth' cannot be raised"),
        ],
    )
    def test_limits_that_raise_nothing_are_refused(self, limits: dict[str, Any], message: str) -> None:
        root = ScriptedModel([cell("1"), cell("2"), "not known yet", done("3")])
        with RLM(root, max_iterations=2) as rlm:
            rlm.completion("q", context="c")
            with pytest.raises(OptionError, match=message):
                rlm.go_on(**limits)
            assert rlm.go_on(max_iterations=5).answer == 3

    def test_there_must_be_something_to_go_on_with(self) -> None:
        rlm = RLM(ScriptedModel([done("1")]))
        with pytest.raises(RLMError, match="nothing to go on with"):
            rlm.go_on(max_calls=3)
        with rlm:
            rlm.completion("q", context="c")
            with pytest.raises(RLMError, match="not ended by a limit"):
                rlm.go_on(max_calls=3000)
