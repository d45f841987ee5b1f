"""Whatever has become of a run, its replay shows the same: scripted models, real kernels."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import rlm_kernel
from rlm_kernel import RLM, ModelError, OptionError, RLMError, Run, ScriptedModel
from rlm_kernel.events.tree import fold
from rlm_kernel.events.types import Event
from rlm_kernel.imports import read_all
from rlm_kernel.journal import Journal, SavedRun, read
from tests.host.script import cell, done
from tests.journal.test_resume import BATCH, LAST, Counting, reply, stopped
from tests.journal.vocabulary import replayed

LOGS = sorted(Path(__file__).parents[1].glob("imports/**/*.jsonl"))
CHILD = [reply(cell("found = llm_query(context)\nprint(found)")), reply(done("found"))]
KIDS = cell("kids = rlm_query_batched([f'task {n}' for n in range(2)])")


async def shown(run: str | Path, fails: str = "", **changes: Any) -> Run:
    """Replay a run to its end, whichever it is, and compare what it shows with the journal."""
    saved = SavedRun(run)
    again = rlm_kernel.replay(saved, **changes)
    heard: list[Event] = []
    failed = ""
    try:
        async for event in again:
            heard += [event]
    except RLMError as error:
        failed = str(error)
    assert fails in failed
    before = list(saved.events())
    assert [type(event) for event in heard] == [type(event) for event in before]
    assert again.completion is not None
    assert replayed(again.completion.tree) == replayed(fold(before))
    assert list(saved.events()) == before
    return again


async def of(rlm: RLM, question: str = "q", context: Any = "c") -> Path:
    """Run to the end, whichever it is; return the run's folder."""
    with contextlib.suppress(RLMError):
        await rlm.acompletion(question, context)
    assert rlm.last is not None
    return rlm.last.directory


class TestRunsThatWereEndedFromOutside:
    @pytest.mark.parametrize("code", ["while True: pass", "print('begun')\nllm_query('slow')", KIDS])
    async def test_by_time(self, code: str) -> None:
        async def slow(messages: Any) -> Any:
            await asyncio.sleep(30)

        root = ScriptedModel([reply(BATCH), reply(code if code == KIDS else cell(code))])
        child = ScriptedModel([reply(cell("llm_query('slow')"))] * 2)
        fast = Counting()

        async def sub(messages: Any) -> Any:
            return await slow(messages) if messages[-1]["content"] == "slow" else fast._answer(messages)

        rlm = RLM(root, sub_model=ScriptedModel(sub, name="sub"), child_model=child, max_depth=2, max_seconds=4)
        run = await of(rlm)
        again = await shown(run)
        assert again.completion.stop_reason == "max_seconds"
        assert again.completion.usage == rlm.last.completion.usage

    async def test_by_a_cancel_in_a_cell_and_in_a_request(self) -> None:
        for root in (
            ScriptedModel([reply(BATCH), reply(cell("import time\ntime.sleep(60)"))]),
            _Slow([reply(BATCH)]),
        ):
            run = RLM(root, sub_model=Counting()).stream("q", "c")
            task = asyncio.create_task(run.complete())
            while len(root.requests) < 2:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            run.cancel()
            await task
            again = await shown(run.directory)
            assert again.completion.stop_reason == "cancelled"

    async def test_by_a_failure_of_the_root_model_with_the_same_words(self) -> None:
        run = await stopped(reply(BATCH))
        await shown(SavedRun(rlm_kernel.runs()[0].directory).directory)
        with pytest.raises(RLMError, match="^the network is down$"):
            await rlm_kernel.replay(run)

    async def test_before_they_had_an_input(self, tmp_path: Path) -> None:
        (tmp_path / "data.json").write_text("{")
        run = await of(RLM(ScriptedModel([])), context=tmp_path / "data.json")
        assert SavedRun(run).state == "error"
        await shown(run)

    async def test_before_their_input_was_changed(self, tmp_path: Path) -> None:
        file = tmp_path / "book.txt"
        file.write_text("a book")
        run = await of(RLM(ScriptedModel([reply(done("context"))])), context=file)
        file.write_text("another book")
        with pytest.warns(match="is shown, and its cells do not run: The input .* has changed since the run began"):
            again = await shown(run)
        assert again.completion.answer == "a book"

    async def test_by_a_crash_at_any_event(self, tmp_path: Path) -> None:
        root = ScriptedModel([reply(BATCH), reply(KIDS), reply(cell("n = add(1, 2)\nprint(n)")), reply(done("n"))])
        child = ScriptedModel(CHILD * 2)
        rlm = RLM(root, sub_model=Counting(), child_model=child, max_depth=2, tools={"add": lambda a, b: a + b})
        run = await of(rlm)
        lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
        for number in range(1, len(lines), 4):
            crashed = tmp_path / str(number)
            shutil.copytree(run, crashed)
            (crashed / "events.jsonl").write_bytes(b"".join(lines[:number]))
            await shown(crashed)
            with pytest.raises(ModelError, match=r"ends here: its host was killed.*`resume` goes on with it"):
                await rlm_kernel.replay(crashed)


