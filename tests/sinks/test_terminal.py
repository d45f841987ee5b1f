"""The terminal's view: what was said, as text that cannot steer the terminal."""

from __future__ import annotations

import dataclasses
import io
import re
import sys
import time
from typing import Any

import pytest
from rich.console import Console

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.sinks.progress import Progress
from rlm_kernel.sinks.rich_tree import render_end
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


def progress_of(stream: list[Event]) -> str:
    """The line of progress, as a sink counts it; a tree that is folded elsewhere must give the same."""
    progress = Progress()
    for event in stream:
        progress.apply(event)
    tree = fold(stream)
    line = progress.line(tree)
    assert Progress.of(tree).line(tree) == line
    return line


def test_the_line_of_progress_tells_calls_tokens_money_time_and_what_is_running() -> None:
    paid = Usage(1, 400, 20, cost=0.0125)
    inside = [*call(1, "p", "r", usage=paid), *list(child(2, "q", "a"))[:-2], next(iter(call(3, "p", "r")))]
    stream = numbered(*began(), *turn(2, "x", events.CellStarted(iteration=2, cell=1, code="c"), *inside))
    stream = [dataclasses.replace(event, time=time.time() - 65) for event in stream]
    line = progress_of(stream)
    assert line.startswith("running · turn 2 · 1 child RLM · 2 calls, 1,420 tokens, $0.0125 · 2 running · 1 min 0")
    ending = events.NodeFinished(node="0.2", stop_reason="answered", seconds=1.0)
    assert " · 1 running · " in progress_of([*stream, dataclasses.replace(ending, time=time.time())])
    assert progress_of([]).startswith("starting")
    assert progress_of(RUN).startswith("answered · turn 3 · 1 child RLM · 15 calls, 8,620 tokens · 6.2 s")


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, None),
        ({"max_calls": 1000, "max_cost": None}, None),
        ({"max_calls": 12}, "max_calls: 10 of 12"),
        ({"max_calls": 12, "max_tokens": 5400}, "max_tokens: 5,200 of 5,400"),
        ({"max_cost": 0.12}, "max_cost: 0.10 of 0.12"),
        ({"max_iterations": 1}, "max_iterations: 1 of 1"),
        ({"max_calls": 4}, None),  # it was raised since: more than that have been asked
        ({"max_calls": "many", "max_tokens": True}, None),
    ],
)
def test_the_limit_that_is_nearest_is_told(limits: dict[str, Any], told: str | None) -> None:
    calls = [event for n in range(1, 11) for event in call(n, "p", "r", usage=Usage(1, 400, 20, cost=0.01))]
    line = progress_of(numbered(*began(**limits), *turn(1, "x", *cell("c", *calls))))
    assert line.partition("near ")[2] == (told or "")


def test_a_call_that_cost_nothing_is_not_near_the_limit_and_a_raised_limit_counts() -> None:
    asked = next(iter(call(1, "p", "r")))
    cached = events.CallFinished(call="0.1", status="ok", text="r", usage=Usage(), seconds=0.0, cached=True)
    stream = numbered(*began(max_calls=1), *turn(1, "x", *cell("c", asked, cached)))
    assert "near" not in progress_of(stream)
    progress = Progress()
    for event in numbered(*began(max_calls=1), asked, events.RunContinued(limits={"max_calls": 5})):
        progress.apply(event)
    assert "near" not in progress.line(fold(stream))


def long_run(turns: int, calls: int) -> list[Event]:
    """A run that is not over: many turns, each with many calls and a long output."""
    stream = list(began(max_calls=100_000))
    for number in range(1, turns + 1):
        asked = [event for n in range(calls) for event in call(number * calls + n, "p" * 500, "r" * 90, index=number)]
        inside = cell("asked()", *asked, output("line\n" * 2_000, index=number), index=number, iteration=number)
        stream += turn(number, f"This is turn {number}.", *inside)
    return numbered(*stream)


