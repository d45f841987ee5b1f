"""The terminal's view: what was said, as text that cannot steer the terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import fold
from rlm_kernel.events.types import Event
from rlm_kernel.sinks.terminal import TerminalView, render
from tests.events.stories import began, call, cell, child, ended, mystery, numbered, output, turn
from tests.sinks import hostile

RUN = mystery()
# What rich itself sends: colours; and, around a live view, the cursor's movements and visibility.
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
MOVEMENTS = re.compile(r"\x1b\[(?:\?25[lh]|\d?[AK])|\r")


def terminal(*, width: int = 200, height: int = 500) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=True, width=width, height=height, color_system="standard", legacy_windows=False
    )
    return console, file


def shown(stream: list[Event]) -> str:
    """What the terminal gets for a run, with rich's own colours taken out."""
    console, file = terminal()
    console.print(render(fold(stream)))
    return COLOURS.sub("", file.getvalue())


def test_a_run_shows_its_question_answer_totals_cells_and_outputs() -> None:
    text = shown(RUN)
    for words in (
        "answered  Which chapter first names the murderer, and how?",
        "The butler, in chapter 3",
        "3 iterations",
        "8,620 tokens",
        "6.2 s",
        "I will look at the context first",
        "11 chapters",
        "NameError: name 'chapter' is not defined",
        "2 of 14 files were skipped.",
    ):
        assert words in text


def test_of_many_calls_the_first_are_listed_and_the_others_counted() -> None:
    calls = [event for n in range(1, 33) for event in call(n, f"prompt {n}", f"reply {n}")]
    text = shown(numbered(*began(), *turn(1, "x", *cell("c", *calls)), *ended("a")))
    assert [f"reply {n}" in text for n in range(1, 33)] == [True] * 5 + [False] * 27
    assert "… 27 more calls" in text


def test_a_childs_cells_stand_below_its_call() -> None:
    within = turn(1, "Looking.", *cell("inner()", output("found", node="0.1"), node="0.1"), node="0.1")
    text = shown(numbered(*began(), *turn(1, "x", *cell("c", *child(1, "q", "child's answer", *within))), *ended("a")))
    assert text.index("child's answer") < text.index("inner()") < text.index("found")


def test_errors_are_red_and_end_with_what_went_wrong() -> None:
    trace = "Traceback\n" + "  File\n" * 20 + "ValueError: the reason"
    stream = numbered(*began(), *turn(1, "x", *cell("c", output(trace, "error"), status="error")), *ended("a"))
    console, file = terminal()
    console.print(render(fold(stream)))
    assert "\x1b[31mValueError: the reason\x1b[0m" in file.getvalue()
    assert "… 18 more lines" in shown(stream)


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=hostile.TEXTS)
def test_no_text_can_steer_the_terminal(text: str) -> None:
    seen = shown(hostile.run(text))
    controls = {
        *map(chr, range(10)),
        *map(chr, range(11, 32)),
        *map(chr, range(127, 160)),
        "\u202e",
        "\u2067",
        "\u200f",
    }
    assert not set(seen) & controls
    seen.encode("utf-8")


def test_markup_of_a_model_is_shown_as_it_was_written() -> None:
    assert hostile.TEXTS["markup"] in shown(hostile.run(hostile.TEXTS["markup"]))


def test_every_moment_of_a_run_can_be_shown() -> None:
    for length in range(len(RUN)):
        assert "running" in shown(RUN[:length])


def test_a_live_view_ends_with_the_whole_run() -> None:
    console, file = terminal(height=8)
    with TerminalView(console) as view:
        for event in RUN:
            view(event)
    text = COLOURS.sub("", file.getvalue())
    last = text[text.rindex("\x1b[2K") :]
    assert not set(MOVEMENTS.sub("", last)) & set(map(chr, [*range(10), *range(11, 32)]))
    assert "Which chapter first names the murderer" in last
    assert last.index("I will look at the context first") < last.index("The butler, in chapter 3: “the hand")


def test_a_live_view_of_a_long_run_follows_its_end() -> None:
    console, file = terminal(height=6)
    view = TerminalView(console)
    for event in RUN[:-3]:
        view(event)
    with view:  # what is drawn first is what there is
        text = COLOURS.sub("", file.getvalue())
    assert "2 of 14 files were skipped." in text
    assert "I will look at the context first" not in text


def test_a_tree_folded_elsewhere_can_be_shown() -> None:
    console, file = terminal()
    with TerminalView(console) as view:
        view.show(fold(RUN))
    assert "The butler, in chapter 3" in file.getvalue()


def test_where_there_is_no_terminal_nothing_is_written() -> None:
    file = io.StringIO()
    with TerminalView(Console(file=file, force_terminal=False)) as view:
        for event in RUN:
            view(event)
        view.show(fold(RUN))
    assert file.getvalue() == ""


def test_a_note_and_a_failed_child_are_told() -> None:
    failing = [
        events.CallRequested(call="0.1", kind="rlm", model="m", prompt="q", cell=1),
        events.NodeStarted(node="0.1", depth=1, model="m", question="q", context={}),
        events.NodeFinished(node="0.1", stop_reason="error", seconds=1.0, error="the kernel died"),
    ]
    text = shown(numbered(*began(), *turn(1, "x", *cell("c", *failing)), events.Note(text="restarted"), *ended("a")))
    assert "the kernel died" in text
    assert "restarted" in text