class _Slow(ScriptedModel):
    """Replies as scripted, then never."""

    async def complete(self, messages: Sequence[Any], on_text: Any = None, *, max_tokens: int | None = None) -> Any:
        if not self._replies:
            self.requests.append(list(messages))
            await asyncio.sleep(60)
        return await super().complete(messages, on_text, max_tokens=max_tokens)


class TestRunsWithMoreThanOneAttempt:
    async def test_resumed(self) -> None:
        run = await stopped(reply(BATCH), reply(cell("more = llm_query('more')\nprint(more)")))
        models = {"model": ScriptedModel([reply(cell("x = 1")), reply(LAST)]), "sub_model": Counting()}
        completion = await rlm_kernel.resume(run, **models)
        again = await shown(completion.run_dir)
        assert again.completion.tree.attempts == 2
        assert again.completion.answer == completion.answer

    async def test_resumed_with_children_that_had_ended(self) -> None:
        child = ScriptedModel(CHILD * 2)
        run = await stopped(reply(KIDS), child_model=child, max_depth=2)
        models = {"model": ScriptedModel([reply(done("kids"))]), "sub_model": Counting(), "child_model": child}
        completion = await rlm_kernel.resume(run, **models)
        await shown(completion.run_dir)

    async def test_forked(self) -> None:
        root = ScriptedModel([reply(BATCH), reply(cell("x = llm_query('x')")), reply(LAST)])
        first = await RLM(root, sub_model=Counting()).acompletion("q", "c")
        models = {"model": ScriptedModel([reply(done("parts"))]), "sub_model": Counting()}
        fork = await rlm_kernel.fork(first.run_dir, 1, **models)
        again = await shown(fork.run_dir)
        assert again.completion.tree.forked_from == first.run_dir.name

    async def test_that_went_on_with_a_raised_limit(self) -> None:
        root = ScriptedModel([reply(cell("x = 1")), reply(cell("x += 1")), reply("It is 2."), reply(done("x"))])
        async with RLM(root, max_iterations=2) as rlm:
            first = await rlm.acompletion("q", "c")
            assert first.stop_reason == "max_iterations"
            completion = await rlm.ago_on(max_iterations=5)
        assert completion.answer == 2
        again = await shown(completion.run_dir)
        assert (again.completion.answer, again.completion.stop_reason) == (2, "answered")


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.name)
@pytest.mark.filterwarnings("ignore:.*is shown, and its cells do not run. The journal does not hold the input")
async def test_imported_runs(log: Path, tmp_path: Path) -> None:
    runs = list(read_all(log))
    assert runs
    for number, events in enumerate(runs):
        journal = Journal(tmp_path / str(number))
        journal.open()
        for event in events:
            journal(event)
        journal.close()
        await shown(journal.run_dir)


async def test_what_had_options_that_are_not_here() -> None:
    run = await of(RLM(ScriptedModel([reply(done("1"))])))
    file = run / "events.jsonl"
    first, rest = file.read_text().split("\n", 1)
    what = json.loads(first)
    what["options"]["sandbox"] = "theirs"
    file.write_text(f"{json.dumps(what)}\n{rest}")
    with pytest.warns(match="is shown, and its cells do not run: .*theirs"):
        await shown(run)
    with pytest.raises(OptionError):
        rlm_kernel.replay(run, max_depth=0)


