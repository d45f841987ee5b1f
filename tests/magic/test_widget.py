"""The widget's messages, without a browser: what it tells, what it answers, and what it is not taken in by."""

from __future__ import annotations

import base64
import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, ScriptedModel, journal
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.provenance import for_tree
from rlm_magic import widget
from rlm_magic.pace import Pace
from rlm_magic.widget import CallTree
from tests.events.stories import began, call, cell, ended, mystery, numbered, turn
from tests.host.script import cell as reply_of
from tests.host.script import done
from tests.sinks.test_calltree import View, whole


class Stopped:
    """A run that only notes what was asked of it."""

    directory = Path("/nowhere")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def cancel(self) -> None:
        self.asked.append("all")

    def cancel_call(self, call: str) -> None:
        self.asked.append(call)


class Told(CallTree):
    """A widget whose messages stay here."""

    def __init__(self, run: Any) -> None:
        self.__dict__["messages"] = []
        super().__init__(run)

    def send(self, content: Any, buffers: Any = None) -> None:
        content = json.loads(json.dumps(content))
        self.messages.append(content if "packed" not in content else {**content, **unpacked(content["packed"])})

    def hear(self, **content: Any) -> list[Any]:
        self.messages.clear()
        self._hear(self, content, [])
        return self.messages


def told(stream: list[Event]) -> Told:
    tree = Told(Stopped())
    for event in stream:
        tree.apply(event)
        tree.update()
    tree.save()
    return tree


def unpacked(packed: str) -> dict[str, Any]:
    content, *parts = map(json.loads, gzip.decompress(base64.b64decode(packed)).split(b"\n"))
    for part in parts:
        for key, more in part.items():
            content["piece"][key] += more
    return dict(content)


def test_the_saved_state_is_the_whole_tree() -> None:
    tree, view = told(mystery()), View()
    state = unpacked(tree.saved)
    view.take(state["piece"])
    assert view.drawn() == whole(mystery())
    assert state["n"] == tree.saved_n == len(tree.messages)
    assert view.run["state"] == "answered"


def test_a_front_end_that_comes_late_is_told_everything_and_then_only_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pace, "begin", lambda pace: True)
    stream, view = mystery(), View()
    tree = Told(Stopped())
    for event in stream[:12]:
        tree.apply(event)
    (_, reply) = tree.hear(type="want", n=0)
    assert reply["type"] == "all"
    view.take(reply["piece"])
    assert tree.hear(type="want", n=reply["n"])[0]["piece"] is None, "it knows all"
    assert view.drawn() == whole(stream[:12])
    for event in stream[12:]:
        tree.messages.clear()
        tree.apply(event)
        tree.update()
        for message in tree.messages:
            view.take(message["piece"])
    assert view.drawn() == whole(stream)