def test_of_a_long_run_only_what_fits_is_rendered() -> None:
    console, file = terminal()
    console.print(render_end(fold(long_run(200, 3)), 40))
    text = COLOURS.sub("", file.getvalue())
    assert 40 <= text.count("\n") <= 120
    assert "This is turn 200." in text
    assert re.search(r"… 19\d earlier turns", text)


def test_of_a_cell_that_runs_the_last_calls_are_followed() -> None:
    calls = [event for n in range(1, 33) for event in call(n, f"prompt {n}", f"reply {n}")]
    stream = numbered(*began(), *turn(1, "x", *list(cell("c", *calls))[:-1]))
    console, file = terminal()
    console.print(render_end(fold(stream), 40))
    text = COLOURS.sub("", file.getvalue())
    assert [f"reply {n} " in text for n in range(1, 33)] == [False] * 27 + [True] * 5
    assert "… 27 earlier calls" in text


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clock of another thread here")
@pytest.mark.parametrize(("turns", "calls", "height"), [(1, 10_000, 50), (100, 100, 50), (1000, 10, 600)])
def test_ten_thousand_calls_are_drawn_with_a_few_percent_of_a_core(turns: int, calls: int, height: int) -> None:
    console, file = terminal(height=height)  # a frame of 600 lines is dear
    stream = long_run(turns, calls)
    assert sum(isinstance(event, events.CallFinished) for event in stream) == 10_000
    with TerminalView(console) as view:
        assert view._thread is not None
        assert view._thread.ident is not None
        clock, began_at = time.pthread_getcpuclockid(view._thread.ident), time.monotonic()
        for number, event in enumerate(stream):
            view(event)
            if number % 100 == 0:
                time.sleep(0.01)
        used, took = time.clock_gettime(clock), time.monotonic() - began_at
    assert took > 1
    assert used < 0.25 * took + 0.5  # it aims at 2 %; without the pauses it takes all that there is
    assert f"{10_000 + turns:,} calls" in file.getvalue()


def test_a_second_run_begins_a_tree_of_its_own_and_the_first_stays() -> None:
    console, file = terminal(height=8)
    other = numbered(*began("And who else?"), *ended("Nobody."))
    with TerminalView(console) as view:
        for event in [*RUN, *other]:
            view(event)
    text = COLOURS.sub("", file.getvalue())
    assert text.index("The butler, in chapter 3: “the hand") < text.rindex("And who else?") < text.rindex("Nobody.")
    last = text[text.rindex("\x1b[2K") :]
    assert "I will look at the context first" not in last


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=hostile.TEXTS)
def test_no_text_can_steer_the_terminal_while_a_run_goes_on(text: str) -> None:
    console, file = terminal(width=100, height=30)
    stream = hostile.run(text)
    for length in (1, 2, 5, len(stream) // 2, len(stream) - 1):
        view = TerminalView(console)
        for event in stream[:length]:
            view(event)
        with view:  # draws once
            pass
    left = MOVEMENTS.sub("", COLOURS.sub("", file.getvalue()))
    assert not set(left) & {*map(chr, [*range(10), *range(11, 32), *range(127, 160)]), "\u202e", "\u2067", "\u200f"}


@pytest.mark.parametrize(("value", "shows"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_the_environment_can_ask_for_silence(monkeypatch: pytest.MonkeyPatch, value: str, shows: bool) -> None:
    monkeypatch.setenv("RLM_QUIET", value)
    console, file = terminal()
    with TerminalView(console) as view:
        view(RUN[0])
    assert bool(file.getvalue()) is shows
    console, file = terminal()
    with TerminalView(console, quiet=False) as view:  # the caller's word goes before the environment's
        view(RUN[0])
    assert file.getvalue()


def test_what_is_printed_meanwhile_goes_where_it_always_goes(capsys: pytest.CaptureFixture[str]) -> None:
    console, file = terminal()
    with TerminalView(console):
        print("a result")
        print("a warning", file=sys.stderr)
    assert capsys.readouterr() == ("a result\n", "a warning\n")  # neither is a terminal here
    assert "a result" not in file.getvalue()


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
        assert view._thread is None
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
