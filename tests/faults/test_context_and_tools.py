"""Inputs, children and tools: the survey's section 3.5, faults 48 to 51.

Faults 52 and 53 are no faults but wishes, for an interpreter without a process and for an adapter to another library.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, ContextError, ScriptedModel, Secret
from rlm_kernel.events import types as events
from tests.host.script import cell, done, events_of, heard
from tests.providers.fake_servers import FakeServer

TOKEN = "ghp-0123456789abcdef"
ROWS = {"city": ["Rome", "Oslo", "Rome"], "day": [datetime.datetime(2026, 1, day) for day in (1, 2, 3)], "n": [1, 2, 3]}

PANDAS = """
assert type(context).__module__.startswith("pandas"), type(context)
assert str(context.dtypes["day"]).startswith("datetime64") and str(context.dtypes["kind"]) == "category"
found = context.groupby("city").n.sum().to_dict()
"""
POLARS = """
assert type(context).__module__.startswith("polars"), type(context)
assert str(context.schema["day"]).startswith("Datetime") and str(context.schema["kind"]) == "Categorical"
found = dict(context.group_by("city").agg(__import__("polars").col("n").sum()).rows())
"""


def pandas_frame() -> Any:
    import pandas as pd

    return pd.DataFrame({**ROWS, "kind": pd.Categorical(["a", "b", "a"])})


def polars_frame() -> Any:
    import polars as pl

    return pl.DataFrame({**ROWS, "kind": pl.Series(["a", "b", "a"], dtype=pl.Categorical)})


def opening(model: ScriptedModel, request: int = 0) -> str:
    """The first message of the user's."""
    return next(message.content for message in model.requests[request] if message.role == "user")


class TestDataFrames:
    """Tables, and objects of any kind."""

    @pytest.mark.parametrize(("frame", "code"), [(pandas_frame, PANDAS), (polars_frame, POLARS)])
    async def test_a_data_frame_stays_one_and_the_model_hears_its_shape(
        self, frame: Callable[[], Any], code: str
    ) -> None:
        """3.5, fault 48: a table is refused, or crosses as the text it prints, without most rows and without types."""
        root = ScriptedModel([f"```repl{code}```", done("found")])
        completion = await RLM(root, preview=False).acompletion("How many of each?", context=frame())
        assert completion.answer == {"Rome": 4, "Oslo": 2}
        assert [event.status for event in events_of(completion, events.CellFinished)] == ["ok", "ok"]
        assert "DataFrame of 3 rows x 4 columns" in opening(root)
        assert "'n' int64" in opening(root).lower()
        assert "Oslo" not in opening(root)

    async def test_without_being_told_to_be_silent_the_model_sees_the_first_rows(self) -> None:
        """3.5, fault 48: all that the model is told of its input is a type and a number of characters."""
        root = ScriptedModel([done("1")])
        await RLM(root).acompletion("How many of each?", context=pandas_frame())
        assert "'Oslo' | 2026-01-02 00:00:00 | 2 | 'b'" in opening(root)

    @pytest.mark.parametrize(
        ("make", "advice"),
        [
            (lambda: pandas_frame()["n"], r"Pass context.to_frame\(\)"),
            (lambda: pandas_frame().to_numpy(), r"Pass context.tolist\(\)"),
            (lambda: [pandas_frame()], r"context\[0\] is of type DataFrame.*join several into one"),
            (lambda: {"day": datetime.date(2026, 1, 1)}, r"context\['day'\] is of type date"),
            (object, "Pass text, bytes, a list, a dict, a pandas or polars DataFrame"),
        ],
    )
    async def test_what_cannot_cross_is_refused_with_what_to_pass_instead(
        self, make: Callable[[], Any], advice: str
    ) -> None:
        """3.5, fault 48: an object is turned into text unasked, or fails somewhere inside, when models are paid."""
        root = ScriptedModel([done("1")])
        with pytest.raises(ContextError, match=advice):
            await RLM(root).acompletion("q", context=make())
        assert root.requests == []


