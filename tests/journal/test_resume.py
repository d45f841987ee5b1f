"""A run goes on where it ended, and nothing that was paid for is paid again: scripted models, real kernels."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import rlm_kernel
from rlm_kernel import RLM, ModelError, OptionError, RLMError, ScriptedModel
from rlm_kernel.errors import ContextError
from rlm_kernel.events import types as events
from rlm_kernel.events.tree import fold
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply
from rlm_kernel.journal import SavedRun, find, read
from tests.host.script import cell, done, heard
from tests.journal.vocabulary import told


def reply(text: str, tokens: int = 10) -> Reply:
    """A reply whose usage is known."""
    return Reply(text, Usage.of_call(tokens, tokens))


class Counting(ScriptedModel):
    """Answers each prompt by its upper case; counts them; raises at those it is told."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        super().__init__(self._answer, name="sub")

    def _answer(self, messages: list[dict[str, str]]) -> Reply:
        prompt = messages[-1]["content"]
        if prompt in self.failing:
            raise ModelError("the network is down")
        return reply(prompt.upper())

    @property
    def prompts(self) -> list[str]:
        """What was asked."""
        return [request[-1].content for request in self.requests]


BATCH = cell("parts = llm_query_batched([f'part {n}' for n in range(4)])\nprint(parts)")
LAST = done("' '.join(parts)")
DOWN = ModelError("the network is down")
ANSWER = "PART 0 PART 1 PART 2 PART 3"


async def stopped(*script: Any, sub: ScriptedModel | None = None, context: Any = "the input", **options: Any) -> str:
    """Run a script until its root model fails; return the run's id."""
    rlm = RLM(ScriptedModel([*script, DOWN]), sub_model=sub or Counting(), **options)
    with pytest.raises(ModelError):
        await rlm.acompletion("a question", context)
    assert rlm.last is not None
    return rlm.last.id


async def test_after_a_failure_only_what_was_not_paid_for_is_asked() -> None:
    run = await stopped(reply(BATCH))
    root, sub = ScriptedModel([reply(LAST)]), Counting()
    completion = await rlm_kernel.resume(run, model=root, sub_model=sub)
    assert (completion.answer, completion.stop_reason) == (ANSWER, "answered")
    assert len(root.requests) == 1
    assert "PART 3" in heard(root)
    assert sub.prompts == []
    assert completion.run_dir.name == run
    assert completion.usage == Usage(calls=6, input_tokens=60, output_tokens=60, unpriced=6)


async def test_the_journal_then_tells_the_same_as_that_of_an_undisturbed_run() -> None:
    run = await stopped(reply(BATCH))
    resumed = await rlm_kernel.resume(run, model=ScriptedModel([reply(LAST)]), sub_model=Counting())
    whole = await RLM(ScriptedModel([reply(BATCH), reply(LAST)]), sub_model=Counting()).acompletion(
        "a question", "the input"
    )
    assert told(resumed.tree) == told(whole.tree)
    assert told(fold(read(resumed.run_dir))) == told(whole.tree)
    assert resumed.tree.attempts == 2
    assert [call.recorded for call in resumed.tree.root.calls] == [True] * 4


async def test_it_can_be_resumed_as_often_as_it_fails() -> None:
    sub = Counting()
    run = await stopped(reply(BATCH))
    for _ in range(3):
        with pytest.raises(ModelError):
            await rlm_kernel.resume(run, model=ScriptedModel([DOWN]), sub_model=sub)
    with pytest.raises(ModelError):
        await rlm_kernel.resume(
            run, model=ScriptedModel([reply(cell("more = llm_query('more')")), DOWN]), sub_model=sub
        )
    completion = await rlm_kernel.resume(run, model=ScriptedModel([reply(done("more"))]), sub_model=sub)
    assert completion.answer == "MORE"
    assert sub.prompts == ["more"]
    assert completion.usage.calls == 1 + 4 + 1 + 1 + 1


async def test_a_resumed_run_that_was_answered_costs_nothing() -> None:
    first = await RLM(ScriptedModel([reply(BATCH), reply(LAST)]), sub_model=Counting()).acompletion("q", "c")
    root, sub = ScriptedModel([]), Counting()
    again = await rlm_kernel.resume(first.run_dir, model=root, sub_model=sub)
    assert (again.answer, again.usage) == (first.answer, first.usage)
    assert root.requests == sub.requests == []


