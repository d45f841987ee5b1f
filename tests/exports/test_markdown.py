"""The Markdown page: all of the run is in it, and hostile texts stay inside what they were put in."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.markdown import to_markdown
from tests.events import stories
from tests.sinks import hostile


def tokens(page: str) -> Iterator[Token]:
    """What a page is made of, as CommonMark and GitHub's tables read it."""
    for token in MarkdownIt("commonmark", {"html": True}).enable("table").parse(page):
        yield token
        yield from token.children or []


def of_type(page: str, *kinds: str) -> list[Token]:
    return [token for token in tokens(page) if token.type in kinds]


class TestWhatIsInIt:
    @pytest.fixture
    def page(self) -> str:
        return to_markdown(stories.mystery())

    def test_the_question_the_answer_and_the_totals(self, page: str) -> None:
        assert page.startswith("# Which chapter first names the murderer, and how?\n")
        assert "The butler, in chapter 3: “the hand that poured the tea was shaking”." in page
        assert "**answered** · 3 iterations · 1 child RLM · 15 calls, 8,620 tokens" in page

    def test_the_models_are_a_table(self, page: str) -> None:
        cells = [token.content for token in of_type(page, "inline") if token.content]
        first = cells.index("openai/gpt-5-mini")
        assert cells[first : first + 5] == ["openai/gpt-5-mini", "4", "3,600", "400", "$0"]
        assert of_type(page, "table_open")

    def test_every_cell_and_output_is_fenced(self, page: str) -> None:
        fences = [(token.info, token.content.rstrip("\n")) for token in of_type(page, "fence")]
        code = [content for tag, content in fences if tag == "python"]
        assert code == [cell.code for cell in _cells()]
        assert ("text", "11 chapters") in fences
        assert ("text", "NameError: name 'chapter' is not defined") in fences

    def test_sub_calls_are_folded_with_children_in_them(self, page: str) -> None:
        (tree,) = [token.content for token in of_type(page, "html_block")]
        assert tree.count("<details>") == tree.count("</details>") == 1 + 12 + 3
        assert "He was in the pantry." in tree

    def test_notes_are_listed(self, page: str) -> None:
        assert "- 2 of 14 files were skipped." in page

    def test_what_is_not_known_is_not_zero(self) -> None:
        unknown = Usage.of_call(None, None)
        stream = stories.numbered(
            *stories.began(),
            events.ModelRequested(iteration=1, messages=()),
            events.ModelReplied(iteration=1, text="w", usage=unknown, seconds=1.0),
            *stories.ended(None, "error", "the provider is down", usage=unknown),
        )
        page = to_markdown(stream)
        assert "| openai/gpt-5-mini | 1 | unknown | unknown | unknown |" in page
        assert "There is none." in page
        assert "the provider is down" in page


def _cells() -> list[events.CellStarted]:
    return [e for e in stories.mystery() if isinstance(e, events.CellStarted) and e.node == "0"]


@pytest.mark.parametrize("name", [*hostile.TEXTS, "closing", "links"])
def test_nothing_leaves_its_place(name: str) -> None:
    text = {
        "closing": "```\n````\n<script>alert(1)</script>\n~~~\n`````py\n\n# not a heading\n</pre>\n\n</details>\n\n*x",
        "links": "[a](javascript:alert(1)) ![b](//x) <http://x> [c]: javascript:x\n\n[c]: javascript:x\n\n[c] www.x.y",
    }.get(name) or hostile.TEXTS[name]
    page = to_markdown(hostile.run(text))
    page.encode()
    for token in tokens(page):
        assert token.type not in ("link_open", "image")
        if token.type == "html_block":
            assert token.content.startswith("<details>")
            assert token.content.rstrip("\n").endswith("</details>")
            assert "\n" not in token.content.rstrip("\n")
            assert set(re.findall(r"<[^>]*>", token.content)) <= _TAGS
            assert "www." not in token.content
        if token.type == "html_inline":
            assert token.content in ("<span>", "</span>")
    fences = of_type(page, "fence")
    assert len([token for token in fences if token.info == "python"]) == 2
    headings = [token.content for token in of_type(page, "inline") if token.content.startswith("Iteration ")]
    assert len(headings) == 2
    assert "not a heading" not in str(of_type(page, "heading_open"))


_TAGS = {f"<{end}{tag}>" for end in ("", "/") for tag in ("details", "summary", "pre", "div", "p", "i", "span")}


def test_a_fenced_text_is_what_was_written() -> None:
    code = "x = '''\n```\n````\n'''\n    indented"
    page = to_markdown(stories.numbered(*stories.began(), *stories.turn(1, "w", *stories.cell(code))))
    assert [token.content for token in of_type(page, "fence") if token.info == "python"] == [f"{code}\n"]


def test_texts_are_cut_and_say_by_how_much() -> None:
    stream = stories.numbered(
        *stories.began("q" * 500),
        *stories.turn(1, "w" * 500, *stories.cell("c" * 500, *stories.call(1, "p" * 500, "r"))),
        *stories.ended("a" * 500),
    )
    page = to_markdown(stream, characters=100)
    assert page.count("… 400 more characters left out") == 4
    assert page.count("… 480 more characters left out") == 1  # a fifth of it in a sub-call
    assert "left out" not in to_markdown(stream, characters=None)


def test_calls_beyond_the_limit_are_counted() -> None:
    page = to_markdown(stories.mystery(), calls=5)
    assert "… 7 more calls" in page
    assert page.count("<details>") == 1 + 5


def test_a_page_of_many_calls_stays_readable() -> None:
    calls = [event for n in range(1, 2001) for event in stories.call(n, "p" * 10_000, "r" * 10_000, index=1 + n // 100)]
    by_cell = [calls[start : start + 200] for start in range(0, len(calls), 200)]
    cells = [event for n, some in enumerate(by_cell, 1) for event in stories.cell("c", *some, index=n)]
    page = to_markdown(stories.numbered(*stories.began(), *stories.turn(1, "w", *cells), *stories.ended("a")))
    assert 500_000 < len(page) < 3_500_000
    assert page.count("✓ 0.") == 2000
    assert "9,501 more characters left out" in page


def test_any_prefix_of_a_run_is_a_page() -> None:
    whole = stories.mystery()
    for length in range(len(whole)):
        assert to_markdown(whole[:length]).startswith("# ")