@pytest.mark.parametrize("seconds", [0.0, 0.15])
def test_what_has_been_told_is_soon_in_the_state_too_though_nothing_more_happens(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """Also where both cores are busy, and a save takes a while."""
    now = 100.0
    monkeypatch.setattr("rlm_magic.pace.time.monotonic", lambda: now)
    tree, stream = Told(Stopped()), mystery()
    save = tree.save

    def slowly(level: int) -> None:
        nonlocal now
        save(level)
        now += seconds

    monkeypatch.setattr(tree, "save", slowly)
    for event in stream[:12]:
        tree.apply(event)
        tree.update()
        now += 0.2
    assert unpacked(tree.saved)["n"] < len(tree.messages), "this test needs changes after the last save"
    for _ in range(30):
        now += 0.1
        tree.update()
    assert unpacked(tree.saved)["n"] == len(tree.messages)


def test_many_events_are_few_messages() -> None:
    calls = (event for n in range(1, 3000) for event in call(n, f"prompt {n}", "yes", usage=Usage(1, 2, 3)))
    tree = Told(Stopped())
    for event in numbered(*began(), *turn(1, "x", *cell("c", *calls)), *ended("a")):
        tree.apply(event)
        tree.update()
        time.sleep(0.0002)
    assert len(tree.messages) < 30
    assert sum(len(message.get("packed", "")) for message in tree.messages) < 1_000_000


def test_the_pace_is_that_of_time_of_work_and_of_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("rlm_magic.pace.time.monotonic", lambda: now)
    pace = Pace(0.1, 0.02)
    for took, characters, pause in ((0.0, 0, 0.1), (0.01, 0, 0.5), (0.0, 600_000, 2.0)):
        assert pace.begin()
        began_at, now = now, now + took
        pace.end(characters)
        now = began_at + pause - 0.01
        assert not pace.begin()
        now = began_at + pause + 0.01


def test_a_long_text_is_sent_to_who_asks_for_it() -> None:
    tree = told(numbered(*began(), *turn(1, "long " * 1_000_000), *ended("a")))
    assert len(tree.saved) < 100_000
    texts = unpacked(tree.saved)["piece"]["said"]
    index = next(index for index, _, _, missing in texts if missing > 4_000_000)
    (answer,) = tree.hear(type="text", index=index)
    assert (len(answer["text"]), answer["missing"]) == (widget.TEXT_CHARACTERS, 4_000_000)


def test_the_run_and_its_calls_are_stopped_by_message() -> None:
    tree = told(mystery())
    assert tree.hear(type="stop", node="0.3") == [{"type": "stopping", "node": "0.3"}]
    assert tree.hear(type="stop", node=None) == [{"type": "stopping", "node": None}]
    assert tree._run.asked == ["0.3", "all"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "stop"},
        {"type": "stop", "node": 3},
        {"type": "text", "index": "0"},
        {"type": "want"},
        {"type": "x"},
    ],
    ids=str,
)
def test_a_message_that_makes_no_sense_is_not_heard(message: dict[str, Any]) -> None:
    tree = told(mystery())
    assert tree.hear(**message) == []
    assert tree._run.asked == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("index", [-1, 10**30])
def test_a_text_that_is_not_there_is_empty(index: int) -> None:
    (answer,) = told(mystery()).hear(type="text", index=index)
    assert answer["text"] == ""


def looked_at(completion: Completion) -> Told:
    """A widget that has followed a run of the journal."""
    run = Stopped()
    run.directory = completion.run_dir
    tree = Told(run)
    for event in journal.read(completion.run_dir):
        tree.apply(event)
        tree.update()
        assert not tree._deltas.found, "nothing is looked up while the run goes on"
    tree.save()
    return tree


async def answered() -> Completion:
    text = " ".join(f"{n} ships lay in the harbour on day {n}." for n in range(100))
    asks = reply_of("found = llm_query('How many?' + context[500:1500])")
    return await RLM(
        ScriptedModel([asks, done("found")]), sub_model=ScriptedModel(lambda messages: "40 ships", name="sub")
    ).acompletion("How many ships?", text)


async def test_what_led_to_the_answer_and_what_was_read_are_in_the_last_change_and_in_the_state() -> None:
    tree = looked_at(await answered())
    last = [message["piece"]["run"] for message in tree.messages if message["type"] == "delta"][-1]
    saved = unpacked(tree.saved)["piece"]["run"]
    assert last == saved
    assert saved["led"] == {"cells": [["0", 1], ["0", 2]], "quoted": ["0.1"]}
    (document,) = saved["input"]["documents"]
    ((start, end, *_),) = [part for part in document["parts"] if saved["input"]["readers"].index("0.1") in part[5]]
    assert (start, end) == (500, 1500)


async def test_a_large_input_is_compared_when_a_front_end_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(for_tree, "AT_ONCE", 100)
    tree = looked_at(await answered())
    assert unpacked(tree.saved)["piece"]["run"]["input"].keys() == {"bytes"}
    said = tree.hear(type="read")
    assert [message["type"] for message in said] == ["delta"]
    assert "documents" in said[0]["piece"]["run"]["input"]
    assert unpacked(tree.saved)["piece"]["run"] == said[0]["piece"]["run"]
    assert tree.hear(type="read") == [], "it is there"


def test_there_is_nothing_to_read_while_a_run_goes_on_and_without_an_input() -> None:
    for stream in (mystery()[:12], mystery()):
        tree = told(stream)
        before = tree.saved
        assert tree.hear(type="read") == []
        assert tree.saved == before