class TestConversations:
    """Several inputs in one REPL."""

    ALL = done("[context, contexts, context_0]")

    async def test_context_is_the_newest_input_and_the_model_hears_which(self) -> None:
        """3.5, fault 49: in the second turn `context` is the first input still, and the new one is never looked at."""
        root = ScriptedModel([self.ALL] * 4)
        async with RLM(root) as rlm:
            first = await rlm.acompletion("q", context="one")
            second = await rlm.acompletion("q", context=["two"])
            third = await rlm.acompletion("and now?")
            await rlm.aadd_context("three")
            fourth = await rlm.acompletion("and now?")
        assert first.answer == ["one", ["one"], "one"]
        assert second.answer == third.answer == [["two"], ["one", ["two"]], "one"]
        assert fourth.answer == ["three", ["one", ["two"], "three"], "one"]
        assert "inputs" not in opening(root, 0)
        assert "`context` is a list of 1 item" in opening(root, 1)
        for request, newest in ((1, 1), (2, 1), (3, 2)):
            assert f"`context` is the newest, `context_{newest}`" in opening(root, request)

    async def test_for_models_of_an_older_harness_context_can_stay_the_first_input(self) -> None:
        """3.5, fault 49: a model that was trained so finds its new input at ``context_1``, and is told of it."""
        root = ScriptedModel([self.ALL, done("[context, context_1, contexts]")])
        async with RLM(root, compat="rlms") as rlm:
            await rlm.acompletion("q", context="one")
            second = await rlm.acompletion("q", context="two")
        assert second.answer == ["one", "two", ["one", "two"]]
        assert "2 contexts available (context_0 through context_1)" in heard(root)

    async def test_a_context_that_a_cell_has_overwritten_comes_back_as_the_newest(self) -> None:
        """3.5, fault 49: what puts the name back after a cell knows only the first input."""
        root = ScriptedModel([done("1"), cell("context = 'mine'"), done("context")])
        async with RLM(root) as rlm:
            await rlm.acompletion("q", context="one")
            assert (await rlm.acompletion("q", context="two")).answer == "two"


class TestChildren:
    """What a child RLM hears of its task, and what it gets as data."""

    async def run(self, asked: str, does: str, **options: Any) -> tuple[Completion, list[ScriptedModel]]:
        root, child = ScriptedModel([done(asked)]), ScriptedModel([done(does)] * 2, "child")
        rlm = RLM(root, child_model=child, max_depth=2, preview=False, **options)
        return await rlm.acompletion("How long is it all?", context="c"), [root, child]

    async def test_a_child_hears_its_task_and_has_its_data_as_its_context(self) -> None:
        """3.5, fault 50: the child's one argument is its context, so all it hears of its task is how long it is."""
        asked = "rlm_query('How many letters?', context={'a': 'needle', 'b': ['hay'] * 2})"
        completion, (_, child) = await self.run(asked, "len(context['a']) + len(context['b'])")
        assert completion.answer == "8"
        assert "<question>\nHow many letters?\n</question>" in opening(child)
        assert "`context` is a dict" in opening(child)
        assert not any("needle" in message.content for message in child.requests[0])
        started = {event.node: event.question for event in events_of(completion, events.NodeStarted)}
        assert started == {"0": "How long is it all?", "0.1": "How many letters?"}

    async def test_each_child_of_a_batch_has_a_task_and_data_of_its_own(self) -> None:
        """3.5, fault 50: the same for many at once."""
        asked = "rlm_query_batched(['first?', 'last?'], contexts=['one', ['t', 'w', 'o']])"
        completion, (_, child) = await self.run(asked, "[type(context).__name__, len(context)]")
        assert completion.answer == ["['str', 3]", "['list', 3]"]
        assert {question for question in ("first?", "last?") for n in (0, 1) if question in opening(child, n)} == {
            "first?",
            "last?",
        }

    async def test_a_call_of_the_older_form_still_works(self) -> None:
        """3.5, fault 50: the prompt alone is the child's input, and now the child is told that its task is in it."""
        completion, (_, child) = await self.run("rlm_query('Count the letters of: abc')", "context")
        assert completion.answer == "Count the letters of: abc"
        assert "<question>\nDo what `context` asks, and answer it.\n</question>" in opening(child)

    async def test_at_the_depth_limit_a_plain_model_gets_both(self) -> None:
        """3.5, fault 50: what is below the limit gets a part of what it was asked."""
        root = ScriptedModel([done("rlm_query('How many?', context=['a', {'b': 1}])")])
        sub = ScriptedModel(["two"], "sub")
        completion = await RLM(root, sub_model=sub, max_depth=1).acompletion("q", context="c")
        assert completion.answer == "two"
        assert heard(sub) == 'How many?\n\n["a", {"b": 1}]'


