"""A live view of a run: whatever it was told and when, it ends up with what the whole run shows."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.sinks.calltree import deltas
from rlm_kernel.sinks.calltree.deltas import Deltas, Room
from rlm_kernel.sinks.calltree.rows import Rows, page
from tests.events.stories import START, began, call, cell, child, ended, mystery, numbered, output, turn
from tests.sinks import hostile


class View:
    """What a front end knows: it takes pieces as `static/model.js` does."""

    def __init__(self) -> None:
        self.run: dict[str, Any] = {}
        self.rows: dict[int, tuple[int, list[Any]]] = {}
        self.texts: dict[int, str] = {}
        self.missing: dict[int, int] = {}
        self.images: dict[int, str] = {}
        self.heard = 0

    def take(self, piece: dict[str, Any]) -> None:
        text = json.dumps(piece, allow_nan=False)
        self.heard += len(text)
        text.encode("utf-8")
        piece = json.loads(text)
        if piece.get("new"):
            self.rows.clear()
            self.texts.clear()
        self.run = piece.get("run", self.run)
        for index, behind, text, missing in piece.get("said", []):
            self.texts[index] = self.texts[index] + text if behind else text
            self.missing[index] = missing
        self.images |= dict(piece.get("shown", []))
        for (number, above), row in zip(piece.get("at", []), piece.get("rows", []), strict=True):
            assert above < number
            self.rows[number] = (above, row)
            said(row, self.texts, self.images)  # whatever a row refers to is there before it

    def drawn(self) -> list[Any]:
        """The rows from top to bottom, with their texts in them."""
        below: dict[int, list[int]] = {}
        for number in sorted(self.rows):
            below.setdefault(self.rows[number][0], []).append(number)
        found, rest = [], [0]
        while rest:
            number = rest.pop()
            found.append(said(self.rows[number][1], self.texts, self.images))
            rest += reversed(below.get(number, []))
        return found


def said(row: list[Any], texts: Any, images: Any) -> list[Any]:
    """A row with its texts in place of their numbers."""
    kind, level, name, label, state, model, *rest, parts, facts = row
    shown = [[title, (images if look == "image" else texts)[index], look] for title, index, look in parts]
    return [kind, level, name, texts[label], state, texts[model], *rest, shown, [list(fact) for fact in facts]]


def whole(stream: list[Event]) -> list[Any]:
    """The rows of the page of a whole run."""
    rows = Rows()
    for event in stream:
        rows.apply(event)
    pieces = json.loads(json.dumps(list(page(rows))))
    texts = [text for piece in pieces for text in piece.get("texts", [])]
    images = [image for piece in pieces for image in piece.get("images", [])]
    return [said(row, texts, images) for piece in pieces for row in piece.get("rows", [])]


def crowded() -> list[Event]:
    """Two children side by side, whose turns come one after the other's."""
    first = list(child(1, "left", "l", *turn(1, "L", *cell("l", node="0.1"), node="0.1")))
    second = list(child(2, "right", "r", *turn(1, "R", *cell("r", node="0.2"), node="0.2")))
    mixed = [event for pair in zip(first, second, strict=True) for event in pair]
    return numbered(*began(), *turn(1, "both", *cell("c", *mixed, events.Note(text="busy"))), *ended("a"))


def resumed() -> list[Event]:
    """A run that was stopped, begun again, and served a child from the journal."""
    asked = list(
        child(1, "left", "l", *turn(1, "L", *cell("l", *call(1, "x", "y", node="0.1"), node="0.1"), node="0.1"))
    )
    before = numbered(*began(), *turn(1, "first", *cell("c", *asked, output("printed\n"))))
    source = next(event.seq for event in before if isinstance(event, events.CallRequested))
    request = dataclasses.replace(asked[0], source=source)
    served = dataclasses.replace(asked[-1], recorded=True)
    begin = events.RunResumed(run="r", options={"max_calls": 10}, usage=Usage(3, 10, 10))
    again = [begin, *list(began())[1:], *turn(1, "first", *cell("c", request, served)), *ended("a")]
    return [
        *before,
        *(dataclasses.replace(event, seq=len(before) + n, time=START + 60 + n / 10) for n, event in enumerate(again)),
    ]


STORIES: dict[str, Callable[[], list[Event]]] = {
    "mystery": mystery,
    "two at once": crowded,
    "resumed": resumed,
    "no nodes": lambda: numbered(events.RunStarted(run="r", question="q", options={})),
    "failed at once": lambda: numbered(*began(), *ended(None, "error", "no key")),
    **{f"hostile: {name}": (lambda text=text: hostile.run(text)) for name, text in hostile.TEXTS.items()},
}


@pytest.mark.parametrize("story", STORIES)
def test_a_view_that_hears_of_changes_shows_what_the_whole_run_shows(
    story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deltas, "_CUTS", ((-1e99, 10**9),))
    stream = STORIES[story]()
    dice = random.Random(story)
    live, view, late = Deltas(), View(), View()
    view.take(live.take(START))
    for number, event in enumerate(stream):
        live.apply(event)
        if dice.random() < 0.15:
            view.take(live.take(event.time))
            assert view.drawn() == whole(stream[: number + 1])
    view.take(live.take(stream[-1].time))
    late.take(live.whole(stream[-1].time))
    assert view.drawn() == late.drawn() == whole(stream)
    assert view.run == late.run