async def test_calls_are_found_by_what_they_ask_in_whatever_order_they_come() -> None:
    code = (
        "import random\nfrom concurrent.futures import ThreadPoolExecutor\nprompts = [f'p{n}' for n in range(20)]\n"
        "random.shuffle(prompts)\n"
        "with ThreadPoolExecutor(8) as pool: found = dict(zip(prompts, pool.map(llm_query, prompts)))"
    )
    run = await stopped(reply(cell(code)))
    sub = Counting()
    ending = done("[found[f'p{n}'] for n in range(20)]")
    completion = await rlm_kernel.resume(run, model=ScriptedModel([reply(ending)]), sub_model=sub)
    assert completion.answer == [f"P{n}" for n in range(20)]
    assert sub.prompts == []


async def test_the_same_prompt_asked_again_on_purpose_has_an_answer_each_time() -> None:
    numbers = iter(range(100))
    sub = ScriptedModel(lambda messages: reply(f"sample {next(numbers)}"))
    code = "samples = [llm_query('a sample', cache=False) for _ in range(3)]"
    run = await stopped(reply(cell(code)), sub=sub)
    silent = ScriptedModel([])
    completion = await rlm_kernel.resume(run, model=ScriptedModel([reply(done("samples"))]), sub_model=silent)
    assert completion.answer == ["sample 0", "sample 1", "sample 2"]


async def test_a_call_that_had_failed_is_asked_again() -> None:
    sub = Counting("part 2")
    run = await stopped(reply(BATCH), sub=sub)
    better = Counting()
    root = ScriptedModel([reply(LAST)])
    completion = await rlm_kernel.resume(run, model=root, sub_model=better)
    assert better.prompts == ["part 2"]
    assert completion.answer == ANSWER


async def test_a_limit_that_ended_it_is_raised_and_it_goes_on() -> None:
    sub = Counting()
    root = ScriptedModel([reply(cell("for n in range(10): print(llm_query(f'call {n}'))"))])
    first = await RLM(root, sub_model=sub, max_calls=4).acompletion("q", "c")
    assert first.stop_reason == "max_calls"
    with pytest.raises(OptionError, match=r"ended by max_calls=4\. Raise it"):
        rlm_kernel.resume(first.run_dir, model=root, sub_model=sub)
    root = ScriptedModel([reply(done("'all'"))])
    second = await rlm_kernel.resume(first.run_dir, model=root, sub_model=sub, max_calls=20)
    assert (second.answer, second.stop_reason) == ("all", "answered")
    assert sorted(sub.prompts) == [f"call {n}" for n in range(10)]
    assert "CALL 9" in heard(root)


async def test_more_turns_are_taken_when_there_are_more() -> None:
    root = ScriptedModel([reply(cell("x = 1")), reply("I would say 7.")])
    first = await RLM(root, max_iterations=1).acompletion("q", "c")
    assert (first.stop_reason, first.text) == ("max_iterations", "I would say 7.")
    root = ScriptedModel([reply(done("x + 1"))])
    second = await rlm_kernel.resume(first.run_dir, model=root, max_iterations=5)
    assert (second.answer, len(root.requests)) == (2, 1)


async def test_a_child_that_had_ended_is_not_run_again_and_is_in_the_tree() -> None:
    child = ScriptedModel([reply(cell("found = llm_query('deep')\nprint(found)")), reply(done("found + context"))])
    sub = Counting()
    run = await stopped(reply(cell("answers = rlm_query_batched(['one'])")), sub=sub, child_model=child, max_depth=2)
    idle, root = ScriptedModel([]), ScriptedModel([reply(done("answers"))])
    completion = await rlm_kernel.resume(run, model=root, sub_model=idle, child_model=idle)
    assert completion.answer == ["DEEPone"]
    assert idle.requests == []
    (call,) = completion.tree.root.calls
    assert [len(turn.cells) for turn in call.iterations] == [1, 1]
    assert [node.id for node in call.walk()] == ["0.1", "0.1.1"]
    assert completion.tree.root.subtree_usage == completion.usage


async def test_the_calls_of_a_child_that_is_not_run_again_still_count() -> None:
    child = ScriptedModel([reply(cell("for n in range(3): llm_query(f'deep {n}')")), reply(done("0"))])
    run = await stopped(reply(cell("found = rlm_query('one')")), child_model=child, max_depth=2, max_calls=6)
    root = ScriptedModel([reply(cell("for n in range(5): llm_query(f'more {n}')")), reply(done("1"))])
    idle, sub = ScriptedModel([]), Counting()
    completion = await rlm_kernel.resume(run, model=root, sub_model=sub, child_model=idle)
    assert (completion.stop_reason, len(sub.prompts)) == ("max_calls", 2)


