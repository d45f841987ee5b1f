"""Frames: a row for everything, the right types, and nothing known that is not."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import pytest

from rlm_kernel import RLM, OptionError, ScriptedModel, journal
from rlm_kernel.events.types import CallRequested, NodeStarted
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.frame import COLUMNS, to_frame
from tests.events import stories
from tests.host.script import cell, done
from tests.sinks import hostile


@pytest.mark.parametrize("of", COLUMNS)
def test_its_columns_have_their_types_with_rows_and_without(of: Any) -> None:
    for stream in (stories.mystery(), [], stories.numbered(*stories.began())):
        frame = to_frame(stream, of)
        assert list(frame.columns) == list(COLUMNS[of])
        for name, kind in COLUMNS[of].items():
            shown = str(frame[name].dtype)
            assert shown.startswith("datetime64[") if kind == "time" else shown == kind, name
            assert kind != "time" or shown.endswith(", UTC]")


def test_a_call_is_a_row() -> None:
    frame = to_frame(stories.mystery())
    assert len(frame) == 13
    first, child = frame.iloc[0], frame[frame.kind == "rlm"].iloc[0]
    assert (first.call, first.parent, first.iteration, first.cell, first.depth) == ("0.1", "0", 2, 1 + 1, 1)
    assert (first.input_tokens, first.output_tokens, first.seconds) == (400, 20, 0.75)
    assert (child.call, child.model_calls, child.reply) == ("0.12", 1, "The butler's.")
    assert frame[frame.state == "error"].error.tolist() == ["429: the provider is busy"]
    assert frame.groupby("model").input_tokens.sum()["openai/gpt-5-nano"] == 4400
    asked = next(event for event in stories.mystery() if isinstance(event, CallRequested))
    assert abs(first.started.timestamp() - asked.time) < 1e-3


def test_a_node_is_a_row_with_everything_below_it() -> None:
    frame = to_frame(stories.mystery(), "nodes").set_index("node")
    assert frame.loc["0", "iterations"] == 3
    assert frame.loc["0", "cells"] == 4
    assert frame.loc["0", "input_tokens"] == 2700
    assert frame.loc["0", "subtree_tokens"] == 8620
    assert frame.loc["0.12", "subtree_model_calls"] == 2
    assert frame.loc["0", "stop_reason"] == "answered"


def test_iterations_and_cells() -> None:
    iterations, cells = to_frame(stories.mystery(), "iterations"), to_frame(stories.mystery(), "cells")
    assert iterations[iterations.node == "0"].calls.tolist() == [0, 12, 0]
    assert iterations.cell_seconds.tolist() == [2.25, 2.25, 4.5, 2.25]
    assert cells.status.tolist().count("error") == 1
    second = cells[(cells.node == "0") & (cells.cell == 2)].iloc[0]
    assert (second.stdout, second.stderr, second.calls) == (
        "['The butler', ...]\n",
        "UserWarning: a slot failed\n",
        12,
    )


async def test_of_a_real_run() -> None:
    root = ScriptedModel([cell("print(llm_query('a'))"), done("'b'")])
    completion = await RLM(root, sub_model=lambda m: "A").acompletion("q", "c")
    stream = list(journal.read(completion.run_dir))
    (call,) = to_frame(stream).to_dict("records")
    assert (call["reply"], call["iteration"], call["cell"]) == ("A", 1, 1)
    assert pd.isna(call["input_tokens"])
    assert pd.isna(call["cost"])
    assert 0 < call["seconds"] < 60
    rows = to_frame(stream, "events")
    assert rows.seq.tolist() == [event.seq for event in stream]
    assert rows.type.tolist() == [event.type for event in stream]


def test_what_is_not_known_is_missing() -> None:
    unknown = Usage.of_call(None, None)
    stream = stories.numbered(
        *stories.began(), *stories.turn(1, "w", *stories.cell("c", *stories.call(1, "p", "r", usage=unknown)))
    )
    frame = to_frame(stream)
    assert frame.model_calls.tolist() == [1]
    assert frame[["input_tokens", "output_tokens", "cost", "error"]].isna().all(axis=None)
    undated = [NodeStarted(depth=0, model="m", question="q", context={})]
    assert to_frame(undated, "nodes").started.isna().all()
    assert to_frame(undated, "events").time.isna().all()
    assert to_frame(undated, "nodes").seconds.isna().all()


@pytest.mark.parametrize("name", hostile.TEXTS)
@pytest.mark.parametrize("of", COLUMNS)
def test_hostile_texts_are_only_texts(name: str, of: Any) -> None:
    frame = to_frame(hostile.run(hostile.TEXTS[name]), of)
    assert len(frame)
    frame.to_csv().encode()


def test_what_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="of='rows': expected one of 'calls', 'nodes'"):
        to_frame([], "rows")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(OptionError, match="pip install pandas"):
        to_frame([])
