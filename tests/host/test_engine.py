"""The loop, with a scripted root model and a real kernel in the real sandbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, ContextError, ModelError, RLMError, ScriptedModel, journal
from rlm_kernel.events.types import CallFinished, CallRequested, CellFinished, Event, RunFinished
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers import Reply


def cell(code: str) -> str:
    return f"Here is a cell.\n```repl\n{code}\n```"


def done(expression: str) -> str:
    return cell(f"answer['content'] = {expression}\nanswer['ready'] = True")


def shout(messages: Sequence[dict[str, str]]) -> str:
    return messages[-1]["content"].upper()


def events_of(completion: Completion, kind: type[Event]) -> list[Any]:
    return [event for event in journal.read(completion.run_dir) if isinstance(event, kind)]


async def test_a_question_is_answered_over_an_input_with_sub_calls() -> None:
    root = ScriptedModel([cell("parts = context.split()\nprint(len(parts))"), done("llm_query_batched(parts)")])
    completion = await RLM(root, sub_model=shout).acompletion("shout it", context="a b c")
    assert completion.answer == ["A", "B", "C"]
    assert (completion.text, completion.stop_reason) == ("['A', 'B', 'C']", "answered")
    assert completion.usage.calls == 5
    assert "3" in root.requests[1][-1].content
    assert "parts (list)" in root.requests[1][-1].content


async def test_the_root_never_sees_the_input_but_hears_what_it_is() -> None:
    root = ScriptedModel([done("'x'")])
    await RLM(root, preview=False).acompletion("Where is it?", context={"a.txt": "needle" * 100, "b.txt": "hay"})
    text = "".join(message.content for message in root.requests[0])
    assert "needle" not in text
    assert "603 characters" in text
    assert "<question>\nWhere is it?\n</question>" in text


async def test_the_history_only_grows_so_that_prompt_caches_hit() -> None:
    root = ScriptedModel([cell("1"), "no cell at all", cell("2"), done("3")])
    await RLM(root).acompletion("q", context="c")
    for before, after in zip(root.requests, root.requests[1:], strict=False):
        assert after[: len(before)] == before
        assert len(after) == len(before) + 2


@pytest.mark.parametrize(
    ("reply", "heard"),
    [
        ("", "Your reply was empty."),
        ("The answer is 42.", "held no ```repl code block"),
        ("```repl\nprint(1)", "was not closed"),
        (cell("1/0"), "ZeroDivisionError: division by zero"),
        (cell("print('x' * 30_000)"), "more characters were cut off."),
        (cell("x = 1"), "(the cell printed nothing)"),
        (cell("context = 2"), "Reserved names were put back: context."),
        (
            f"{cell('kept = 1')}\n{cell('import os; os._exit(1)')}",
            "Your variables are lost: kept (int). `context` is loaded again.",
        ),
    ],
)
async def test_a_turn_that_went_wrong_is_one_the_model_can_recover_from(reply: str, heard: str) -> None:
    root = ScriptedModel([reply, done("context")])
    completion = await RLM(root).acompletion("q", context="still here")
    assert completion.answer == "still here"
    assert heard in root.requests[1][-1].content


async def test_all_cells_of_a_turn_run_and_the_first_that_is_ready_answers() -> None:
    root = ScriptedModel([f"{done('1')}\n{cell('answer.update(content=2)')}"])
    completion = await RLM(root).acompletion("q", context="c")
    assert completion.answer == 1
    assert len(events_of(completion, CellFinished)) == 2


async def test_without_a_context_the_question_is_the_input() -> None:
    assert (await RLM(ScriptedModel([done("context")])).acompletion("just this")).answer == "just this"


class TestLimits:
    """A spent limit ends the run with the best answer so far, and says which."""

    async def test_iterations_end_with_what_the_answer_holds(self) -> None:
        root = ScriptedModel([cell("answer['content'] = 'so far'"), cell("pass")])
        completion = await RLM(root, max_iterations=2).acompletion("q", context="c")
        assert (completion.answer, completion.stop_reason) == ("so far", "max_iterations")

    async def test_iterations_without_any_answer_end_with_one_last_question(self) -> None:
        root = ScriptedModel([cell("print(7)"), "It is 7."])
        completion = await RLM(root, max_iterations=1).acompletion("q", context="c")
        assert (completion.answer, completion.stop_reason) == ("It is 7.", "max_iterations")
        assert "final answer" in root.requests[1][-1].content
        assert root.requests[1][-1].role == "user"

    async def test_calls_are_refused_when_they_are_used_up_and_the_cell_may_still_answer(self) -> None:
        code = (
            "got = []\ntry:\n    for i in range(9): got.append(llm_query(str(i)))\n"
            "except Exception as e: print(e)\nanswer['content'] = got"
        )
        root = ScriptedModel([cell(code)])
        completion = await RLM(root, sub_model=shout, max_calls=3).acompletion("q", context="c")
        assert (completion.answer, completion.stop_reason) == (["0", "1", "2"], "max_calls")
        assert len(events_of(completion, CallRequested)) == 3

    async def test_a_batch_stops_at_the_limit_exactly(self) -> None:
        root = ScriptedModel([cell("llm_query_batched([f'x{i}' for i in range(50)])")])
        completion = await RLM(root, sub_model=shout, max_calls=7).acompletion("q", context="c")
        assert completion.stop_reason == "max_calls"
        assert completion.usage.calls == 1 + 7

    async def test_tokens_of_the_whole_tree_count(self) -> None:
        def costly(text: str) -> Reply:
            return Reply(text, Usage.of_call(4000, 2000))

        root = ScriptedModel([costly(cell("llm_query('a')")), costly(cell("llm_query('b')"))])
        sub = ScriptedModel([costly("1"), costly("2")])
        completion = await RLM(root, sub_model=sub, max_tokens=15_000).acompletion("q", context="c")
        assert completion.stop_reason == "max_tokens"
        assert completion.usage.tokens == 12_000

    async def test_seconds_end_a_cell_that_runs_and_a_model_that_thinks(self) -> None:
        async def think(messages: Any) -> str:
            await asyncio.Event().wait()
            raise AssertionError

        slow_cell = ScriptedModel([cell("answer['content'] = 1"), cell("import time\ntime.sleep(100)")])
        for model, answer in ((slow_cell, 1), (think, None)):
            completion = await RLM(model, max_seconds=2.0).acompletion("q", context="c")
            assert (completion.answer, completion.stop_reason) == (answer, "max_seconds")
            assert completion.seconds < 10

    async def test_no_limits_are_no_limits(self) -> None:
        root = ScriptedModel([done("len(llm_query_batched(['x'] * 1500))")])
        completion = await RLM(root, sub_model=shout, max_calls=None).acompletion("q", context="c")
        assert completion.answer == 1500


class TestChildren:
    """``rlm_query`` gives a child a kernel of its own, down to the depth limit."""

    @staticmethod
    def root(messages: Sequence[dict[str, str]]) -> str:
        if "Do what `context` asks" in messages[1]["content"]:
            return done("[context, llm_query('deep')]")
        return done("rlm_query_batched(['one', 'two'])")

    async def test_children_answer_with_kernels_of_their_own(self) -> None:
        completion = await RLM(self.root, sub_model=shout, max_depth=2).acompletion("q", context="c")
        assert completion.answer == ["['one', 'DEEP']", "['two', 'DEEP']"]
        calls = {event.call: event.kind for event in events_of(completion, CallRequested)}
        assert calls == {"0.1": "rlm", "0.2": "rlm", "0.1.1": "llm", "0.2.1": "llm"}

    async def test_at_the_depth_limit_a_child_is_a_plain_completion(self) -> None:
        completion = await RLM(self.root, sub_model=shout, max_depth=1).acompletion("q", context="c")
        assert completion.answer == ["ONE", "TWO"]

    async def test_a_child_without_an_answer_is_a_failed_slot(self) -> None:
        def root(messages: Sequence[dict[str, str]]) -> str:
            if "Do what `context` asks" in messages[1]["content"]:
                raise ModelError("the child's model is down")
            return done("[str(r) for r in rlm_query_batched(['one'])]")

        completion = await RLM(root, max_depth=2).acompletion("q", context="c")
        assert completion.answer == ["Error: the child's model is down"]


class TestFailures:
    """What fails says so in one line; what was done until then is in the journal."""

    async def test_a_failed_sub_call_is_the_cells_problem_and_not_the_runs(self) -> None:
        def sub(messages: Sequence[dict[str, str]]) -> str:
            if "bad" in messages[-1]["content"]:
                raise ModelError("refused")
            return "fine"

        root = ScriptedModel([cell("llm_query('bad')"), done("llm_query_batched(['good', 'bad'])")])
        completion = await RLM(root, sub_model=sub).acompletion("q", context="c")
        assert completion.answer == ["fine", "Error: refused"]
        assert "LLMCallError: refused" in root.requests[1][-1].content
        assert [event.status for event in events_of(completion, CallFinished)] == ["error", "ok", "error"]

    async def test_an_unknown_model_in_a_call_is_named_with_the_known_ones(self) -> None:
        root = ScriptedModel([cell("llm_query('x', model='openai/gpt-5-pro')"), done("1")], "root")
        await RLM(root, sub_model=ScriptedModel([], "sub")).acompletion("q", context="c")
        assert "Unknown model 'openai/gpt-5-pro'. This run has: root, sub." in root.requests[1][-1].content

    async def test_a_root_model_that_fails_ends_the_run_with_its_reason(self) -> None:
        run = RLM(ScriptedModel([cell("answer['content'] = 'kept'"), ModelError("server is down")])).start("q", "c")
        with pytest.raises(ModelError, match="server is down"):
            run.result()
        last = list(journal.read(run.directory))[-1]
        assert isinstance(last, RunFinished)
        assert (last.stop_reason, last.error) == ("error", "server is down")
        assert run.completion is not None
        assert run.completion.answer == "kept"

    @pytest.mark.parametrize("question", ["", "  \n", None])
    async def test_an_empty_question_is_refused(self, question: Any) -> None:
        with pytest.raises(RLMError, match="The question is empty"):
            await RLM(ScriptedModel([])).acompletion(question, context="c")

    @pytest.mark.parametrize("context", ["", 3, b"", [object()]])
    async def test_a_context_that_cannot_cross_is_refused_before_a_model_is_asked(self, context: Any) -> None:
        root = ScriptedModel([done("1")])
        with pytest.raises(ContextError):
            await RLM(root).acompletion("q", context=context)
        assert root.requests == []

    async def test_a_file_that_is_not_text_is_refused_before_a_model_is_asked(self, tmp_path: Any) -> None:
        (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00\xff")
        root = ScriptedModel([done("1")])
        with pytest.raises(ContextError, match=r"not UTF-8 text|could not be loaded"):
            await RLM(root).acompletion("q", context=tmp_path / "picture.png")
        assert root.requests == []

    async def test_a_callback_that_raises_does_not_end_a_run_that_is_paid_for(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def bad(event: Event) -> None:
            raise RuntimeError("mine")

        with caplog.at_level(logging.ERROR, "rlm_kernel"):
            completion = await RLM(ScriptedModel([done("1")]), on_event=bad).acompletion("q", context="c")
        assert completion.answer == 1
        assert "on_event raised on run_started" in caplog.text


class TestRuns:
    """Starting, following and stopping a run from sync code."""

    def test_the_sync_face_works_without_and_within_a_running_loop(self) -> None:
        def ask() -> object:
            return RLM(ScriptedModel([done("1")])).completion("q", context="c").answer

        async def notebook() -> object:
            return ask()

        assert ask() == 1
        assert asyncio.run(notebook()) == 1

    def test_a_run_can_be_followed_and_stopped_and_keeps_what_there_is(self) -> None:
        root = ScriptedModel([cell("answer['content'] = 'kept'"), cell("import time\ntime.sleep(100)")])
        run = RLM(root).start("q", "c")
        for event in run:
            if event.type == "cell_started" and event.cell == 2:  # type: ignore[attr-defined]
                run.cancel()
        completion = run.result()
        assert (completion.answer, completion.stop_reason) == ("kept", "cancelled")
        assert list(journal.read(run.directory))[-1].type == "run_finished"

    async def test_cancelling_the_coroutine_ends_the_run_and_its_kernel(self) -> None:
        started = asyncio.Event()

        async def sub(messages: Any) -> str:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

        task = asyncio.create_task(RLM(ScriptedModel([cell("llm_query('x')")]), sub_model=sub).acompletion("q", "c"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_many_runs_at_once_stay_apart(self) -> None:
        async def one(i: int) -> object:
            completion = await RLM(ScriptedModel([done("llm_query(context)")]), sub_model=shout).acompletion(
                "q", f"c{i}"
            )
            return completion.answer

        assert await asyncio.gather(*map(one, range(8))) == [f"C{i}" for i in range(8)]

    async def test_concurrency_is_bounded_over_the_whole_tree(self) -> None:
        now = peak = 0

        async def sub(messages: Any) -> str:
            nonlocal now, peak
            now += 1
            peak = max(peak, now)
            await asyncio.sleep(0.01)
            now -= 1
            return "x"

        root = ScriptedModel([done("len(llm_query_batched([f'x{i}' for i in range(40)]))")])
        completion = await RLM(root, sub_model=sub, max_concurrency=5).acompletion("q", context="c")
        assert completion.answer == 40
        assert peak == 5


def test_a_scripted_root_hears_messages_as_values() -> None:
    root = ScriptedModel([done("1")])
    RLM(root).completion("q", context="c")
    assert all(isinstance(message, Message) for message in root.requests[0])
