"""The one-file page, without a browser: that it is whole, holds each text once, and lets none of them out."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any, ClassVar

import pytest

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.events.codec import to_json
from rlm_kernel.events.tree import fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.exports import html
from rlm_kernel.exports.html import to_html
from rlm_kernel.sinks.calltree import assets
from tests.events.stories import START, began, call, cell, ended, mystery, numbered, turn
from tests.host.script import cell as reply_of
from tests.host.script import done, events_of
from tests.sinks import hostile

RUN = mystery()
STATIC = [file for room in ("exports", "sinks.calltree") for file in (files(f"rlm_kernel.{room}") / "static").iterdir()]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FIELDS = ("kind", "level", "id", "label", "state", "model", "start", "end", "seconds", "own", "adds", "parts", "facts")


class Page(HTMLParser):
    """A document as a browser reads it: its tags, its visible text, its script, its style and its data."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = self.script = self.style = ""
        self.blocks: list[str] = []
        self.forms: set[str] = set()
        self._into = "text"
        self.feed(document)
        self.close()
        pieces = [json.loads(line) for line in self._lines()]
        self.texts: list[str] = [text for piece in pieces for text in piece.get("texts", [])]
        self.images: list[str] = [image for piece in pieces for image in piece.get("images", [])]
        self.rows = [
            dict(zip(FIELDS, row, strict=True), label=self.texts[row[3]], model=self.texts[row[5]])
            for piece in pieces
            for row in piece.get("rows", [])
        ]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        given = dict(attrs)
        self._into = "text"
        if tag == "script":
            self._into = "blocks" if "data-form" in given else "script"
            self.blocks += [""] * (self._into == "blocks")
            self.forms |= {given["data-form"] or ""} if "data-form" in given else set()
        elif tag == "style":
            self._into = "style"

    def handle_endtag(self, tag: str) -> None:
        self._into = "text"

    def handle_data(self, data: str) -> None:
        if self._into == "blocks":
            self.blocks[-1] += data
        else:
            setattr(self, self._into, getattr(self, self._into) + data)

    def _lines(self) -> list[str]:
        whole = "".join(self.blocks)
        if self.forms == {"gzip"}:
            assert all(len(block) % 4 == 0 for block in self.blocks)
            whole = gzip.decompress(base64.b64decode(whole, validate=True)).decode("utf-8")
        return whole.split("\n")

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["kind"] == kind]

    def parts(self, row: dict[str, Any]) -> dict[str, str]:
        return {title: (self.images if look == "image" else self.texts)[index] for title, index, look in row["parts"]}


def policy(page: Page) -> dict[str, str]:
    written = next(value for tag, name, value in page.attributes if tag == "meta" and "default-src" in value)
    return {name: " ".join(rest) for name, *rest in (part.split() for part in written.split(";"))}


