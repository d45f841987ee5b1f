"""Plain sub-calls, end to end: the cache, schemas, hooks, tools, and the names that other harnesses taught models."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rlm_kernel import RLM, ScriptedModel, Secret, Source, SubCall, Verdict
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply
from rlm_kernel.verifiers import no_whole_context, supported_by_passage
from tests.host.script import cell, done, events_of, heard


def counting(seen: list[str]) -> Any:
    def sub(messages: list[dict[str, str]]) -> Reply:
        seen.append(messages[-1]["content"])
        return Reply(f"{seen[-1]}!", Usage.of_call(10, 1))

    return sub


class TestCache:
    async def test_a_repeated_call_is_paid_once_and_marked(self) -> None:
        seen: list[str] = []
        root = ScriptedModel(
            [cell("a = llm_query('x')"), done("[a, llm_query('x'), *llm_query_batched(['x', 'y', 'y'])]")]
        )
        completion = await RLM(root, sub_model=counting(seen), max_calls=2).acompletion("q", "c")
        assert completion.answer == ["x!", "x!", "x!", "y!", "y!"]
        assert sorted(seen) == ["x", "y"]
        finished = events_of(completion, events.CallFinished)
        assert [event.cached for event in finished].count(True) == 3
        assert all(event.usage == Usage() for event in finished if event.cached)
        assert completion.usage.input_tokens == 20

    @pytest.mark.parametrize(("option", "argument"), [(False, ""), (True, ", cache=False")])
    async def test_it_can_be_turned_off_for_a_run_or_a_call(self, option: bool, argument: str) -> None:
        seen: list[str] = []
        root = ScriptedModel([done(f"[llm_query('x'{argument}) for _ in range(3)]")])
        await RLM(root, sub_model=counting(seen), cache=option).acompletion("q", "c")
        assert seen == ["x"] * 3

    async def test_a_folder_keeps_answers_for_other_runs(self, tmp_path: Path) -> None:
        seen: list[str] = []
        sub = ScriptedModel(counting(seen), name="demo/sub")
        for _ in range(2):
            root = ScriptedModel([done("llm_query('x')")])
            completion = await RLM(root, sub_model=sub, cache=tmp_path).acompletion("q", "c")
            assert completion.answer == "x!"
        assert seen == ["x"]
        assert [event.cached for event in events_of(completion, events.CallFinished)] == [True]

    async def test_a_failed_call_shows_the_cells_code_and_none_of_ours(self) -> None:
        root = ScriptedModel([cell("def f():\n    return llm_query('x')\nf()"), done("1")])
        await RLM(root, sub_model=ScriptedModel([])).acompletion("q", "c")
        assert "return llm_query('x')" in heard(root)
        assert "rlm_kernel" not in heard(root)
        assert len(heard(root)) < 700

    async def test_failures_are_not_kept(self) -> None:
        sub = ScriptedModel([ValueError("first"), "second"])
        root = ScriptedModel([cell("llm_query('x')"), done("llm_query('x')")])
        assert (await RLM(root, sub_model=sub).acompletion("q", "c")).answer == "second"


class TestSchema:
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"year": {"type": "integer"}},
        "required": ["year"],
    }

    async def test_a_reply_becomes_a_value(self) -> None:
        sub = ScriptedModel(['Here it is:\n```json\n{"year": 1747}\n```'])
        root = ScriptedModel([done(f"llm_query('when?', schema={self.SCHEMA})['year'] + 1")])
        assert (await RLM(root, sub_model=sub).acompletion("q", "c")).answer == 1748
        assert "JSON" in heard(sub)

    async def test_a_schema_in_the_models_place_is_how_another_harness_writes_it(self) -> None:
        root = ScriptedModel([done(f"llm_query('when?', {self.SCHEMA})['year']")])
        sub = ScriptedModel(['{"year": 1747}'])
        assert (await RLM(root, sub_model=sub).acompletion("q", "c")).answer == 1747

    async def test_a_reply_that_does_not_fit_is_asked_for_again(self) -> None:
        sub = ScriptedModel(["in spring", '{"year": "1747"}', '{"year": 1747}'])
        root = ScriptedModel([done(f"llm_query('when?', schema={self.SCHEMA})")])
        completion = await RLM(root, sub_model=sub).acompletion("q", "c")
        assert completion.answer == {"year": 1747}
        assert "in spring" in heard(sub, 1)
        assert completion.usage.calls == 4

    async def test_after_three_tries_the_slot_fails_and_says_why(self) -> None:
        root = ScriptedModel([done(f"[r.error for r in llm_query_batched(['a'], schema={self.SCHEMA})]")])
        completion = await RLM(root, sub_model=lambda m: "no").acompletion("q", "c")
        assert completion.answer[0].startswith("No reply of 3 was what schema= asks for")


class TestHooks:
    async def test_a_call_may_be_refused_rewritten_or_let_through_and_each_verdict_is_an_event(self) -> None:
        def before(call: SubCall) -> Verdict | None:
            if "secret" in call.prompt:
                return Verdict.refuse("it asks for a secret")
            return Verdict.rewrite(call.prompt.upper(), "shouting") if "loud" in call.prompt else None

        seen: list[str] = []
        root = ScriptedModel([done("llm_query_batched(['plain', 'loud', 'secret'])")])
        rlm = RLM(root, sub_model=counting(seen), before_call=before)
        completion = await rlm.acompletion("q", "c")
        assert completion.answer[:2] == ["plain!", "LOUD!"]
        assert "it asks for a secret" in completion.answer[2]
        assert sorted(seen) == ["LOUD", "plain"]
        assert sorted(event.verdict for event in events_of(completion, events.CallChecked)) == [
            "allow",
            "refuse",
            "rewrite",
        ]
        refused = next(call for call in completion.tree.root.calls if call.question == "secret")
        assert refused.checks[0].verdict == "refuse"

    async def test_a_result_may_be_asked_for_again_with_the_reason(self) -> None:
        async def after(call: SubCall, text: str) -> Verdict | None:
            return Verdict.retry("it has no number") if not any(map(str.isdigit, text)) else None

        sub = ScriptedModel(["many", "about 12"])
        root = ScriptedModel([done("llm_query('how many?')")])
        completion = await RLM(root, sub_model=sub, after_call=after).acompletion("q", "c")
        assert completion.answer == "about 12"
        assert "it has no number" in heard(sub, 1)
        assert completion.usage.calls == 3

    async def test_a_result_that_was_rewritten_still_has_to_fit_its_schema(self) -> None:
        root = ScriptedModel([done("[r.error for r in llm_query_batched(['x'], schema={'type': 'integer'})]")])
        rlm = RLM(root, sub_model=lambda m: "1", after_call=lambda call, text: Verdict.rewrite("many"))
        assert "does not allow" in (await rlm.acompletion("q", "c")).answer[0]

    async def test_after_two_more_tries_the_call_fails(self) -> None:
        root = ScriptedModel([done("llm_query_batched(['x'])")])
        rlm = RLM(root, sub_model=lambda m: "same", after_call=lambda call, text: Verdict.retry("not good"))
        completion = await rlm.acompletion("q", "c")
        assert "refused after 2 more tries" in completion.answer[0]
        assert completion.usage.calls == 4

    async def test_a_small_model_may_judge_on_the_runs_account(self) -> None:
        async def judge(call: SubCall) -> Verdict:
            said = await call.ask(f"Is this needed? {call.prompt}")
            return Verdict.allow() if said.startswith("yes") else Verdict.refuse(said)

        sub = ScriptedModel(lambda m: "no: idle" if "needed? idle" in m[-1]["content"] else "yes")
        root = ScriptedModel([done("llm_query_batched(['idle', 'work'])")])
        completion = await RLM(root, sub_model=sub, before_call=judge).acompletion("q", "c")
        assert "no: idle" in completion.answer[0]
        assert completion.answer[1] == "yes"
        assert completion.usage.calls == 1 + 3

    async def test_a_result_is_checked_against_the_passage_it_came_from(self) -> None:
        """The worked example of docs/verifiers.md, whole."""
        passage = "The treaty was signed on 14 May 1747 in Skarholm."
        sub = ScriptedModel(["It was signed in 1848.", "It was signed in 1747."])
        root = ScriptedModel([done("llm_query(context + ' When was the treaty signed?')")])
        completion = await RLM(root, sub_model=sub, after_call=supported_by_passage()).acompletion("q", passage)
        assert completion.answer == "It was signed in 1747."
        assert "1848" in heard(sub, 1)

    async def test_the_whole_input_is_not_handed_down(self) -> None:
        root = ScriptedModel([done("llm_query_batched([context, context[:100]])")])
        rlm = RLM(root, sub_model=lambda m: "ok", before_call=no_whole_context())
        completion = await rlm.acompletion("q", "long " * 4000)
        assert completion.answer[0].startswith("Error:")
        assert completion.answer[1] == "ok"

    async def test_a_hook_that_fails_lets_nothing_pass(self) -> None:
        def broken(call: SubCall) -> Verdict:
            raise ZeroDivisionError("a bug")

        root = ScriptedModel([done("llm_query_batched(['x'])")])
        completion = await RLM(root, sub_model=lambda m: "ok", before_call=broken).acompletion("q", "c")
        assert "ZeroDivisionError" in completion.answer[0]


class TestTools:
    async def test_functions_run_on_the_host_sync_and_async(self) -> None:
        here = threading.get_ident()

        def where(n: int, *, add: int = 0) -> dict[str, Any]:
            """Say where it runs."""
            return {"host": threading.get_ident() != here, "n": n + add}

        async def slow(text: str) -> str:
            await asyncio.sleep(0.01)
            return text.upper()

        root = ScriptedModel([done("[where(1, add=2), slow('x'), table['a'], twice(4)]")])
        tools = {"where": where, "slow": slow, "table": {"a": [1]}, "twice": Source("def twice(n):\n    return 2 * n")}
        completion = await RLM(root, tools=tools).acompletion("q", "c")
        assert completion.answer == [{"host": True, "n": 3}, "X", [1], 8]
        text = "".join(message.content for message in root.requests[0])
        assert "where(n: int, *, add: int = 0)" in text
        assert "Say where it runs." in text
        finished = events_of(completion, events.ToolFinished)
        assert [event.status for event in finished] == ["ok", "ok"]

    async def test_one_that_raises_is_an_error_in_the_cell(self) -> None:
        def fails() -> None:
            raise LookupError("nothing there")

        root = ScriptedModel([cell("fails()"), done("1")])
        completion = await RLM(root, tools={"fails": fails}).acompletion("q", "c")
        assert "ToolError" in heard(root)
        assert "LookupError: nothing there" in heard(root)
        assert [event.status for event in events_of(completion, events.ToolFinished)] == ["error"]

    async def test_one_that_hangs_is_ended_by_the_cells_time(self) -> None:
        root = ScriptedModel([cell("hangs()"), done("1")])

        async def hangs() -> None:
            await asyncio.Event().wait()

        completion = await RLM(root, tools={"hangs": hangs}, cell_seconds=0.5).acompletion("q", "c")
        assert completion.answer == 1
        assert "too long" in heard(root)

    async def test_a_secret_reaches_the_tool_and_nothing_else(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMO_TOKEN", "sk-planted-value")
        got: list[str] = []

        def fetch(token: str) -> str:
            got.append(token)
            return f"fetched with {token}"

        code = "text = fetch(token)\nprint(text, repr(token))"
        root = ScriptedModel([cell(code), done("text")])
        rlm = RLM(root, tools={"fetch": fetch, "token": Secret("DEMO_TOKEN")})
        completion = await rlm.acompletion("q", "c")
        assert got == ["sk-planted-value"]
        assert completion.answer == "fetched with ***"
        assert "Secret('token')" in heard(root)
        for file in filter(Path.is_file, Path(completion.run_dir).rglob("*")):
            assert "sk-planted-value" not in file.read_text()

    async def test_a_planted_key_in_a_models_words_never_reaches_the_journal(self) -> None:
        root = ScriptedModel([done("'the key is sk-planted-key'")])
        completion = await RLM(root, tools={"key": Secret("K", "sk-planted-key")}).acompletion("q", "c")
        assert "sk-planted-key" not in (completion.run_dir / "events.jsonl").read_text()


class TestOtherHarnesses:
    @pytest.mark.parametrize(
        ("code", "answer"),
        [
            ("llm_query_batched(queries=['a', 'b'])", ["a!", "b!"]),
            ("llm_batch(['a'])", ["a!"]),
            ("llm_query_batch(['a'])", ["a!"]),
            ("await llm_query('a')", "a!"),
            ("await llm_query_batched(['a', 'b'])", ["a!", "b!"]),
            ("await batch_llm_query(llm_query('a'), llm_query('b'))", ["a!", "b!"]),
            ("[await r for r in [allm_query('a')]]", ["a!"]),
            ("rlm('a')", "a!"),
            ("rlm_query('the data', instruction='the task')", "the task\n\nthe data!"),
        ],
    )
    async def test_their_names_work(self, code: str, answer: Any) -> None:
        completion = await RLM(ScriptedModel([done(code)]), sub_model=counting([])).acompletion("q", "c")
        assert completion.answer == answer

    @pytest.mark.parametrize(
        ("code", "answer"),
        [
            ("FINAL('x')", "x"),
            ("FINAL([1])", [1]),
            ("v = {'a': 1}\nFINAL_VAR('v')", {"a": 1}),
            ("SUBMIT(42)", 42),
            ("SUBMIT(answer='x')", "x"),
            ("SUBMIT(year=1747, place='here')", {"year": 1747, "place": "here"}),
            ("answer = {'content': 7, 'ready': True}", 7),
            ("answer.update(content=8, ready=True)", 8),
            ("answer['ready'] = True\nanswer['content'] = 9", 9),
            ("answer['content'] = 10\nanswer['ready'] = True\n1/0", 10),
        ],
    )
    async def test_their_ways_to_answer_work(self, code: str, answer: Any) -> None:
        completion = await RLM(ScriptedModel([cell(code)])).acompletion("q", "c")
        assert completion.answer == answer

    async def test_a_sub_calls_text_is_a_str_in_every_respect(self) -> None:
        code = "import json, pickle, copy\nt = llm_query('a')\nprint(SHOW_VARS())"
        check = "[isinstance(t, str), json.dumps(t), pickle.loads(pickle.dumps(t)) == t, type(copy.deepcopy(t)) is str]"
        root = ScriptedModel([cell(code), done(check)])
        completion = await RLM(root, sub_model=counting([])).acompletion("q", "c")
        assert completion.answer == [True, '"a!"', True, True]
        assert "'t': 'str'" in heard(root)
