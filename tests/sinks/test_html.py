"""The notebook's view: one piece of HTML that holds what was said, and only says it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from rlm_kernel.events import types as events
from rlm_kernel.events.tree import TreeBuilder, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.sinks import html, style
from tests.events.stories import began, call, cell, ended, mystery, numbered, output, turn
from tests.sinks import hostile

RUN = mystery()
TAGS = {"img", "div", "style", "span", "b", "bdi", "details", "summary", "code", "pre", "p"}
CLASSES = {
    *("rlm", "badge", "q", "answer", "partial", "failure", "dim", "note", "out", "warn", "bad", "pulse", "reply"),
    *("tex2jax_ignore", "mathjax_ignore"),
}
DECLARATIONS = {declaration for look in style.STYLES.values() for declaration in look.split(";")}
STATES = {"ok", "error", "running", "stopped"}
IMAGE = re.compile(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Page(HTMLParser):
    """Reads a fragment as a browser would, and checks that each tag is one of ours and is closed where it should be."""

    def __init__(self, fragment: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.styles = ""
        self.feed(fragment)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        self.tags.append(tag)
        assert (tag == "summary") <= (self.tags[-2:] == ["details", "summary"] and self.open[-1] == "details")
        for name, value in attrs:
            if tag == "img":
                assert (name, value) == ("alt", "") or (name == "src" and IMAGE.fullmatch(value or ""))
            elif name == "class":
                assert set((value or "").split()) <= CLASSES | STATES
            elif name == "style":
                assert set((value or "").split(";")) <= DECLARATIONS
            else:
                assert (tag, name, value) == ("details", "open", None)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["style"]:
            self.styles += data
        else:
            assert "\u202e" not in data or self.open[-1] in {"bdi", "div", "p", "pre"}  # what ends the reordering
            self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def tree_page(stream: list[Event]) -> Page:
    return Page(html.render(fold(stream)))


def test_a_run_shows_its_question_answer_totals_and_everything_it_did() -> None:
    page = tree_page(RUN)
    for text in (
        "answered",
        "Which chapter first names the murderer, and how?",
        "The butler, in chapter 3: “the hand that poured the tea was shaking”.",
        "3 iterations",
        "15 calls",
        "8,620 tokens",
        "6.2 s",
        "I will look at the context first",
        'print(len(parts), "chapters")',
        "11 chapters",
        "Which suspects does chapter 11 name?",
        "429: the provider is busy",
        "He was in the pantry.",
        "NameError: name 'chapter' is not defined",
        "2 of 14 files were skipped.",
    ):
        assert text in page.text
    assert page.text.index("answered") < page.text.index("The butler, in chapter 3") < page.text.index("Iteration 1")
    assert page.tags.count("details") == 4 + 5 + 13  # iterations, cells, calls


def test_the_page_needs_nothing_from_elsewhere_and_styles_nothing_but_itself() -> None:
    page = tree_page(RUN)
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    rules = [
        rule.partition("{")[0] for rule in page.styles.replace("@keyframes rlm-pulse{50%{opacity:.2}}", "").split("}")
    ]
    selectors = [selector for rule in rules if rule for selector in rule.split(",")]
    assert all(selector.startswith(".rlm") for selector in selectors)
    assert page.styles.count("{") == page.styles.count("}")


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=hostile.TEXTS)
def test_no_text_can_leave_its_place(text: str) -> None:
    page = tree_page(hostile.run(text))
    assert page.tags.count("details") == tree_page(hostile.run("harmless")).tags.count("details")
    assert not set(page.text) & set(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=hostile.TEXTS)
def test_what_is_shown_can_be_sent_and_stays_small(text: str) -> None:
    for view in (html.render(fold(hostile.run(text))), html.render_text(fold(hostile.run(text)))):
        view.encode("utf-8")
        assert len(view) < 1_000_000


def test_every_moment_of_a_run_is_a_whole_page() -> None:
    builder = TreeBuilder()
    for event in RUN[:-1]:
        builder.apply(event)
        assert "● running" in Page(html.render(builder.tree)).text
        assert "[running]" in html.render_text(builder.tree)
    Page(html.render(TreeBuilder().tree))


def test_what_runs_is_unfolded_and_marked_where_it_runs() -> None:
    asked = next(n for n, event in enumerate(RUN) if isinstance(event, events.CallFinished) and event.call == "0.5")
    fragment = html.render(fold(RUN[:asked]))
    assert fragment.count('<span class="pulse">') == 3  # the run, the cell, the call
    assert re.search(r'<details[^>]* open[^>]*><summary[^>]*><span class="running"', fragment)


def test_a_reply_is_shown_while_it_streams() -> None:
    page = tree_page(RUN[:4])
    assert "I will loo" in page.text
    assert "the model is writing" in page.text


@pytest.mark.parametrize(
    ("reason", "badge"),
    [("max_calls", "stopped by max_calls"), ("cancelled", "stopped"), ("error", "failed"), ("answered", "answered")],
)
def test_the_badge_says_how_the_run_ended(reason: Any, badge: str) -> None:
    page = tree_page(numbered(*began(), *ended("so far", reason, "Connection refused" if reason == "error" else None)))
    assert page.text.startswith(f"{badge} Who did it?so far")
    assert page.text.count("Connection refused") == (reason == "error")


def test_a_long_text_is_cut_and_says_how_much_is_left_out() -> None:
    page = tree_page(numbered(*began(), *turn(1, "x", *cell("print(s)", output("s" * 25_000))), *ended("a" * 12_345)))
    assert f"{'a' * 10_000}\n… 2,345 more characters" in page.text
    assert f"{'s' * 10_000}\n… 15,000 more characters" in page.text


def test_ten_thousand_calls_of_one_cell_are_listed_in_part_and_counted() -> None:
    calls = [event for n in range(1, 10_001) for event in call(n, "word " * 100, "reply " * 100)]
    fragment = html.render(fold(numbered(*began(), *turn(1, "x", *cell("c", *calls)), *ended("a"))))
    assert "… 9,900 more calls" in Page(fragment).text
    assert len(fragment) < 1_000_000


def test_ten_thousand_long_calls_of_a_hundred_cells_stay_below_a_megabyte() -> None:
    turns = [
        event
        for k in range(100)
        for event in turn(
            k + 1,
            "Words of the model. " * 100,
            *cell(
                "code\n" * 1000,
                *(event for n in range(100) for event in call(100 * k + n, "<&\"'>" * 2000, "&" * 9000, index=k + 1)),
                *(output("<" * 20_000, kind, index=k + 1) for kind in ("stdout", "stderr") * 50),
                index=k + 1,
                iteration=k + 1,
            ),
        )
    ]
    fragment = html.render(fold(numbered(*began(), *turns, *ended("the answer"))))
    assert "the answer" in Page(fragment).text
    assert "more iterations" in Page(fragment).text
    assert len(fragment) < 1_000_000


def test_images_are_shown_and_what_only_says_it_is_one_is_not() -> None:
    shown = events.CellOutput(cell=1, kind="display_data", data={"image/png": f"{PIXEL}\n", "text/plain": "<Figure>"})
    fake = events.CellOutput(cell=1, kind="display_data", data={"image/png": '" onerror="x', "text/plain": "<Fake>"})
    vector = events.CellOutput(cell=1, kind="display_data", data={"image/svg+xml": "<svg/>", "text/plain": "<Vector>"})
    stream = numbered(*began(), *turn(1, "x", *cell("plot()", shown, fake, vector)), *ended("a"))
    page = tree_page(stream)
    assert page.tags.count("img") == 1
    assert f'<img src="data:image/png;base64,{PIXEL}" alt="">' in html.render(fold(stream))
    assert "<Fake>" in page.text
    assert "<Vector>" in page.text


def test_tokens_that_no_provider_reported_are_not_shown_as_zero() -> None:
    unknown = Usage(1, 0, 0, 1)
    calls = call(1, "prompt", "reply", usage=unknown)
    tree = fold(numbered(*began(), *turn(1, "x", *cell("c", *calls)), *ended("a", usage=Usage(1, 0, 0, 1))))
    assert "tokens unknown" in html.render(tree)
    assert " 0 tokens" not in html.render(tree)


def test_the_plain_text_begins_with_the_answer_and_its_totals() -> None:
    rows = html.render_text(fold(RUN)).split("\n")
    assert rows[0] == "The butler, in chapter 3: “the hand that poured the tea was shaking”."
    assert rows[2].startswith("[answered] 3 iterations")
    assert "8,620 tokens" in rows[2]
    assert len(rows) == 3 + 3 + 4
    assert "12 calls" in rows[6]


@pytest.mark.parametrize(
    ("stream", "first"),
    [
        (RUN[:5], "(no answer yet)"),
        (numbered(*began(), *ended(None, "max_calls")), "(no answer)"),
        (numbered(*began(), *ended(None, "error", "Connection refused")), "Connection refused"),
    ],
)
def test_the_plain_text_says_so_when_there_is_no_answer(stream: list[Event], first: str) -> None:
    assert html.render_text(fold(stream)).split("\n")[0] == first


def test_a_bundle_of_both_views_is_json_a_frontend_can_read() -> None:
    tree = fold(hostile.run("\ud800"))
    bundle = {"text/html": html.render(tree), "text/plain": html.render_text(tree)}
    assert json.loads(json.dumps(bundle, ensure_ascii=False).encode("utf-8")) == bundle
