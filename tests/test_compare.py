"""Runs side by side: their numbers, where they part, and how that is shown."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from rich.console import Console

from rlm_kernel import RLM, ScriptedModel, journal
from rlm_kernel.comparing import Comparison, compare
from rlm_kernel.comparing.differences import first_difference
from rlm_kernel.errors import ModelError, OptionError
from rlm_kernel.events.tree import Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.host.options import Options
from rlm_kernel.host.plain import plain_calls
from rlm_kernel.host.providers import Reply
from tests.events.stories import began, call, cell, child, ended, mystery, numbered, output, turn
from tests.host import script
from tests.sinks import hostile

PAID = Usage(1, 900, 100, cost=0.25)


def story(*turns: Iterator[Event], answer: str | None = "The butler.", **options: Any) -> list[Event]:
    """A run with these turns."""
    return numbered(*began(**options), *(event for one in turns for event in one), *ended(answer, usage=PAID))


def looked(code: str = "print(1)", said: str = "1\n", *calls: Event, words: str = "I look.") -> Iterator[Event]:
    """A first turn."""
    return turn(1, f"{words}\n```repl\n{code}\n```", *cell(code, *calls, output(said)))


# --- real runs, real plain calls


def run(answer: str, model: str = "openai/root") -> Any:
    root = [
        Reply(script.cell("print(llm_query('p'))"), PAID),
        Reply(script.done(f"rlm_query({answer!r}, context={answer!r})"), PAID),
    ]
    return RLM(
        ScriptedModel(root, model),
        sub_model=ScriptedModel(lambda messages: Reply("said", PAID), "openai/sub"),
        child_model=ScriptedModel(lambda messages: Reply(script.done("context"), PAID), "openai/child"),
        max_depth=2,
        sandbox="process",
    ).completion("Who did it?", "the book")


def test_two_real_runs_are_compared_by_their_completions_trees_or_journals() -> None:
    one, other = run("Mustard."), run("Plum.")
    found = compare([one, other])
    for again in (compare([one.tree, other.tree]), compare([journal.read(c.run_dir) for c in (one, other)])):
        assert [dataclasses.replace(side, seconds=0) for side in again.sides] == [
            dataclasses.replace(side, seconds=0) for side in found.sides
        ]
        assert again.differences == found.differences
    first, second = found.sides
    assert (first.name, second.name) == (one.run_dir.name, other.run_dir.name)
    assert (first.answer, second.answer) == ("Mustard.", "Plum.")
    assert (first.question, first.outcome, first.stop_reason) == ("Who did it?", "answered", "answered")
    assert (first.cost, first.tokens, first.usage.calls) == (1.0, 4000, 4)
    assert (first.sub_calls, first.nodes, first.depth, first.iterations, first.cells) == (2, 2, 2, 2, 3)
    assert first.models == ("openai/root", "openai/sub", "openai/child")
    assert (found.same_question, found.same_answer) == (True, False)
    (difference,) = found.differences
    assert (difference.turn, difference.what) == (2, "code")
    assert "Mustard." in difference.left
    assert "Plum." in difference.right


async def test_an_rlm_stands_beside_plain_calls() -> None:
    replies: list[Any] = [
        Reply("Plum.", Usage(1, 100, 10, cost=0.1)),
        Reply("Plum.", Usage(1, 100, 30, cost=0.3)),
        ModelError("no"),
    ]
    replies += [Reply("Mustard.", Usage(1, 100, 20, cost=0.2), finish="length")]
    plain = await plain_calls(Options.of(model=ScriptedModel(replies)), "Who did it?", "the book", times=4)
    found = compare({"RLM": mystery(), "plain call": plain})
    side = found.sides[1]
    assert (side.kind, side.answer, side.models) == ("plain", "Plum.", ("scripted",))
    assert side.outcome == "2 of 3 replies gave this answer; 1 other answer came; 1 cut off; 1 failed: no"
    assert (side.cost, side.tokens) == (0.2, 120)
    assert side.spread is not None
    assert side.spread["cost"] == {"min": 0.1, "median": 0.2, "max": 0.3}
    assert (side.sub_calls, side.iterations, side.cells) == (None, None, None)
    assert found.differences == ()
    text = str(found)
    assert "$0.2000 ($0.1000 to $0.3000)" in text
    assert "plain calls are the median of one" in text


async def test_plain_calls_that_do_not_fit_say_so_in_the_table() -> None:
    options = Options.of(model=ScriptedModel([]), context_window=10_000)
    plain = await plain_calls(options, "q", "x" * 80_000)
    side = compare([mystery(), plain]).sides[1]
    assert side.name == "plain, 0 calls"
    assert side.outcome.startswith("The input does not fit into one call")
    assert (side.answer, side.cost) == ("", None)
    assert "does not fit" in str(compare([mystery(), plain]))


# --- where runs part


@pytest.mark.parametrize(
    ("other", "turn_", "what", "left", "right"),
    [
        (story(looked(words="I ask.")), 1, "words", "I look.", "I ask."),
        (story(looked("print(2)")), 1, "code", "print(1)", "print(2)"),
        (story(looked("print(1)", "2\n")), 1, "outputs", "1", "2"),
        (story(looked("print(1)", "1\n", *call(1, "p", "r"))), 1, "calls", "", "p → r"),
        (story(looked(), turn(2, "More.")), 2, "turns", "1 turn", "2 turns"),
        (story(turn(1, "I look.")), 1, "code", "print(1)", ""),
        (story(looked(), answer="Nobody."), 1, "answer", "The butler.", "Nobody."),
    ],
)
def test_where_two_runs_first_part(other: list[Event], turn_: int, what: str, left: str, right: str) -> None:
    (found,) = compare({"a": story(looked()), "b": other}).differences
    assert (found.first, found.second) == ("a", "b")
    assert (found.turn, found.what, found.left, found.right) == (turn_, what, left, right)


def test_runs_that_did_the_same_have_no_difference() -> None:
    found = compare([story(looked()), story(looked())])
    assert (found.same_answer, found.differences) == (True, ())
    assert "The same answer." in str(found)


def test_the_line_that_differs_is_shown_also_of_long_texts() -> None:
    same = "same = 1\n" * 1000
    pair = (story(looked(f"{same}x = 1\nmore")), story(looked(f"{same}x = 2\nmore")))
    (found,) = compare(pair).differences
    assert (found.left, found.right) == ("x = 1", "x = 2")
    long = "y" * 10_000
    (found,) = compare([story(looked(f"{long}1{long}")), story(looked(f"{long}2{long}"))]).differences
    assert len(found.left) < 250
    assert "y1y" in found.left
    assert "y2y" in found.right


def test_every_run_is_compared_with_the_first() -> None:
    found = compare([story(looked("print(2)")), story(looked()), story(looked("print(2)")), story(looked("print(3)"))])
    assert [(d.first, d.second) for d in found.differences] == [
        (found.sides[0].name, found.sides[1].name),
        (found.sides[0].name, found.sides[3].name),
    ]
    assert len({side.name for side in found.sides}) == 4  # they all have the same id


def test_two_trees_alone() -> None:
    assert first_difference("a", Tree(), "b", Tree()) is None


# --- what is compared


def test_runs_that_go_on_or_failed_are_compared_too() -> None:
    failed = numbered(*began(), *ended(None, "error", "the model is down", usage=Usage(1, 0, 0, 1, 0, 0, 0.0, 1)))
    found = compare({"running": mystery()[:20], "failed": failed})
    running, down = found.sides
    assert (running.outcome, running.stop_reason) == ("running", None)
    assert down.outcome == "failed: the model is down"
    assert (down.cost, down.tokens) == (None, None)
    assert "unknown" in str(found)


def test_different_questions_are_told() -> None:
    found = compare([numbered(*began("One?"), *ended("a")), numbered(*began("Two?"), *ended("a"))])
    assert (found.same_question, found.same_answer) == (False, True)
    text = str(found)
    assert "Different questions." in text
    assert "One?" in text
    assert "Two?" in text


def test_children_count() -> None:
    within = turn(1, "Looking.", *cell("inner()", node="0.1"), node="0.1")
    found = compare([story(looked("c", "", *child(1, "q", "a", *within))), story(looked())])
    assert [(side.nodes, side.depth, side.cells) for side in found.sides] == [(2, 2, 2), (1, 1, 1)]


@pytest.mark.parametrize(
    "runs",
    [[], [mystery()], {"one": mystery()}, "two", None, 3, [mystery(), "text"], [mystery(), b""], [mystery(), 3],
     [mystery(), []], [mystery(), [1, 2]], [mystery(), {"a": 1}]],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_with_what_can(runs: Any) -> None:
    with pytest.raises(OptionError, match="a Completion, a Tree, the events of a run"):
        compare(runs)


# --- how it is shown


def both() -> Comparison:
    return compare({"before": mystery(), "after": story(looked())})


def test_it_is_values_that_json_has() -> None:
    values = json.loads(json.dumps(both().to_dict()))
    assert (values["same_question"], values["same_answer"]) == (False, False)
    assert [side["name"] for side in values["sides"]] == ["before", "after"]
    assert values["sides"][0]["usage"]["calls"] == 15
    assert values["differences"][0]["turn"] == 1


def test_a_notebook_shows_a_table_and_its_text() -> None:
    bundle = both()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/html"] == both()._repr_html_()
    html = bundle["text/html"]
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    assert all(len(re.findall(r"<t[dh]", row)) == 3 for row in rows)
    for text in bundle.values():
        for word in ("before", "after", "The butler.", "8,620", "6.2 s", "turn 1", "sub-calls"):
            assert word in text


def test_a_terminal_gets_a_table_with_colours() -> None:
    console = Console(force_terminal=True, width=120, color_system="standard", record=False)
    with console.capture() as captured:
        console.print(both())
    assert "\x1b[" in captured.get()
    assert "The butler." in captured.get()
    assert "\x1b" not in str(both())


class Strict(HTMLParser):
    """Counts elements, and refuses what could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {"div", "p", "b", "span", "table", "tr", "td", "th", "bdi", "pre"}
        assert {name for name, _ in attrs} <= {"style", "class"}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=hostile.TEXTS)
def test_no_text_of_a_run_leaves_its_place(text: str) -> None:
    found = compare({text: hostile.run(text), "other": [*hostile.run("other")]})
    html = found._repr_html_()
    parser = Strict()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    html.encode()
    assert len(html) < 100_000
    shown = str(found)
    shown.encode()
    assert not set(shown) & {*map(chr, [*range(10), *range(11, 32), *range(127, 160)]), "\u202e", "\u2067", "\u200f"}
    json.dumps(found.to_dict())


def test_trees_of_many_calls_are_compared_in_no_time() -> None:
    calls = [event for n in range(1, 10_001) for event in call(n, f"prompt {n}", "r")]
    tree = fold(story(looked("c", "", *calls)))
    found = compare([tree, tree])
    assert found.sides[0].sub_calls == 10_000
    assert found.differences == ()