async def test_a_child_that_had_not_ended_goes_on_where_it_was() -> None:
    first_turn = reply(cell("found = llm_query('deep')\nprint(found)"))
    run = await stopped(
        reply(cell("answers = rlm_query_batched(['one'])\nprint(answers)")),
        child_model=ScriptedModel([first_turn, DOWN]),
        max_depth=2,
    )
    sub, child = Counting(), ScriptedModel([reply(done("found"))])
    root = ScriptedModel([reply(done("answers"))])
    completion = await rlm_kernel.resume(run, model=root, sub_model=sub, child_model=child)
    assert completion.answer == ["DEEP"]
    assert sub.prompts == []
    assert len(child.requests) == 1


async def test_tools_are_not_called_again() -> None:
    asked: list[str] = []

    def search(words: str) -> list[str]:
        asked.append(words)
        return [f"{words} {len(asked)}"]

    run = await stopped(reply(cell("hits = search('volcano')")), tools={"search": search})
    with pytest.raises(OptionError, match="pass tools= again"):
        rlm_kernel.resume(run, model=ScriptedModel([]), sub_model=Counting())
    root = ScriptedModel([reply(done("hits + search('lava')"))])
    completion = await rlm_kernel.resume(run, model=root, sub_model=Counting(), tools={"search": search})
    assert completion.answer == ["volcano 1", "lava 2"]
    assert asked == ["volcano", "lava"]


class TestDivergence:
    async def test_other_words_are_shown_and_the_replies_still_serve(self) -> None:
        run = await stopped(reply(cell("import time\nprint('it is', time.time())")), reply(cell("x = 5")))
        root = ScriptedModel([reply(done("x"))])
        completion = await rlm_kernel.resume(run, model=root, sub_model=Counting())
        assert (completion.answer, len(root.requests)) == (5, 1)
        (note,) = completion.tree.root.notes
        assert note.startswith("Cell 1 printed 'it is ")
        assert "in the journal 'it is " in note

    async def test_other_calls_let_the_model_be_asked_again_from_there(self) -> None:
        code = "import uuid\nname = llm_query(f'call {uuid.uuid4()}')\nprint(name)"
        run = await stopped(reply(cell(code)), reply(cell("stale = True")))
        root, sub = ScriptedModel([reply(done("'stale' in dir()"))]), Counting()
        completion = await rlm_kernel.resume(run, model=root, sub_model=sub)
        assert (completion.answer, len(sub.prompts), len(root.requests)) == (False, 1, 1)
        assert "Cell 1 asks for what is not in the journal." in completion.tree.root.notes
        diverged = [event for event in read(completion.run_dir) if isinstance(event, events.Diverged)]
        assert [(event.node, event.cell) for event in diverged] == [("0", 1)]

    async def test_another_end_of_a_cell_does_so_too(self) -> None:
        code = "assert not broken('x')"
        told_to: list[bool] = [False, True]

        def broken(_: str) -> bool:
            return told_to.pop(0)

        run = await stopped(reply(cell(code)), reply(cell("stale = True")), tools={"broken": broken})
        # a tool's result is served, so the cell is made to fail by what the journal does not have
        root = ScriptedModel([reply(done("'stale' in dir()"))])
        changed = {"setup_code": "def broken(x): return True"}
        completion = await rlm_kernel.resume(run, model=root, sub_model=Counting(), tools={}, **changed)
        assert completion.answer is False
        assert "Cell 1 ended with 'error'; in the journal with 'ok'." in completion.tree.root.notes