class TestConversations:
    async def test_a_later_run_has_the_repl_of_the_earlier_ones(self) -> None:
        script = [
            reply(cell("first = llm_query(context)")),
            reply(done("first")),
            reply(cell("second = llm_query(context_1 + context)\nprint(len(history))")),
            reply(done("first + second")),
            reply(done("len(first + second)")),
        ]
        async with RLM(ScriptedModel(script), sub_model=Counting()) as rlm:
            one = await rlm.acompletion("one?", "a")
            await rlm.aadd_context("b")
            two = await rlm.acompletion("two?", "c")
            three = await rlm.acompletion("three?")
        assert (one.answer, two.answer, three.answer) == ("A", "ABC", 3)
        for completion in (one, two, three):
            again = await shown(completion.run_dir)
            assert again.completion.answer == completion.answer

    async def test_after_one_that_had_failed(self) -> None:
        script = [reply(cell("x = 5")), ModelError("the network is down"), reply(done("x"))]
        async with RLM(ScriptedModel(script)) as rlm:
            with pytest.raises(ModelError):
                await rlm.acompletion("one?", "a")
            two = await rlm.acompletion("two?")
        assert (await shown(two.run_dir)).completion.answer == 5

    async def test_whose_earlier_run_is_gone(self) -> None:
        async with RLM(ScriptedModel([reply(done("1")), reply(done("2"))])) as rlm:
            one = await rlm.acompletion("one?", "a")
            two = await rlm.acompletion("two?")
        shutil.rmtree(one.run_dir)
        with pytest.warns(match=f"do not run: It went on in the REPL of {one.run_dir.name}, whose cells have to run "):
            again = await shown(two.run_dir)
        assert again.completion.answer == 2

    async def test_whose_earlier_run_does_otherwise(self) -> None:
        root = ScriptedModel(
            [reply(cell("import uuid\nx = llm_query(str(uuid.uuid4()))")), reply(done("1")), reply(done("2"))]
        )
        async with RLM(root, sub_model=Counting()) as rlm:
            await rlm.acompletion("one?", "a")
            two = await rlm.acompletion("two?")
        await shown(two.run_dir, fails="Cell 1 asks for what is not in the journal")


class TestCellsThatDoNotDoTheSame:
    @pytest.mark.filterwarnings("always")
    async def test_what_was_printed_is_shown_and_that_it_is_other_now_is_said(self) -> None:
        root = ScriptedModel([reply(cell("import uuid\nprint(uuid.uuid4())")), reply(done("1"))])
        run = await of(RLM(root))
        with pytest.warns(UserWarning, match=r"Cell 1 printed .* in the journal .* What is shown is the journal's\."):
            await shown(run)

    @pytest.mark.parametrize(
        ("code", "fails"),
        [
            ("x = llm_query(str(uuid.uuid4()))", "asks no model. Cell 1 asks for what is not in the journal."),
            ("x = str(uuid.uuid4())", "in the journal it is"),
        ],
    )
    async def test_what_cells_do_otherwise_is_an_error_and_the_tree_is_the_journals(
        self, code: str, fails: str
    ) -> None:
        root = ScriptedModel([reply(cell(f"import uuid\n{code}")), reply(BATCH), reply(done("globals().get('x', 1)"))])
        run = await of(RLM(root, sub_model=Counting()))
        await shown(run, fails)

    async def test_random_draws_are_the_same_in_a_node_and_others_in_its_children(self) -> None:
        draw = "import random\nx = random.random()\nprint(llm_query(str(x)))"
        root = ScriptedModel(
            [reply(cell(f"{draw}\nkids = rlm_query_batched(['a', 'a'], cache=False)")), reply(done("x"))]
        )
        child = ScriptedModel(
            lambda messages: reply(done("random.random()").replace("answer", "import random\nanswer", 1))
        )
        completion = await RLM(root, sub_model=Counting(), child_model=child, max_depth=2).acompletion("q", "c")
        kids = [call.text for call in completion.tree.root.calls if call.kind == "rlm"]
        assert len({completion.text, *kids}) == 3
        assert (await shown(completion.run_dir)).completion.answer == completion.answer
        models = {
            "model": ScriptedModel([reply(cell(draw)), reply(done("x"))]),
            "sub_model": Counting(),
            "child_model": child,
        }
        other = await rlm_kernel.fork(completion.run_dir, 0, **models)
        assert other.answer == completion.answer

    async def test_a_call_that_the_code_had_given_up_is_given_up_again(self) -> None:
        async def never(messages: Any) -> Any:
            await asyncio.sleep(60)

        code = (
            "import asyncio\ntry:\n    await asyncio.wait_for(allm_query('slow'), 0.5)\n"
            "except TimeoutError:\n    print('late')"
        )
        root = ScriptedModel([reply(cell(code)), reply(done("1"))])
        run = await of(RLM(root, sub_model=ScriptedModel(never, name="sub")))
        again = await shown(run)
        assert again.completion.tree.root.calls[0].state == "cancelled"


async def test_a_replay_that_is_cancelled_shows_how_far_it_came() -> None:
    root = ScriptedModel([reply(BATCH), reply(cell("import time\ntime.sleep(2)")), reply(LAST)])
    run = await of(RLM(root, sub_model=Counting()))
    again = rlm_kernel.replay(run)
    heard: list[Event] = []
    async for event in again:
        heard.append(event)
        if event.type == "cell_finished":
            again.cancel()
    assert again.completion is not None
    assert again.completion.stop_reason == "cancelled"
    assert len(heard) < len(list(read(run)))
