"""A run is done again with no model at all, and forked: scripted models, real kernels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rlm_kernel
from rlm_kernel import RLM, ModelError, OptionError, RLMError, ScriptedModel
from rlm_kernel.events.tree import fold
from rlm_kernel.journal import Journal, SavedRun, find, read
from tests.host.script import cell, done
from tests.journal.test_resume import ANSWER, BATCH, LAST, Counting, reply, stopped
from tests.journal.vocabulary import replayed


async def replayed_the_same(**options: Any) -> None:
    """Run with options, replay, and compare the trees."""
    completion = await RLM(**options).acompletion("a question", options.pop("context", "the input"))
    before = list(read(completion.run_dir))
    again = await rlm_kernel.replay(completion.run_dir)
    assert replayed(again.tree) == replayed(fold(before))
    assert (again.answer, again.stop_reason, again.usage) == (
        completion.answer,
        completion.stop_reason,
        completion.usage,
    )
    assert list(read(completion.run_dir)) == before


class TestTheSameTree:
    async def test_of_calls_and_an_answer(self) -> None:
        await replayed_the_same(model=ScriptedModel([reply(BATCH), reply(LAST)]), sub_model=Counting())

    async def test_of_failures(self) -> None:
        root = ScriptedModel([reply(BATCH), reply(cell("1 / 0")), reply("No cell."), reply(done("parts[0]"))])
        await replayed_the_same(model=root, sub_model=Counting("part 2"))

    async def test_of_children(self) -> None:
        child = ScriptedModel([reply(cell("found = llm_query(context)\nprint(found)")), reply(done("found"))] * 3)
        root = ScriptedModel([reply(cell("kids = [rlm_query(f'task {n}') for n in range(3)]")), reply(done("kids"))])
        await replayed_the_same(model=root, child_model=child, sub_model=Counting(), max_depth=2)

    async def test_of_a_run_that_calls_had_ended(self) -> None:
        root = ScriptedModel([reply(cell("for n in range(10): llm_query(f'call {n}')"))])
        await replayed_the_same(model=root, sub_model=Counting(), max_calls=3)

    async def test_of_a_run_that_tokens_had_ended(self) -> None:
        root = ScriptedModel(lambda messages: reply(cell("print(llm_query('x' * 100))"), 300))
        await replayed_the_same(model=root, sub_model=Counting(), max_tokens=1500, max_repeats=None)

    async def test_of_last_words(self) -> None:
        root = ScriptedModel([reply(cell("x = 1")), reply(cell("x += 1")), reply("It is 2.")])
        await replayed_the_same(model=root, max_iterations=2)

    async def test_of_a_reply_that_was_cut_off(self) -> None:
        from rlm_kernel.events.values import Usage
        from rlm_kernel.host.providers import Reply

        cut = Reply("```repl\nx = 1", Usage.of_call(1, 1), finish="length")
        await replayed_the_same(model=ScriptedModel([cut, reply(done("'x' in dir()"))]))

    async def test_of_tools_hooks_and_a_type(self) -> None:
        root = ScriptedModel([reply(cell("n = add(1, 2)\nprint(llm_query('a'))")), reply(done("n"))])
        await replayed_the_same(
            model=root,
            sub_model=Counting(),
            tools={"add": lambda a, b: a + b},
            before_call=lambda call: True,
            answer_type=int,
        )

    async def test_of_compaction(self) -> None:
        root = ScriptedModel(
            [reply(cell("x = 1"), 400), reply("A summary."), reply(cell("x += 1"), 100), reply(done("x"), 100)]
        )
        await replayed_the_same(model=root, compaction=0.5, context_window=1000)


async def test_a_replay_needs_no_model_no_key_and_no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    run = find(await stopped(reply(cell("n = add(1, 2)")), tools={"add": lambda a, b: a + b}))
    lines = run.directory.joinpath("events.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    first["options"] |= {"model": "openai/gpt-5-mini", "not_saved": ["tools"]}
    run.directory.joinpath("events.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    with pytest.raises(RLMError, match="^the network is down$"):
        await rlm_kernel.replay(run)


async def test_code_of_the_caller_is_there_again_and_values_have_to_be_passed() -> None:
    tools = {
        "limit": 3,
        "table": {"tool": {"a": [1]}, "description": "a table"},
        "words": rlm_kernel.Source("def words(text): return text.split()"),
        "token": rlm_kernel.Secret("TOKEN", "sk-planted-token"),
        "fetch": lambda token: "fetched",
    }
    root = ScriptedModel([reply(cell("found = fetch(token)")), reply(done("[limit, table, words('a b'), found]"))])
    first = await RLM(root, tools=tools).acompletion("q", "c")
    assert first.answer == [3, {"a": [1]}, ["a", "b"], "fetched"]
    with pytest.warns(match=r"cells do not run: .* not hold values of tools\. Pass tools= again \(limit, table\)"):
        shown = rlm_kernel.replay(first.run_dir)
    assert replayed((await shown).tree) == replayed(first.tree)
    assert (await rlm_kernel.replay(first.run_dir, tools=tools)).answer == first.answer
    with pytest.raises(OptionError, match=r"tools was limit, table, token, fetch\)"):
        rlm_kernel.resume(first.run_dir)


async def test_code_functions_and_secrets_need_not_be_passed_to_a_replay() -> None:
    tools = {
        "words": rlm_kernel.Source("def words(text): return text.split()"),
        "token": rlm_kernel.Secret("TOKEN", "sk-planted-token"),
        "fetch": lambda token: "fetched",
    }
    root = ScriptedModel([reply(cell("found = fetch(token)")), reply(done("[words('a b'), found]"))])
    first = await RLM(root, tools=tools).acompletion("q", "c")
    assert (await rlm_kernel.replay(first.run_dir)).answer == first.answer == [["a", "b"], "fetched"]


async def test_a_journals_script_answers_as_its_models_did() -> None:
    completion = await RLM(ScriptedModel([reply(BATCH), reply(LAST)]), sub_model=Counting()).acompletion(
        "How many parts?", "c"
    )
    model = ScriptedModel.from_journal(completion.run_dir)
    again = await RLM(model, sub_model=model).acompletion("How many parts?", "c")
    assert again.answer == ANSWER
    assert [call.text for call in again.tree.root.calls] == [call.text for call in completion.tree.root.calls]
    with pytest.raises(ModelError, match="not in the journal"):
        await RLM(model, sub_model=model).acompletion("Something else?", "c")


class TestFork:
    async def test_goes_on_from_a_turn_with_another_model(self) -> None:
        sub = Counting()
        root = ScriptedModel([reply(BATCH), reply(cell("extra = llm_query('extra')")), reply(LAST)])
        first = await RLM(root, sub_model=sub).acompletion("q", "c")
        before = list(read(first.run_dir))
        other, others = ScriptedModel([reply(done("parts[1]"))], name="other"), Counting()
        second = await rlm_kernel.fork(first.run_dir, 1, model=other, sub_model=others)
        assert second.answer == "PART 1"
        assert others.prompts == []
        assert len(other.requests) == 1
        assert second.run_dir != first.run_dir
        assert list(read(first.run_dir)) == before
        assert second.tree.forked_from == SavedRun(second.run_dir).forked_from == first.run_dir.name
        assert second.tree.run == second.run_dir.name
        assert second.tree.root.calls[0].model == "sub"

    async def test_what_comes_after_the_turn_is_asked_again(self) -> None:
        root = ScriptedModel([reply(cell("a = llm_query('a')")), reply(cell("b = llm_query('b')")), reply(done("b"))])
        first = await RLM(root, sub_model=Counting()).acompletion("q", "c")
        others = Counting()
        again = ScriptedModel([reply(cell("b = llm_query('b')")), reply(done("a + b"))])
        second = await rlm_kernel.fork(first.run_dir, 1, model=again, sub_model=others)
        assert (second.answer, others.prompts) == ("AB", ["b"])

    async def test_from_nothing_with_another_question(self) -> None:
        first = await RLM(ScriptedModel([reply(done("1"))])).acompletion("q", "c")
        root = ScriptedModel([reply(done("context"))])
        second = await rlm_kernel.fork(first.run_dir, 0, question="another question", model=root)
        assert (second.answer, second.tree.question) == ("c", "another question")
        assert "another question" in str(root.requests[0])
        assert SavedRun(second.run_dir).question == "another question"

    async def test_a_fork_can_be_resumed_and_forked(self) -> None:
        first = await RLM(ScriptedModel([reply(BATCH), reply(LAST)]), sub_model=Counting()).acompletion("q", "c")
        with pytest.raises(ModelError):
            await rlm_kernel.fork(first.run_dir, 1, model=ScriptedModel([]), sub_model=Counting())
        fork = find("last")
        resumed = await rlm_kernel.resume(fork, model=ScriptedModel([reply(LAST)]), sub_model=Counting())
        assert (resumed.answer, resumed.usage.calls) == (ANSWER, 6)
        again = await rlm_kernel.fork(fork, 1, model=ScriptedModel([reply(done("0"))]), sub_model=Counting())
        assert again.tree.forked_from == fork.id

    async def test_its_usage_is_that_of_the_turns_it_has(self) -> None:
        child = ScriptedModel([reply(cell("found = llm_query('deep')")), reply(done("found"))])
        root = ScriptedModel([reply(cell("a = rlm_query('one')")), reply(cell("b = llm_query('b')")), reply(done("b"))])
        rlm = RLM(root, sub_model=Counting(), child_model=child, max_depth=2)
        first = await rlm.acompletion("q", "c")
        models = {"model": ScriptedModel([reply(done("a"))]), "sub_model": Counting(), "child_model": child}
        second = await rlm_kernel.fork(first.run_dir, 1, **models)
        assert (first.usage.calls, second.usage.calls) == (3 + 2 + 2, 1 + 2 + 1 + 1)
        assert second.tree.root.subtree_usage == second.usage

    async def test_another_input_is_kept_for_when_it_is_resumed(self) -> None:
        first = await RLM(ScriptedModel([reply(cell("x = 1")), reply(done("x"))])).acompletion("q", "one input")
        with pytest.raises(ModelError):
            await rlm_kernel.fork(first.run_dir, 1, "another input", model=ScriptedModel([]))
        again = await rlm_kernel.resume("last", model=ScriptedModel([reply(done("context"))]))
        assert again.answer == "another input"

    async def test_it_can_be_made_elsewhere(self, tmp_path: Path) -> None:
        first = await RLM(ScriptedModel([reply(done("1"))])).acompletion("q", "c")
        second = await rlm_kernel.fork("last", 1, runs_dir=tmp_path, model=ScriptedModel([]))
        assert second.run_dir.parent == tmp_path
        assert second.tree.forked_from == first.run_dir.name

    @pytest.mark.parametrize("turn", [-1, 3, True, "one"])
    async def test_a_turn_it_does_not_have_is_refused(self, turn: Any) -> None:
        first = await RLM(ScriptedModel([reply(BATCH), reply(LAST)]), sub_model=Counting()).acompletion("q", "c")
        with pytest.raises(OptionError, match=r"has 2 turns\. Fork it from 0"):
            rlm_kernel.fork(first.run_dir, turn)
        assert len(rlm_kernel.runs()) == 1

    async def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left(self, tmp_path: Path) -> None:
        first = await RLM(ScriptedModel([reply(BATCH), reply(LAST)]), sub_model=Counting()).acompletion("q", "c")
        (tmp_path / "file").write_text("")
        with pytest.raises(rlm_kernel.RLMError, match="The fork could not be made at"):
            rlm_kernel.fork(first.run_dir, 1, runs_dir=tmp_path / "file", model=ScriptedModel([]))


async def test_a_run_that_is_being_written_can_be_forked() -> None:
    run = find(await stopped(reply(BATCH)))
    writer = Journal(run.directory)
    writer.open()
    root = ScriptedModel([reply(LAST)])
    completion = await rlm_kernel.fork(run, 1, model=root, sub_model=Counting())
    writer.close()
    assert completion.answer == ANSWER
