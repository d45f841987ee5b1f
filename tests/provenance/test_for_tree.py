"""What the call tree is told of where an answer comes from: right, bounded, and a line where it cannot be had."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, ScriptedModel, journal
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports import export
from rlm_kernel.exports.html import to_html
from rlm_kernel.provenance import for_tree
from rlm_kernel.provenance.coverage import Coverage, coverage_of
from rlm_kernel.provenance.documents import Document, Span
from rlm_kernel.provenance.for_tree import Reading, led, read
from rlm_kernel.sinks.calltree.moments import Moments
from rlm_kernel.verifiers import no_whole_context
from tests.events.stories import began, call, cell, ended, numbered, turn
from tests.exports.test_html import Page
from tests.host.script import cell as reply_of
from tests.host.script import done
from tests.provenance.test_coverage import calls, prose

ASK = "found = [llm_query('What is it?:' + context[start:start + 200]) for start in (100, 200, 700)]"


async def run(context: Any, *codes: str, last: str = "found[0]", **options: Any) -> Completion:
    root = ScriptedModel([*(reply_of(code) for code in codes or (ASK,)), done(last)])
    sub = ScriptedModel(lambda messages: "a lamp", name="sub")
    return await RLM(root, sub_model=sub, preview=False, **options).acompletion("What is there?", context)


def followed(completion: Completion) -> tuple[Reading, Moments]:
    return of(completion.run_dir, journal.read(completion.run_dir))


def of(directory: Path, stream: Any) -> tuple[Reading, Moments]:
    reading, moments = Reading(directory), Moments()
    for event in stream:
        reading.apply(event)
        moments.apply(event)
    return reading, moments


def all_of(piece: dict[str, Any] | None) -> dict[str, Any]:
    assert piece is not None
    json.dumps(piece, allow_nan=False).encode("utf-8")
    return piece


def found_in(coverage: Coverage) -> dict[str, Any]:
    return all_of(read(coverage))


class TestRead:
    async def test_parts_say_where_how_often_and_by_whom(self) -> None:
        reading, moments = followed(await run(prose(1_000)))
        assert all_of(reading.at_once(moments)) == {
            "say": "50 % of 1,000 characters were read by a model.",
            "least": 39,
            "documents": [
                {
                    "say": "context: 50 % of 1,000 characters, at most 2 times",
                    "length": 1_000,
                    "parts": [
                        [100, 200, 100, 1.0, 0, [0]],
                        [200, 300, 100, 2.0, 0, [0, 1]],
                        [300, 400, 100, 1.0, 0, [1]],
                        [700, 900, 200, 1.0, 0, [2]],
                    ],
                }
            ],
            "more": 0,
            "short": 0,
            "readers": ["0.1", "0.2", "0.3"],
        }

    def test_many_parts_become_some_of_the_same_size_and_nothing_is_lost(self) -> None:
        spans = tuple(Span(start, start + 30, 1, (f"0.{start}",)) for start in range(0, 100_000, 100))
        piece = found_in(Coverage((Document("", 100_050, spans),)))
        (document,) = piece["documents"]
        parts = document["parts"]
        assert len(parts) <= for_tree.PARTS // 3
        assert sum(part[2] for part in parts) == 30_000
        assert [part[0] for part in parts] == sorted({part[0] for part in parts})
        assert parts[-1][1] <= 100_050
        assert {part[3] for part in parts} == {1.0}, "on average over what was read"
        assert set(piece["readers"]) == {span.readers[0] for span in spans}

    def test_who_is_named_and_who_is_counted(self) -> None:
        text = prose(30_000)
        piece = found_in(coverage_of(calls(*(text[: 100 + 5 * n] for n in range(5_000))), text))
        first = piece["documents"][0]["parts"][0]
        assert len(first[5]) + first[4] == first[3] == 5_000
        assert 8 <= len(first[5]) <= 100
        assert len(json.dumps(piece)) < 300_000

    def test_of_many_texts_those_with_the_most_that_was_read_are_there(self) -> None:
        many = {f"{number:03}": prose(100, number) for number in range(200)}
        many |= {"last": prose(500, 500), "tiny": "a word"}
        piece = found_in(coverage_of(calls(many["007"], many["last"][:300]), many))
        assert [document["say"][:4] for document in piece["documents"][:3]] == ["last", "007:", "000:"]
        assert (len(piece["documents"]), piece["more"], piece["short"]) == (
            for_tree.DOCUMENTS,
            201 - for_tree.DOCUMENTS,
            1,
        )
        assert piece["say"] == "2 % of 20,500 characters in 201 texts were read by a model."

    def test_whatever_was_read_it_stays_small(self) -> None:
        readers = tuple(f"0.{n}" for n in range(100))
        spans = tuple(Span(start, start + 5, 10_000, readers) for start in range(0, 40_000, 10))
        piece = found_in(Coverage(tuple(Document(f"{n}", 40_000, spans) for n in range(50))))
        assert sum(len(document["parts"]) for document in piece["documents"]) <= for_tree.PARTS
        assert len(json.dumps(piece)) < 300_000

    def test_names_are_harmless(self) -> None:
        name = "</script>\x1b[31m\u202e\ud800.txt"
        piece = found_in(coverage_of(calls("x"), {name: prose(100)}))
        assert "\x1b" not in piece["documents"][0]["say"]
        assert "\u202e" not in piece["documents"][0]["say"]

    def test_a_call_that_a_hook_refused_has_read_nothing_and_of_attempts_the_last_counts(self) -> None:
        text = prose(1_000)
        refused = events.CallChecked(call="0.2", when="before", verdict="refuse", reason="no")
        one, two = list(calls(text[:200], text[300:500]))
        assert coverage_of([one, two, refused], text).documents[0].spans == (Span(0, 200, 1, ("0.1",)),)
        again = [one, events.RunResumed(run="r", options={}, usage=Usage()), dataclasses.replace(one, source=0)]
        assert coverage_of(again, text).documents[0].spans == (Span(0, 200, 1, ("0.1",)),)


class TestWhatCannotBeSaid:
    async def test_a_file_that_has_changed_or_is_gone_is_a_line(self, tmp_path: Path) -> None:
        file = tmp_path / "book.txt"
        file.write_text(prose(1_000))
        completion = await run(file)
        reading, moments = followed(completion)
        assert "documents" in all_of(reading.at_once(moments))
        file.write_text(prose(1_001))
        assert "has changed since the run began" in all_of(reading.at_once(moments))["why"]
        file.unlink()
        assert "cannot be read any more" in all_of(reading.read(moments))["why"]
        assert '"input"' not in "".join(Page(completion.export("html")).blocks), "a page has no place for that"

    async def test_an_input_of_the_journals_that_is_damaged_is_a_line(self) -> None:
        completion = await run(prose(1_000))
        reading, moments = followed(completion)
        (kept,) = (completion.run_dir / "inputs").iterdir()
        os.chmod(kept, 0o600)
        kept.write_text("something else")
        assert "missing or damaged" in all_of(reading.at_once(moments))["why"]

    async def test_what_is_large_waits_until_it_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reading, moments = followed(await run(prose(1_000)))
        monkeypatch.setattr(for_tree, "AT_ONCE", 999)
        assert reading.at_once(moments) == {"bytes": 1_000}
        assert "documents" in all_of(reading.read(moments))
        monkeypatch.setattr(for_tree, "MOST_BYTES", 999)
        assert "too large" in all_of(reading.read(moments))["why"]

    async def test_much_that_was_sent_waits_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reading, moments = followed(await run(prose(1_000)))
        monkeypatch.setattr(for_tree, "AT_ONCE", 1_200)
        assert reading.at_once(moments) == {"bytes": 1_000}

    @pytest.mark.parametrize(
        ("context", "options"),
        [(None, {}), (b"x" * 100, {"encoding": None}), ([1, 2, 3], {}), ("too short", {}), (["a", "b" * 23], {})],
    )
    async def test_where_there_is_no_text_there_is_nothing(self, context: Any, options: dict[str, Any]) -> None:
        completion = await run(context, "found = ['none']", **options)
        reading, moments = followed(completion)
        assert reading.at_once(moments) is None
        assert '"input"' not in "".join(Page(completion.export("html")).blocks)

    async def test_nesting_without_an_end_is_a_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reading, moments = followed(await run(prose(1_000)))
        endless: list[Any] = []
        endless.append(endless)
        monkeypatch.setattr(reading, "_inputs", lambda tree: {"context_0": endless})
        assert "nested too deeply" in all_of(reading.read(moments))["why"]

    def test_a_run_without_a_journal_has_no_input(self) -> None:
        reading, moments = of(Path("/nowhere"), numbered(*began(), *ended("a")))
        assert reading.at_once(moments) is None


class TestLed:
    async def test_cells_and_the_calls_that_are_quoted(self) -> None:
        completion = await run(prose(1_000), "other = 1", ASK)
        assert led(completion.tree) == {"cells": [["0", 2], ["0", 3]], "quoted": ["0.1", "0.2", "0.3"]}

    def test_nothing_that_can_be_followed(self) -> None:
        _, moments = of(Path("/nowhere"), numbered(*began(), *turn(1, "It was him."), *ended("him")))
        assert led(moments.tree) == {"cells": [], "quoted": []}

    def test_what_python_has_to_say_about_a_models_code_is_not_shown(self) -> None:
        code = "answer['content'] = re.findall('\\d', context)"
        _, moments = of(Path("/nowhere"), numbered(*began(), *turn(1, "x", *cell(code)), *ended("1")))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert led(moments.tree)["cells"] == [["0", 1]]


class TestPage:
    async def test_the_page_of_a_run_has_both_and_that_of_its_events_alone_the_evidence(self) -> None:
        completion = await run(prose(1_000))
        about = json.loads("".join(Page(completion.export("html")).blocks).split("\n")[0])["run"]
        assert about["led"]["quoted"] == ["0.1", "0.2", "0.3"]
        assert about["input"]["say"].startswith("50 % of 1,000")
        alone = json.loads("".join(Page(export(journal.read(completion.run_dir), "html")).blocks).split("\n")[0])["run"]
        assert "led" in alone
        assert "input" not in alone

    def test_without_an_answer_nothing_led_to_it(self) -> None:
        about = json.loads(
            "".join(Page(to_html(numbered(*began(), *ended(None, "error", "no")))).blocks).split("\n")[0]
        )
        assert "led" not in about["run"]

    async def test_a_hostile_name_of_a_document_stays_in_the_data(self) -> None:
        name = "</script><img src=x onerror=alert(1)>"
        completion = await run({name: prose(500)}, f"found = [llm_query('? ' + context[{name!r}][:100])]")
        page = completion.export("html")
        assert "<img src=x" not in page
        assert "\\u003cimg src=x onerror=alert(1)\\u003e: 20 % of 500 characters" in page


async def test_several_inputs_are_told_apart_by_their_names() -> None:
    code = "found = [llm_query('? ' + context_0[:100]), llm_query('? ' + context[100:300])]"
    root = ScriptedModel([done("'yes'"), reply_of(code), done("found")])
    async with RLM(root, sub_model=ScriptedModel(lambda messages: "ok", name="sub"), preview=False) as rlm:
        await rlm.acompletion("One?", prose(1_000, 1))
        second = await rlm.acompletion("Two?", prose(1_000, 2))
    reading, moments = followed(second)
    assert [document["say"] for document in all_of(reading.at_once(moments))["documents"]] == [
        "context: 20 % of 1,000 characters"
    ], "each question has the input that came with it"


async def test_what_a_hook_of_ours_refuses_was_not_read() -> None:
    code = "try:\n    llm_query(context)\nexcept Exception as error:\n    found = [str(error)]"
    reading, moments = followed(await run(prose(10_000), code, before_call=[no_whole_context()]))
    assert all_of(reading.at_once(moments))["say"].startswith("0 % of 10,000")


def test_the_story_of_a_call_is_the_same_from_both_sides() -> None:
    text = prose(2_000)
    asked = [event for n in range(1, 6) for event in call(n, text[n * 100 : n * 100 + 50], "ok")]
    stream: list[Event] = numbered(*began(), *turn(1, "x", *cell("y", *asked)), *ended("ok"))
    found = coverage_of(stream, text).documents[0]
    assert [(span.start, span.end, span.readers) for span in found.spans] == [
        (n * 100, n * 100 + 50, (f"0.{n}",)) for n in range(1, 6)
    ]