class TestWhatIsMissing:
    async def test_functions_have_to_be_passed_again(self) -> None:
        run = await stopped(reply(BATCH))
        with pytest.raises(
            OptionError, match=r"pass model=, sub_model= again \(model was 'scripted'; sub_model was 'sub'"
        ):
            rlm_kernel.resume(run)

    @pytest.mark.parametrize("context", [["a", {"b": 1}], {"x": "y"}, b"bytes", "text \ud800"])
    async def test_the_input_is_in_the_journal(self, context: Any) -> None:
        run = await stopped(reply(cell("first = repr(context)")), context=context)
        root = ScriptedModel([reply(done("first == repr(context) and first"))])
        completion = await rlm_kernel.resume(run, model=root, sub_model=Counting())
        assert completion.answer == (repr(context.decode()) if isinstance(context, bytes) else repr(context))

    async def test_a_file_is_used_where_it_is_unless_it_has_changed(self, tmp_path: Any) -> None:
        file = tmp_path / "book.txt"
        file.write_text("once")
        run = await stopped(reply(cell("x = 1")), context=file)
        assert not (find(run).directory / "inputs").exists()
        file.write_text("twice as long")
        with pytest.raises(ContextError, match="has changed since the run began"):
            rlm_kernel.resume(run, model=ScriptedModel([]), sub_model=Counting())
        root = ScriptedModel([reply(done("context"))])
        completion = await rlm_kernel.resume(run, file, model=root, sub_model=Counting())
        assert completion.answer == "twice as long"

    async def test_an_input_that_is_gone_is_asked_for(self) -> None:
        run = await stopped(reply(cell("x = 1")))
        for file in (find(run).directory / "inputs").iterdir():
            file.unlink()
        with pytest.raises(ContextError, match=r"missing or damaged\. Pass context="):
            rlm_kernel.resume(run, model=ScriptedModel([]), sub_model=Counting())

    async def test_an_input_with_a_secret_in_it_is_not_kept(self) -> None:
        options = {"tools": {"key": rlm_kernel.Secret("K", "sk-planted-secret")}}
        run = await stopped(reply(cell("x = 1")), context="the key is sk-planted-secret", **options)
        saved = find(run)
        assert not any(
            b"sk-planted-secret" in file.read_bytes() for file in saved.directory.rglob("*") if file.is_file()
        )
        with pytest.raises(ContextError, match="Pass context="):
            rlm_kernel.resume(run, model=ScriptedModel([]), sub_model=Counting(), **options)

    async def test_a_blob_that_is_gone_is_named(self) -> None:
        run = await stopped(reply(cell(f"x = {'y' * 5000!r}")))
        for blob in (find(run).directory / "blobs").iterdir():
            blob.unlink()
        assert "is not there any more" in str(list(find(run).events()))
        with pytest.raises(RLMError, match=r"line \d+ is damaged: blobs/\w+… is missing"):
            rlm_kernel.resume(run, model=ScriptedModel([]), sub_model=Counting())

    @pytest.mark.parametrize("content", ["", "[]", "{"])
    async def test_a_damaged_description_is_made_again(self, content: str) -> None:
        run = find(await stopped(reply(BATCH)))
        (run.directory / "run.json").write_text(content)
        assert SavedRun(run.directory).question == "a question"
        completion = await rlm_kernel.resume(run, model=ScriptedModel([reply(LAST)]), sub_model=Counting())
        assert completion.answer == ANSWER

    async def test_a_conversations_second_run_cannot_be_resumed(self) -> None:
        async with RLM(ScriptedModel([reply(done("1")), reply(done("2"))])) as rlm:
            first = await rlm.acompletion("a", "c")
            second = await rlm.acompletion("b")
        assert (await rlm_kernel.resume(first.run_dir, model=ScriptedModel([]))).answer == 1
        with pytest.raises(RLMError, match="has the REPL of a conversation, which is gone"):
            rlm_kernel.resume(second.run_dir, model=ScriptedModel([]))


async def test_a_run_that_was_cancelled_goes_on() -> None:
    waiting = asyncio.Event()

    async def slow(messages: list[dict[str, str]]) -> Any:
        if messages[-1]["content"] == "part 3":
            waiting.set()
            await asyncio.sleep(60)
        return reply(messages[-1]["content"].upper())

    rlm = RLM(ScriptedModel([reply(BATCH)]), sub_model=slow)
    run = rlm.stream("a question", "the input")
    task = asyncio.create_task(run.complete())
    await waiting.wait()
    await asyncio.sleep(0.05)
    run.cancel()
    assert (await task).stop_reason == "cancelled"
    sub = Counting()
    completion = await rlm_kernel.resume(run.id, model=ScriptedModel([reply(LAST)]), sub_model=sub)
    assert (completion.answer, sub.prompts) == (ANSWER, ["part 3"])


async def test_two_cannot_resume_one_run_at_once() -> None:
    run = await stopped(reply(BATCH))
    first = rlm_kernel.resume(run, model=ScriptedModel([reply(LAST)]), sub_model=Counting())
    with pytest.raises(RLMError, match="is being written by another process"):
        rlm_kernel.resume(run, model=ScriptedModel([]), sub_model=Counting())
    assert SavedRun(find(run).directory).is_live
    assert (await first).answer == ANSWER
    assert not SavedRun(find(run).directory).is_live


async def test_a_resumed_runs_events_begin_with_those_of_before() -> None:
    run = await stopped(reply(BATCH))
    before = list(read(find(run).directory))
    resumed = rlm_kernel.resume(run, model=ScriptedModel([reply(LAST)]), sub_model=Counting())
    stream = [event async for event in resumed]
    kept = [event for event in stream if not isinstance(event, events.TextDelta)]
    assert kept[: len(before)] == before
    assert kept == list(read(find(run).directory))
    assert [event.seq for event in stream if event.type != "text_delta"] == sorted(event.seq for event in kept)


async def test_the_sync_face() -> None:
    run = await stopped(reply(BATCH))
    completion = await asyncio.to_thread(RLM.resume, run, model=ScriptedModel([reply(LAST)]), sub_model=Counting())
    assert completion.answer == ANSWER
