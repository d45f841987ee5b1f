"""``RLM.estimate``: what past runs came to, and how honest it is with few of them."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

import rlm_kernel
from rlm_kernel import RLM, ContextError, Estimate, RLMError, ScriptedModel
from rlm_kernel.events.values import Usage
from rlm_kernel.host.estimate import past
from rlm_kernel.host.estimate.ranges import Range
from rlm_kernel.host.providers import Reply
from rlm_kernel.journal.figures import Figures
from tests.estimate.past import SUB, ran, rlm, wrote
from tests.host.script import cell, done


async def test_what_real_runs_came_to_is_what_the_next_may() -> None:
    for calls in (2, 8, 4):
        await ran(calls)
    about = rlm()
    said = about.estimate("q", "y" * 12_400)
    assert (said.runs, said.basis, said.scaled) == (3, "models", False)
    assert said.calls == Range(3, 5, 9), "the root's own call is one, and with few runs the range is all there was"
    assert said.tokens == Range(1100 + 2 * 220, 1100 + 4 * 220, 1100 + 8 * 220)
    assert said.cost is not None
    assert (said.cost.low, said.cost.likely, said.cost.high) == pytest.approx(
        (0.002 + 2 * 4e-5, 0.002 + 4 * 4e-5, 0.002 + 8 * 4e-5)
    )
    assert said.seconds is not None
    assert 0 < said.seconds.low <= said.seconds.likely <= said.seconds.high
    assert str(said).startswith("12.4 kB of text, about 3,100 tokens; past runs like this: 3 to 9 calls, $0.002, ")
    assert str(said).endswith("(3 runs)")


async def test_tokens_of_before_have_the_prices_of_now() -> None:
    for calls in (2, 4, 8):
        await ran(calls)
    dearer = rlm(prices={"root": (2, 20), "sub": (0.2, 2)}).estimate("q", "y")
    assert dearer.cost is not None
    assert dearer.cost.high == pytest.approx(2 * (0.002 + 8 * 4e-5))
    nobody_knows = rlm(prices={}).estimate("q", "y")
    assert nobody_knows.cost is not None, "the same models were paid so much"
    other = rlm(prices={}, sub="another").estimate("q", "y")
    assert (other.basis, other.cost) == ("root", None)
    assert "cost unknown" in str(other)


def test_nothing_is_asked_and_nothing_is_left() -> None:
    model = ScriptedModel([])
    said = RLM(model).estimate("q", "x")
    assert (model.requests, os.listdir(os.environ["RLM_RUNS_DIR"])) == ([], [])
    assert (said.calls, said.tokens, said.cost, said.seconds) == (None, None, None, None)


@pytest.mark.parametrize(
    ("runs", "text"), [(0, "no past runs to"), (1, "one past run is too little"), (2, "two past runs are too few")]
)
def test_with_fewer_than_three_runs_no_number_is_invented(runs: int, text: str) -> None:
    for number in range(runs):
        wrote(number)
    said = rlm().estimate("q", "x")
    assert (said.runs, said.calls, said.cost, said.is_close) == (runs, None, None, False)
    assert text in str(said)


@pytest.mark.parametrize(
    ("root", "sub", "basis", "runs"),
    [("a", "b", "models", 3), ("a", "c", "root", 4), ("x", "b", "sub", 6), ("x", "y", "any", 7)],
)
def test_the_runs_most_like_it_are_taken(root: str, sub: str, basis: str, runs: int) -> None:
    past_models = ["ab"] * 3 + ["ad"] + ["eb"] * 3
    for number, (first, second) in enumerate(past_models):
        wrote(number, options={"model": first, "sub_model": second})
    said = rlm(root=root, sub=sub).estimate("q", "x")
    assert (said.basis, said.runs) == (basis, runs)
    assert said.is_close == (basis in ("models", "root"))


@pytest.mark.parametrize(
    "other",
    [
        {"stop_reason": "error"},
        {"stop_reason": "cancelled"},
        {"options": {"by_hand": True}},
        {"options": {"imported_from": "rlms"}},
    ],
)
def test_runs_that_say_nothing_of_a_whole_one_are_left_out(other: dict[str, Any]) -> None:
    for number in range(3):
        wrote(number)
        wrote(100 + number, calls=1000, **other)
    assert rlm().estimate("q", "x").calls == Range(4, 4, 4)


async def test_a_journal_of_before_counts_by_its_last_event() -> None:
    for calls in (2, 4, 8):
        run = await ran(calls)
        file = run.run_dir / "run.json"
        what = json.loads(file.read_text())
        del what["finished"]
        file.write_text(json.dumps(what))
    said = rlm().estimate("q", "x")
    assert said.calls == Range(3, 5, 9)
    assert said.cost is not None
    assert said.cost.high == pytest.approx(0.002 + 8 * 4e-5), "as it was: who used what is not told"
    assert rlm(sub="other").estimate("q", "x").cost is None


def test_a_journal_of_before_with_one_model_has_the_prices_of_now() -> None:
    for number in range(3):
        file = wrote(number, options={"sub_model": None}) / "run.json"
        what = json.loads(file.read_text())
        del what["finished"]
        file.write_text(json.dumps(what))
    said = RLM(ScriptedModel([], name="root"), prices={"root": (100, 0)}).estimate("q", "x")
    assert said.cost is not None
    assert said.cost.likely == pytest.approx(4 * 200 * 100 / 1e6)


BROKEN = {
    "missing": None,
    "empty": "",
    "cut": "{",
    "a list": "[]",
    "no options": '{"run": "x"}',
    "deep": "[" * 100_000,
    "options of no kind": '{"options": 3}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_run_is_left_out(content: str | None) -> None:
    for number in range(3):
        wrote(number)
    broken = wrote(9, calls=1000) / "run.json"
    if content is None:
        broken.unlink()
    else:
        broken.write_text(content)
    assert rlm().estimate("q", "x").calls == Range(4, 4, 4)


@pytest.mark.parametrize(
    "finished",
    [
        7,
        {},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"usage": {"calls": "many"}},
        {"usage": {"calls": -4}},
        {"used": [{"by": "nobody", "model": "m"}]},
        {"used": 3},
        {"input_bytes": "big"},
    ],
)
def test_figures_that_make_no_sense_are_those_of_the_last_event(finished: Any) -> None:
    for number in range(3):
        file = wrote(number) / "run.json"
        what = json.loads(file.read_text())
        what["finished"] = what["finished"] | finished if isinstance(finished, dict) and finished else finished
        file.write_text(json.dumps(what))
        assert Figures.from_json(what["finished"]) is None
    assert rlm().estimate("q", "x").calls == Range(4, 4, 4)


def test_a_runs_folder_that_is_not_there_or_no_folder_has_no_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for folder in ("nowhere", "file"):
        assert rlm(runs_dir=tmp_path / folder).estimate("q", "x").runs == 0


def test_only_the_newest_runs_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(8):
        wrote(number, calls=100 if number < 4 else 2)
    assert rlm().estimate("q", "x").runs == 8
    monkeypatch.setattr(past, "NEWEST", 4)
    said = rlm().estimate("q", "x")
    assert (said.runs, said.calls) == (4, Range(2, 2, 2))


def test_with_eight_runs_half_of_them_are_within_the_range() -> None:
    for number in range(9):
        wrote(number, calls=number + 1)
    assert rlm().estimate("q", "x").calls == Range(3, 5, 7)


def test_where_past_runs_grew_with_the_input_so_does_the_estimate() -> None:
    for number in range(10):
        wrote(number, calls=2 * (number + 1), size=1000 * (number + 1), seconds=5)
    said = rlm().estimate("q", "x" * 100_000)
    assert said.scaled
    assert said.calls is not None
    assert said.calls.likely == pytest.approx(200)
    assert said.seconds == Range(5, 5, 5), "that did not grow"
    nearer = rlm().estimate("q", "x" * 5000).calls
    assert nearer is not None
    assert (nearer.low, nearer.high) == pytest.approx((10, 10))


@pytest.mark.parametrize("sizes", ["no trend", "all alike", "unknown"])
def test_where_they_did_not_it_stays_what_it_was(sizes: str) -> None:
    for number in range(10):
        size = {"no trend": 1000 * (1 + number % 2 * 9), "all alike": 1000 + number, "unknown": None}[sizes]
        wrote(number, calls=number + 1, size=size)
    said = rlm().estimate("q", "x" * 1_000_000)
    assert not said.scaled
    assert said.calls == Range(3.25, 5.5, 7.75)


def test_the_runs_own_limits_cut_it() -> None:
    for number in range(3):
        wrote(number, calls=100, seconds=500)
    whole = rlm().estimate("q", "x")
    assert whole.cost is not None
    said = rlm(max_cost=0.001, max_tokens=500, max_seconds=20).estimate("q", "x")
    assert (said.cost, said.tokens, said.seconds) == (
        Range(0.001, 0.001, 0.001),
        Range(500, 500, 500),
        Range(20, 20, 20),
    )
    assert said.cost.high < whole.cost.high


def test_what_runs_here_costs_nothing_also_without_past_runs() -> None:
    assert RLM(sub_model=ScriptedModel([], name="local/x")).estimate("q", "x").cost == Range(0, 0, 0)
    free = rlm(prices={"root": (0, 0), "sub": (0, 0)}).estimate("q", "x")
    assert free.cost == Range(0, 0, 0)
    assert rlm(prices={"root": (0, 0)}).estimate("q", "x").cost is None
    assert (
        rlm(prices={"root": (0, 0), "sub": (0, 0)}, models={"fast": ScriptedModel([])}).estimate("q", "x").cost is None
    )


def test_who_judges_may_cost_something() -> None:
    free = {"root": (0, 0), "sub": (0, 0)}
    assert rlm(prices=free, after_call=lambda call, text: None).estimate("q", "x").cost is None


async def test_a_function_as_a_model_has_the_price_of_its_name() -> None:
    def answers(messages: Any) -> Any:
        return Reply(done("llm_query('x')") if messages[0]["role"] == "system" else "X", SUB)

    about = RLM(answers, prices={"scripted": (1000, 0)})
    for _ in range(3):
        await about.acompletion("q", "x")
    said = about.estimate("q", "x")
    assert said.basis == "models"
    assert said.cost is not None
    assert said.cost.likely == pytest.approx(2 * 200 * 1000 / 1e6)


def test_many_short_calls_have_the_price_of_short_calls() -> None:
    """Some models cost twice as much where one prompt is long."""
    name = "anthropic/claude-sonnet-4-5"
    for number in range(3):
        wrote(number, calls=100, usage=Usage.of_call(10_000, 0), options={"model": name, "sub_model": name})
    said = RLM(ScriptedModel([], name=name)).estimate("q", "x")
    assert said.cost is not None
    assert said.cost.likely == pytest.approx(100 * 10_000 * 3 / 1e6)


def test_tokens_that_nobody_told_are_not_taken_for_none() -> None:
    for number in range(3):
        wrote(number, usage=Usage.of_call(None, None))
    said = rlm().estimate("q", "x")
    assert (said.calls, said.tokens, said.cost) == (Range(4, 4, 4), None, None)


@pytest.mark.parametrize(
    ("question", "context", "error", "text"),
    [
        (" ", "x", RLMError, "The question is empty"),
        ("q", "", ContextError, "an empty str"),
        ("q", 7, ContextError, "type int cannot cross"),
        ("q", Path("no/such/file"), ContextError, "does not exist"),
    ],
)
def test_what_could_not_run_is_refused(question: str, context: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        rlm().estimate(question, context)


async def test_the_arguments_are_those_of_a_completion() -> None:
    about = rlm()
    assert str(about.estimate("a question")).startswith("10 bytes of text")
    assert str(about.estimate("x" * 50, root_prompt="q")).startswith("50 bytes of text")
    assert str(about.estimate(["x" * 46])).startswith("50 bytes of JSON")  # type: ignore[arg-type]
    async with rlm() as conversation:
        assert isinstance(said := conversation.estimate("and now?"), Estimate)
        assert (said.input, str(said)) == (None, "no past runs to estimate from")
        assert str(conversation.estimate("and now?", "y" * 10)).startswith("10 bytes")


class TestFigures:
    """What ``run.json`` says of a run that has ended."""

    @staticmethod
    def of(run_dir: Path) -> Figures:
        figures = Figures.from_json(json.loads((run_dir / "run.json").read_text())["finished"])
        assert figures is not None
        return figures

    async def test_who_has_used_what(self) -> None:
        child = done("llm_query('b')")
        model = ScriptedModel([done("rlm_query('a')"), child], name="root")
        run = await RLM(model, sub_model=ScriptedModel(["B"], name="sub"), max_depth=2).acompletion("q", "12345")
        figures = self.of(run.run_dir)
        assert [(one.by, one.model, one.usage.calls) for one in figures.used] == [
            ("root", "root", 1),
            ("child", "root", 1),
            ("call", "sub", 1),
        ]
        assert (figures.input_bytes, figures.usage, figures.stop_reason) == (5, run.usage, "answered")

    async def test_a_run_that_went_on_counts_whole(self) -> None:
        first = [cell("a = llm_query('one')"), cell("b = llm_query('two')")]
        sub = ScriptedModel(lambda messages: "x", name="sub")
        run = await RLM(ScriptedModel(first, name="root"), sub_model=sub, max_calls=1, max_iterations=2).acompletion(
            "q", "12345"
        )
        assert self.of(run.run_dir).input_bytes == 5
        again = rlm_kernel.resume(
            run.run_dir, model=ScriptedModel([done("a + b")], name="root"), sub_model=sub, max_calls=9, max_iterations=9
        )
        completion = await again
        figures = self.of(run.run_dir)
        assert (figures.usage, figures.input_bytes) == (completion.usage, 5)
        assert sum(one.usage.calls for one in figures.used) == completion.usage.calls

    async def test_there_are_none_while_it_runs_and_none_of_an_earlier_attempt(self) -> None:
        seen: list[bool] = []

        def look(messages: Any) -> str:
            what = json.loads(next(Path(os.environ["RLM_RUNS_DIR"]).glob("2*/run.json")).read_text())
            seen.append("finished" in what)
            return done("1") if len(seen) > 1 else cell("x = 1")

        run = await RLM(ScriptedModel(look), max_iterations=1).acompletion("q", "x")
        await rlm_kernel.resume(run.run_dir, model=ScriptedModel(look), max_iterations=5)
        assert seen == [False] * len(seen)
        assert len(seen) > 2
        assert self.of(run.run_dir).stop_reason == "answered"

    async def test_a_description_that_is_gone_is_not_made_up(self) -> None:
        def remove(messages: Any) -> str:
            for file in Path(os.environ["RLM_RUNS_DIR"]).glob("2*/run.json"):
                file.unlink()
            return done("1")

        run = await RLM(ScriptedModel(remove)).acompletion("what?", "x")
        assert not (run.run_dir / "run.json").exists()
        assert run.saved.question == "what?"

    async def test_a_run_that_is_cancelled_is_no_example(self) -> None:
        for _ in range(3):
            asked = asyncio.Event()

            async def wait(messages: Any, asked: asyncio.Event = asked) -> str:
                asked.set()
                await asyncio.Event().wait()
                return ""

            run = RLM(ScriptedModel(wait, name="root")).stream("q", "x")
            running = asyncio.create_task(run.complete())
            await asked.wait()
            run.cancel()
            await running
        assert RLM(ScriptedModel([], name="root")).estimate("q", "x").runs == 0