def source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def test_the_policy_allows_the_one_script_and_the_one_style_sheet_and_nothing_else() -> None:
    page = Page(to_html(RUN))
    assert policy(page) == {
        "default-src": "'none'",
        "script-src": source(page.script),
        "style-src": source(page.style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert page.tags.count("style") == 1
    assert [value for tag, name, value in page.attributes if (tag, name) == ("script", "type")] == ["application/jsonl"]
    before = page.tags[: page.tags.index("style")]
    assert before == ["html", "head", "meta", "meta", "meta", "meta", "title"]


def test_the_document_asks_for_nothing_from_elsewhere() -> None:
    page = Page(to_html(RUN))
    names = {name for _, name, _ in page.attributes}
    assert not names & {"src", "href", "srcset", "action", "style"}
    assert not [name for name in names if name.startswith("on")]
    assert not re.search(r"url\(|@import|@font-face", page.style)


def test_the_script_makes_no_markup_and_no_requests() -> None:
    for file in STATIC:
        if file.name.endswith(".js"):
            found = re.search(
                r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|fetch\(|XMLHttp|WebSocket|"
                r"import\(|https?:|</script|<!--|srcdoc",
                file.read_text(encoding="utf-8"),
            )
            assert found is None, (file.name, found)


def test_every_static_script_is_in_the_page() -> None:
    names = {file.name for file in STATIC if file.name.endswith(".js")}
    assert names == {*assets.SCRIPTS, "page.js"}


def test_each_text_of_a_run_is_in_the_page_once() -> None:
    page = Page(to_html(RUN))
    assert len(page.texts) == len(set(page.texts))
    said: set[str] = set()
    for event in RUN:
        match event:
            case events.CallRequested():
                said.add(event.prompt)
            case events.CallFinished() | events.ModelReplied() | events.Note() | events.NodeAnswered():
                said.add(event.text)
            case events.CellStarted():
                said.add(event.code)
            case events.CellOutput():
                said.add(event.data["text/plain"])
    assert said <= set(page.texts)


def test_a_long_text_that_is_said_often_costs_its_size_once() -> None:
    long = "A long chapter, sent again and again. " * 1000
    calls = [event for n in range(1, 21) for event in call(n, long, f"reply {n}")]
    document = to_html(numbered(*began(), *turn(1, "x", *cell("c", *calls)), *ended("a")))
    assert document.count(long) == 1


def test_the_rows_are_the_tree_from_top_to_bottom() -> None:
    page = Page(to_html(RUN))
    assert [(row["level"], row["kind"], row["id"]) for row in page.rows] == [
        (0, "run", "0"),
        (1, "turn", "1"),
        (2, "cell", "1"),
        (1, "turn", "2"),
        (2, "cell", "2"),
        *((3, "call", f"0.{n}") for n in range(1, 12)),
        (3, "child", "0.12"),
        (4, "turn", "1"),
        (5, "cell", "1"),
        (6, "call", "0.12.1"),
        (1, "turn", "3"),
        (2, "cell", "3"),
        (2, "cell", "4"),
        (1, "note", ""),
    ]
    assert [row["id"] for row in page.rows if row["state"] == "error"] == ["0.7", "3"]
    assert page.parts(page.of("call")[6])["Why it failed"] == "429: the provider is busy"
    assert page.parts(page.of("child")[0]) == {"Question": "Whose alibi is false?", "Answer": "The butler's."}
    assert page.parts(page.of("cell")[1])["Printed as a warning"] == "UserWarning: a slot failed\n"


def test_what_the_rows_add_up_to_is_what_the_whole_run_used() -> None:
    summary = events.Compacted(
        iteration=2, summary="So far: nothing.", dropped=4, messages=(), usage=Usage(1, 50, 5, cost=0.5)
    )
    stream = [*RUN[:-3], *numbered(*RUN[:0]), dataclasses.replace(summary, time=RUN[-3].time, seq=99), *RUN[-3:]]
    page, root = Page(to_html(stream)), fold(stream).root
    counted = [0.0] * 8
    for row in page.rows:
        for at, value in enumerate(row["adds"] or row["own"] or []):
            counted[at] += value
    whole = root.subtree_usage
    assert counted[:4] == [whole.calls, whole.input_tokens, whole.output_tokens, 0.5]
    assert page.of("run")[0]["own"] == [4, 2750, 305, 0.5]
    note = next(row for row in page.of("note") if "summarized" in row["label"])
    assert page.parts(note)["What stands for the older messages"] == "So far: nothing."


def test_a_turn_shows_what_the_model_was_sent_but_not_its_own_words_again() -> None:
    sent = (Message("system", "Rules."), Message("user", "Begin."))
    more = (Message("assistant", "First."), Message("user", "Output: 3"), Message("assistant", "Put in its mouth."))
    page = Page(
        to_html(
            numbered(
                *began(),
                events.ModelRequested(iteration=1, messages=sent),
                events.ModelReplied(iteration=1, text="First.", usage=Usage(1), seconds=1),
                events.ModelRequested(iteration=2, messages=more),
                events.ModelReplied(iteration=2, text="Second.", usage=Usage(1), seconds=1),
            )
        )
    )
    first, second = (page.parts(row) for row in page.of("turn"))
    assert first == {"Reply": "First.", "Sent: instructions": "Rules.", "Sent: message": "Begin."}
    assert second == {
        "Reply": "Second.",
        "Sent: message": "Output: 3",
        "Sent: earlier reply": "Put in its mouth.",
    }


def test_rows_say_when_they_began_and_ended_and_stand_in_the_order_of_time() -> None:
    tool = events.ToolStarted(call=1, tool="look_up", arguments='{"word": "leak"}', cell=1)
    stream = numbered(
        *began(),
        events.Note(text="early"),
        *turn(
            1,
            "x",
            *cell(
                "c",
                *call(1, "before", "1"),
                tool,
                events.ToolFinished(call=1, status="ok", text='"water"', seconds=0.5),
                *call(2, "after", "2"),
            ),
        ),
        events.Note(text="late"),
        *ended("a"),
    )
    page = Page(to_html(stream))
    names = [row["label"] or row["id"] for row in page.rows[1:]]
    assert names == ["early", "x", "c", "0.1", '{"word": "leak"}', "0.2", "late"]
    times = {row["kind"]: (row["start"], row["end"]) for row in page.rows}
    assert times["turn"] == (0.3, 0.6)
    assert times["tool"] == (1.0, 1.1)
    assert times["cell"] == (0.7, 1.4)
    assert times["run"] == (0.1, 1.7)


def test_the_time_a_run_was_interrupted_for_is_left_out() -> None:
    first = numbered(*began(), *turn(1, "x"), *ended(None, "max_cost"))
    night = 12 * 3600.0
    rest = [events.RunContinued(limits={"max_cost": 2}), *turn(2, "y"), *ended("a")]
    later = [dataclasses.replace(event, time=START + night + n / 10) for n, event in enumerate(rest)]
    page = Page(to_html([*first, *later]))
    assert page.of("turn")[1]["start"] == pytest.approx(first[-1].time - START + 0.1, abs=0.01)
    assert page.of("run")[0]["end"] < 5
    assert page.of("note")[0]["label"] == "The run went on with max_cost=2."


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=hostile.TEXTS)
def test_no_text_can_leave_its_place(text: str) -> None:
    document = to_html(hostile.run(text))
    page, harmless = Page(document), Page(to_html(hostile.run("harmless")))
    assert page.tags == harmless.tags
    assert page.script == harmless.script
    assert policy(page) == policy(harmless)
    assert [row["kind"] for row in page.rows] == [row["kind"] for row in harmless.rows]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", document)
    assert not re.search("[<>&\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]", "".join(page.blocks))
    assert len(document.encode("utf-8")) < 1_000_000


def test_control_characters_become_signs_and_colours_go() -> None:
    stream = numbered(*began(), *turn(1, "\x1b[31mred\x1b[0m\x00\x1b\x7f\x9b\r\n10 %\r20 %\ttab\ud800"), *ended("a"))
    page = Page(to_html(stream))
    assert page.parts(page.of("turn")[0])["Reply"] == "red␀␛␡\ufffd\n10 %\n20 %\ttab\ufffd"


def test_a_text_of_carriage_returns_or_of_spaces_for_a_picture_takes_no_time() -> None:
    data = {"image/png": "iVBORw0KGgo" + " " * 1_000_000 + "!", "text/plain": "\r" * 1_000_000}
    shown = events.CellOutput(cell=1, kind="display_data", data=data)
    began_at = time.monotonic()
    to_html(numbered(*began(), *turn(1, "x", *cell("c", shown)), *ended("a")))
    assert time.monotonic() - began_at < 10


def test_marks_that_turn_the_direction_are_visible_in_code_and_only_the_forcing_ones_elsewhere() -> None:
    text = "a\u202eb\u2067c\u200fd"
    page = Page(to_html(numbered(*began(), *turn(1, text, *cell(text)), *ended("a"))))
    assert page.parts(page.of("cell")[0])["Code"] == "a⟨U+202E⟩b⟨U+2067⟩c⟨U+200F⟩d"
    assert page.parts(page.of("turn")[0])["Reply"] == "a⟨U+202E⟩b\u2067c\u200fd"


def test_pictures_are_kept_and_what_only_says_it_is_one_is_text() -> None:
    kinds = {"image/png": f"{PIXEL}\n", "text/plain": "<Figure>"}
    fake = {"image/png": '" onerror="x', "text/plain": "<Fake>"}
    stream = numbered(
        *began(),
        *turn(
            1,
            "x",
            *cell(
                "plot()",
                events.CellOutput(cell=1, kind="display_data", data=kinds),
                events.CellOutput(cell=1, kind="display_data", data=kinds),
                events.CellOutput(cell=1, kind="display_data", data=fake),
                events.CellOutput(cell=1, kind="display_data", data={"text/markdown": "**bold**"}),
            ),
        ),
        *ended("a"),
    )
    page = Page(to_html(stream))
    assert page.images == [f"data:image/png;base64,{PIXEL}"]
    parts = page.of("cell")[0]["parts"]
    assert [(title, look) for title, _, look in parts] == [
        ("Code", "code"),
        ("Picture", "image"),
        ("Picture", "image"),
        ("Shown", "output"),
        ("Shown (text/markdown)", "output"),
    ]


def test_the_question_the_answer_and_the_totals_are_there_without_the_script() -> None:
    text = Page(to_html(RUN)).text
    assert "Which chapter first names the murderer, and how?" in text
    assert "The butler, in chapter 3: “the hand that poured the tea was shaking”." in text
    assert "Turns3and 1 childModel calls15Tokens8,6208,000 in, 620 outCost$0Time6.2 s" in text
    assert "openai/gpt-5-nano114,400220$0" in text  # calls, tokens in and out, cost
    assert "needs JavaScript" in text


@pytest.mark.parametrize(
    ("reason", "error", "badge", "said"),
    [
        ("max_calls", None, "stopped by max_calls", "The run ended without an answer."),
        ("cancelled", None, "stopped", "The run ended without an answer."),
        ("error", "Connection refused", "failed", "Connection refused"),
    ],
)
def test_a_run_without_an_answer_says_why(reason: str, error: str | None, badge: str, said: str) -> None:
    text = Page(to_html(numbered(*began(), *ended(None, reason, error)))).text
    assert badge in text
    assert text.count(said) == 1


def test_what_is_not_known_is_not_shown_as_zero() -> None:
    nothing = Page(to_html(numbered(*began(), *ended("a", usage=Usage(2, 0, 0, 2, unpriced=2))))).text
    assert "Tokensunknown" in nothing
    assert "Costunknown" in nothing
    part = Page(to_html(numbered(*began(), *ended("a", usage=Usage(3, 10, 1, 1, cost=0.25, unpriced=2))))).text
    assert "Tokens≥ 11" in part
    assert "Cost≥ $0.2500without 2 calls of unknown price" in part


def test_a_long_answer_is_cut_in_the_head_and_whole_in_the_data() -> None:
    page = Page(to_html(numbered(*began(), *ended("a" * 20_000 + "b" * 4321))))
    assert "a… 4,321 more characters" in page.text.replace("\n", "")
    assert "a" * 20_000 + "b" * 4321 in page.texts


def test_every_moment_of_a_run_is_a_whole_page() -> None:
    for length in range(len(RUN)):
        page = Page(to_html(RUN[:length]))
        ended = any(isinstance(event, events.NodeFinished) and event.node == "0" for event in RUN[:length])
        answered = any(isinstance(event, events.NodeAnswered) and event.node == "0" for event in RUN[:length])
        assert page.rows[0]["state"] == ("ok" if ended else "running")
        assert ("The run has not answered yet." in page.text) is not answered


class Unheard(Event):
    """An event of a later version."""

    type: ClassVar[str] = "unheard"


def test_unknown_events_and_odd_numbers_do_not_break_it() -> None:
    finished = events.CellFinished(cell=1, status="ok", seconds=float("nan"))
    stray = events.CallFinished(call="0.99", status="ok", text="x", usage=Usage(1), seconds=1.0)
    asked = turn(1, "x", events.CellStarted(iteration=1, cell=1, code="c"), Unheard(), finished, stray)
    page = Page(to_html(numbered(*began(), *asked, *ended("a", usage=Usage(1, cost=float("inf"))))))
    assert page.of("cell")[0]["seconds"] is None


def leaks(calls: int) -> list[Event]:
    """A run of many calls, each with a prompt of its own."""
    prompts = ((n, f"Report {n}. " + f"word{n} " * 200) for n in range(1, calls + 1))
    asked = (event for n, prompt in prompts for event in call(n, prompt, f"Valve {n}."))
    return numbered(*began(), *turn(1, "x", *cell("c", *asked)), *ended("a"))


def test_much_data_is_compressed_and_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = leaks(1500)
    packed = to_html(stream)
    monkeypatch.setattr(html, "COMPRESSED_FROM", 10**9)
    plain = Page(to_html(stream))
    assert (Page(packed).forms, plain.forms) == ({"gzip"}, {"json"})
    assert (Page(packed).texts, Page(packed).rows) == (plain.texts, plain.rows)
    assert len(packed) < len(html.to_html(stream)) / 3


def test_ten_thousand_calls_are_written_within_seconds_and_take_no_more_room_than_the_journal() -> None:
    stream = leaks(10_000)
    journal = sum(len(to_json(event)) + 1 for event in stream)
    began_at = time.monotonic()
    document = to_html(stream)
    assert time.monotonic() - began_at < 20
    assert len(document) < journal
    assert len(Page(document).of("call")) == 10_000


def test_a_real_run_is_in_its_page() -> None:
    model = ScriptedModel([reply_of("print(llm_query('How many?'))"), "Forty-two.", done("'It is 42.'")])
    completion = RLM(model).completion("How many are there?", context="a book")
    page = Page(to_html(events_of(completion, Event)))
    assert [row["kind"] for row in page.rows] == ["run", "turn", "cell", "call", "turn", "cell"]
    assert page.parts(page.of("call")[0]) == {"Prompt": "How many?", "Reply": "Forty-two."}
    assert page.parts(page.of("cell")[0])["Printed"] == "Forty-two.\n"
    assert {"Sent: instructions", "Sent: message"} <= set(page.parts(page.of("turn")[0]))
    assert "It is 42." in page.text
    assert all(row["start"] <= row["end"] for row in page.rows)
