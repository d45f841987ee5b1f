"""Which parts of the input were read: slices are found wherever they stand, and never where they do not."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator

import pytest

import rlm_kernel
from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message
from rlm_kernel.provenance.coverage import coverage_of, texts
from rlm_kernel.provenance.documents import Document, Span
from rlm_kernel.provenance.matching import BLOCK, Matcher
from tests.host.script import cell, done


def prose(length: int, seed: int = 0) -> str:
    """Words that do not repeat for long."""
    chance = random.Random(seed)
    words = ("".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 9))) for _ in range(length))
    return " ".join(words)[:length]


def calls(*prompts: str) -> Iterator[Event]:
    for number, prompt in enumerate(prompts, 1):
        yield events.CallRequested(call=f"0.{number}", kind="llm", model="m", prompt=prompt)


class TestMatcher:
    @pytest.mark.parametrize("length", [40, 100, 5_000])
    def test_every_slice_of_a_text_is_found_whole(self, length: int) -> None:
        text = prose(20_000)
        matcher, chance = Matcher([text]), random.Random(length)
        assert matcher.least <= 40
        for _ in range(200):
            start = chance.randrange(len(text) - length)
            prompt = f"What does this say? [{text[start : start + length]}] Answer."
            assert (0, start, start + length) in list(matcher.find(prompt))

    def test_several_documents_and_several_slices(self) -> None:
        one, two = prose(3_000, 1), prose(3_000, 2)
        prompt = f"{two[100:400]}\n---\n{one[1_000:1_200]}{one[50:90]}"
        assert list(Matcher([one, two]).find(prompt)) == [(1, 100, 400), (0, 1_000, 1_200), (0, 50, 90)]

    def test_a_slice_at_each_edge(self) -> None:
        text = prose(1_000)
        assert list(Matcher([text]).find(text)) == [(0, 0, 1_000)]
        assert list(Matcher([text]).find(text[-60:])) == [(0, 940, 1_000)]

    def test_other_words_and_short_ones_are_not_found(self) -> None:
        matcher = Matcher([prose(5_000, 1)])
        assert list(matcher.find(prose(5_000, 2))) == []
        assert list(matcher.find(prose(5_000, 1)[: BLOCK - 1])) == []
        assert list(Matcher([]).find("x" * 100)) == list(Matcher(["short"]).find("short")) == []

    def test_slices_that_begin_alike_are_told_apart_by_what_follows(self) -> None:
        days = [f"Day {n}. Wind {n % 5} from the west. In the harbour by noon: {prose(40, n)}." for n in range(200)]
        text = "\n".join(days)
        matcher = Matcher([text])
        for n in range(0, 200, 10):
            start = text.index(days[n])
            assert list(matcher.find(f"Which ship is late? {days[n]}")) == [(0, start, start + len(days[n]))]

    def test_what_stands_everywhere_says_nothing(self) -> None:
        rules = "\n".join(["-" * 80] * 50)
        assert list(Matcher([rules]).find("-" * 400)) == []


class TestCoverage:
    def test_who_has_read_what_and_what_nobody_has(self) -> None:
        text = prose(1_000)
        found = coverage_of(calls(text[100:300], f"Again: {text[200:400]}", "nothing of it"), text)
        assert found.documents[0].spans == (
            Span(100, 200, 1, ("0.1",)),
            Span(200, 300, 2, ("0.1", "0.2")),
            Span(300, 400, 1, ("0.2",)),
        )
        assert found.documents[0].unread == [(0, 100), (400, 1_000)]
        assert found.share == 0.3
        assert found.documents[0].at(250) == Span(200, 300, 2, ("0.1", "0.2"))
        assert found.documents[0].at(50) is found.documents[0].at(400) is None

    def test_the_whole_in_pieces_that_a_split_has_made(self) -> None:
        text = "\n\n".join(prose(500, seed) for seed in range(20))
        found = coverage_of(calls(*text.split("\n\n")), text)
        assert found.share == 1
        assert found.documents[0].unread == []
        assert {span.times for span in found.documents[0].spans} == {1}

    def test_a_strip_shows_how_often_each_part_was_read(self) -> None:
        text = prose(1_000)
        strip = coverage_of(calls(text[:250], text[:500]), text).documents[0].strip(8)
        assert strip == pytest.approx([2, 2, 1, 1, 0, 0, 0, 0])
        assert Document("", 10, (Span(0, 5, 1, ("0.1",)),)).strip(3) == pytest.approx([1, 0.5, 0])

    def test_what_root_models_and_children_see_counts_and_what_only_code_has_does_not(self) -> None:
        text = prose(1_000)
        stream = [
            events.ModelRequested(node="0", iteration=1, messages=(Message("user", f"It begins: {text[:100]}"),)),
            events.CallRequested(call="0.1", kind="rlm", model="m", prompt=text[500:]),
            events.ModelRequested(node="0.1", iteration=1, messages=(Message("user", text[500:600]),)),
        ]
        spans = coverage_of(stream, text).documents[0].spans
        assert spans == (Span(0, 100, 1, ("0",)), Span(500, 600, 1, ("0.1",)))

    def test_texts_at_any_depth_and_values_that_are_none(self) -> None:
        value = {"a.py": "one", "more": [{"text": "two"}, 7, None, b"bytes"], "": "three"}
        assert list(texts(value)) == [("a.py", "one"), ("more/0/text", "two"), ("", "three")]
        assert coverage_of(calls("one"), 7).documents == ()
        assert coverage_of(calls("one"), "").share == 0

    def test_many_readers_are_counted_and_some_are_named(self) -> None:
        text = prose(30_000)
        found = coverage_of(calls(*(text[: 100 + 5 * n] for n in range(5_000))), text).documents[0]
        first = found.at(50)
        assert first is not None
        assert (first.times, len(first.readers)) == (5_000, 100)


class TestShown:
    def test_names_are_text_and_numbers_are_right(self) -> None:
        text = prose(1_200)
        found = coverage_of(calls(text[:600], text[:300]), {"<img src=x onerror=alert(1)>": text, "b": prose(1_200, 1)})
        shown = found._repr_mimebundle_()
        assert "<img" not in shown["text/html"]
        assert "&lt;img" in shown["text/html"]
        assert shown["text/plain"].splitlines()[:2] == [
            "25 % of 2,400 characters in 2 texts were read by a model.",
            "<img src=x onerror=alert(1)>: 50 % of 1,200 characters, at most 2 times",
        ]
        assert shown["text/plain"].splitlines()[2] == "▄" * 15 + "▂" * 15 + "·" * 30

    def test_all_nothing_and_nearly(self) -> None:
        text = prose(10_000)
        assert "100 % of" in coverage_of(calls(text), text)._repr_mimebundle_()["text/plain"]
        assert "\n0 % of" in f"\n{coverage_of(calls('x'), text)._repr_mimebundle_()['text/plain']}"
        assert "99.9 % of" in coverage_of(calls(text[:-2]), text)._repr_mimebundle_()["text/plain"]
        assert coverage_of(calls("x"), None)._repr_mimebundle_()["text/plain"] == "The input has no text."

    def test_of_many_documents_some_are_listed(self) -> None:
        many = {str(number): prose(100, number) for number in range(200)}
        shown = coverage_of(calls(many["7"]), many)._repr_mimebundle_()["text/plain"].splitlines()
        assert shown[1].startswith("7: 100 %")
        assert shown[-1] == "150 more texts, of which less was read"


async def test_of_a_run() -> None:
    text = "\n".join(prose(400, seed) for seed in range(10))
    code = "parts = context.split('\\n')\nfound = llm_query_batched(parts[:4])"
    sub = ScriptedModel(lambda messages: "ok", name="sub")
    completion = await RLM(ScriptedModel([cell(code), done("found[0]")]), sub_model=sub, preview=False).acompletion(
        "q", text
    )
    found = rlm_kernel.coverage(completion.run_dir)
    assert found.documents[0].unread == [(4 * 401 - 1, len(text))]
    assert found.documents[0].at(0) == Span(0, 401, 1, ("0.1",))