LOOK = """
import os
print(TOKEN, [TOKEN], vars(type(TOKEN)), sorted(os.environ.items()))
for read in (lambda: TOKEN.reveal(), lambda: TOKEN.value, lambda: f"Bearer {TOKEN}"):
    try:
        print(read())
    except (AttributeError, TypeError) as error:
        print("not read:", error)
print(fetch("http://a", headers={"Authorization": TOKEN}))
try:
    fail(TOKEN)
except Exception as error:
    print("failed:", error)
kept = fetch("http://b", {"Authorization": TOKEN})
progress(kept)
"""


class TestSecrets:
    """Keys that tools need."""

    async def test_a_secret_is_used_by_tools_and_seen_by_nobody(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """3.5, fault 51: the documented way to give code a key puts it into the prompt, the REPL and every log."""
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        sent: list[Any] = []
        told: list[events.Event] = []

        def fetch(url: str, headers: dict[str, str]) -> dict[str, Any]:
            """Fetch a page."""
            sent.append(headers)
            return {"url": url, "request": {"headers": headers}, "text": "ok"}

        def fail(token: str) -> None:
            raise ValueError(f"401 for {token}")

        root = ScriptedModel([cell(LOOK), cell("answer['content'] = llm_query(f'{kept} {TOKEN!r}')"), done("kept")])
        sub = ScriptedModel(lambda messages: messages[-1]["content"], "sub")
        tools = {"fetch": fetch, "fail": fail, "TOKEN": Secret("GITHUB_TOKEN")}
        rlm = RLM(root, sub_model=sub, tools=tools, on_event=told.append)
        completion = await rlm.acompletion("q", context="c")

        assert sent == [{"Authorization": TOKEN}] * 2
        assert completion.answer == {"url": "http://b", "request": {"headers": {"Authorization": "***"}}, "text": "ok"}
        assert "Secret('TOKEN')" in heard(root, 1)
        assert heard(root, 1).count("not read:") == 3
        assert "failed: ValueError: 401 for ***" in heard(root, 1)
        assert heard(sub).endswith("Secret('TOKEN')")
        everything = {
            "prompts": repr([model.requests for model in (root, sub)]),
            "events": repr(told),
            "tree": repr(completion.tree) + json.dumps(completion._repr_mimebundle_()),
            "options": repr(rlm.options),
        }
        assert [name for name, text in everything.items() if TOKEN in text] == []
        assert files_with(TOKEN, completion.run_dir) == []

    async def test_the_key_of_the_model_itself_is_kept_from_tools_results_and_the_journal(self) -> None:
        """3.5, fault 51: a tool that returns a configuration or a header hands the model its own key."""
        root = [cell("print(config())"), done("config()")]
        with FakeServer(root) as server:
            rlm = RLM("openai/any", base_url=server.openai_url, api_key=TOKEN, tools={"config": lambda: {"key": TOKEN}})
            completion = await rlm.acompletion("q", context="c")
            assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
            assert not any(TOKEN in json.dumps(request.body) for request in server.requests)
        assert completion.answer == {"key": "***"}
        assert files_with(TOKEN, completion.run_dir) == []

    async def test_a_plain_value_is_named_to_the_model_and_not_written_down(self) -> None:
        """3.5, fault 51: whatever is passed as a value is quoted in the prompt and in the log of each cell."""
        root = ScriptedModel([cell("length = len(region)"), done("length")])
        completion = await RLM(root, tools={"region": "europe-west-7"}).acompletion("q", context="c")
        assert completion.answer == len("europe-west-7")
        assert "`region`: a value of type str." in root.requests[0][0].content
        assert "europe-west-7" not in repr(root.requests)
        assert files_with("europe-west-7", completion.run_dir) == []


def files_with(text: str, folder: Path) -> list[Path]:
    """The files below a folder that hold a text; there are some files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text in path.read_text(encoding="utf-8", errors="replace")]