@pytest.mark.parametrize("story", STORIES)
def test_a_piece_may_come_in_parts(story: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, live, view, at_once = STORIES[story](), Deltas(), View(), View()
    for event in stream:
        live.apply(event)
    piece = live.whole(stream[-1].time)
    assert deltas.parts(piece) == [piece], "it is small"
    at_once.take(piece)
    monkeypatch.setattr(deltas, "PART", 1)
    parts = deltas.parts(piece)
    assert len(parts) > 1
    for part in parts:
        assert len(part.get("said", [])) <= 1 >= len(part.get("rows", []))
        view.take(part)
    assert (view.drawn(), view.run, view.missing) == (at_once.drawn(), at_once.run, at_once.missing)


def test_only_what_has_changed_is_told() -> None:
    stream = mystery()
    live = Deltas()
    for event in stream[:20]:
        live.apply(event)
    live.take(START)
    quiet = live.take(START)
    assert (quiet["rows"], quiet["said"]) == ([], [])
    finished = next(n for n, event in enumerate(stream) if n > 20 and isinstance(event, events.CallFinished))
    for event in stream[20:finished]:
        live.apply(event)
    live.take(START)
    live.apply(stream[finished])
    assert {row[2] for row in live.take(START)["rows"]} == {"0", stream[finished].call}


def test_words_that_stream_in_are_told_once() -> None:
    live, view = Deltas(), View()
    reply = "Some words of a model. " * 200
    for event in numbered(*began(), events.ModelRequested(iteration=1, messages=())):
        live.apply(event)
    view.take(live.take(START))
    for at in range(0, len(reply), 10):
        live.apply(events.TextDelta(iteration=1, text=reply[at : at + 10], time=START + 1))
        piece = live.take(START + 1)
        assert sum(len(text) for _, _, text, _ in piece["said"]) < 400, "the label, and the new words"
        view.take(piece)
    assert view.drawn()[1][-2] == [["Reply", reply, "prose"]]


def test_a_long_text_is_cut_and_there_to_ask_for() -> None:
    text = "x" * 5_000_000
    live, view = Deltas(), View()
    for event in numbered(*began(), *turn(1, text, *cell("c", *call(1, text, "short"))), *ended(text)):
        live.apply(event)
    view.take(live.take(START))
    assert view.heard < 100_000
    prompt = next(
        part for row in live.whole(START)["rows"] if row[0] == "call" for part in row[-2] if part[0] == "Prompt"
    )
    assert view.missing[prompt[1]] == 5_000_000 - 10_000
    assert live.text(prompt[1], 1_000_000) == ("x" * 1_000_000, 4_000_000)
    assert live.text(10**9, 10) == ("", 0), "an index that a front end has made up"


def test_many_long_texts_are_cut_shorter_and_shorter() -> None:
    live, view, saved = Deltas(), View(), View()
    prompts = [f"{n} " + "a long prompt " * 100 for n in range(10_000)]
    asked = (event for n, prompt in enumerate(prompts, 1) for event in call(n, prompt, "yes"))
    for event in numbered(*began(), *turn(1, "x", *cell("c", *asked)), *ended("a")):
        live.apply(event)
        if event.seq % 500 == 0:
            view.take(live.take(event.time))
    view.take(live.take(START))
    saved.take(live.whole(START, Room(1_000_000)))
    assert view.heard < 14_000_000
    assert saved.heard < 5_000_000
    heads = {saved.texts[row[-2][0][1]] for _, row in saved.rows.values() if row[0] == "call"}
    assert min(map(len, heads)) == 160


@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({"max_calls": 14}, [["max_calls", 13, 14]]),
        ({"max_calls": 100, "max_tokens": 9000}, [["max_tokens", 8620, 9000]]),
        ({"max_iterations": 3, "max_seconds": None}, [["max_iterations", 3, 3]]),
        ({"max_seconds": 10.0}, [["max_seconds", 9.5, 10.0]]),
    ],
)
def test_a_limit_that_is_near_is_told(options: dict[str, Any], near: list[Any]) -> None:
    live, view = Deltas(), View()
    stream = mystery()
    stream[0] = dataclasses.replace(stream[0], options=options)
    for event in stream[:-1]:
        live.apply(event)
    view.take(live.take(START + 9.5))
    assert view.run["near"] == near


def test_a_run_begun_again_makes_the_old_rows_void() -> None:
    live, view = Deltas(), View()
    stream = resumed()
    for event in stream:
        live.apply(event)
        if event.seq % 3 == 0:
            view.take(live.take(event.time))
    view.take(live.take(stream[-1].time))
    assert [row[2] for row in view.drawn() if row[0] in ("child", "call")] == ["0.1", "0.1.1"]
