"""``FINAL(...)`` and ``FINAL_VAR(name)`` in a model's text."""

from __future__ import annotations

import time

import pytest

from rlm_kernel.host.finals import Final, accept, find, overlooked
from rlm_kernel.host.prompts import CellRecord

OK, FAILED = CellRecord("ok"), CellRecord("error")
TEXT, VARIABLE = Final("text", "42"), Final("variable", "x")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("FINAL(42)", "42"),
        ("  FINAL( 42 )", "42"),
        ("So it is:\nFINAL(42)\nDone.", "42"),
        ("FINAL(42) is my answer (I think)", "42"),
        ("FINAL(f(x) + (a(b)))", "f(x) + (a(b))"),
        ("FINAL(one\ntwo (three)\n\nfour)\nmore", "one\ntwo (three)\n\nfour"),
        ("FINAL(It's 5 o'clock (p.m.))", "It's 5 o'clock (p.m.)"),
        ('FINAL(the sign ":)" was there)', 'the sign ":)" was there'),
        ("FINAL(1) first\n2) second)", "1) first\n2) second"),
        ("FINAL(happy :) at last)\n\nSee (1) and 2)", "happy :) at last"),
        ("FINAL(sad :( at last)", "sad :( at last"),
        ('FINAL("the (answer")', "the (answer"),
        ("FINAL('yes')", "yes"),
        ('FINAL("""two\nlines""")', "two\nlines"),
        ('FINAL("a" or "b")', '"a" or "b"'),
        ("FINAL()", ""),
    ],
)
def test_the_bracket_that_closes_a_final_is_found(text: str, value: str) -> None:
    assert find(text) == Final("text", value)


@pytest.mark.parametrize(
    "text", ["FINAL_VAR(x)", "\tFINAL_VAR( 'x' )", 'FINAL_VAR("x")', "FINAL_VAR(`x`)", "FINAL_VAR(x) (ok)"]
)
def test_a_variable_is_named_with_or_without_quotes(text: str) -> None:
    assert find(text) == VARIABLE


def test_a_variable_goes_before_a_text() -> None:
    assert find("FINAL(41)\nFINAL_VAR(x)") == VARIABLE


@pytest.mark.parametrize("tag", ["repl", "python", "", "text"])
def test_a_final_inside_a_fence_is_code_and_not_the_answer(tag: str) -> None:
    assert find(f"```{tag}\nFINAL(x)\nFINAL_VAR(x)\n```") is None
    assert find(f"```{tag}\nFINAL(x)\n```\nFINAL(42)") == TEXT
    assert find(f"~~~{tag}\n```\nFINAL(x)") is None


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "I will call FINAL(42).",
        "`FINAL(42)`",
        "FINAL (42)",
        "FINALLY(42)",
        "FINAL(never closed",
        "FINAL_VAR(f(x))",
    ],
)
def test_what_only_resembles_a_final_is_none(text: str | None) -> None:
    assert find(text) is None


@pytest.mark.parametrize("text", ["The answer is FINAL(42).", "FINAL(never closed", "I return FINAL_VAR(x)"])
def test_a_final_that_does_not_count_is_not_passed_over_in_silence(text: str) -> None:
    assert "has to begin a line" in (overlooked(text) or "")


@pytest.mark.parametrize("text", ["FINAL(42)", "nothing", "```repl\nFINAL(1)\n```", None])
def test_there_is_nothing_to_say_where_nothing_was_overlooked(text: str | None) -> None:
    assert overlooked(text) is None


class TestAccept:
    def test_a_final_is_taken_once_output_was_seen(self) -> None:
        assert accept(TEXT, [], ran_before=True) is None
        assert "the same reply" in (accept(TEXT, [OK], ran_before=True) or "")
        assert accept(VARIABLE, [], ran_before=True) is None

    def test_a_variable_may_be_made_by_the_cells_of_the_same_reply(self) -> None:
        assert accept(VARIABLE, [OK], ran_before=False) is None

    @pytest.mark.parametrize("final", [TEXT, VARIABLE])
    def test_a_final_beside_a_cell_that_failed_is_ignored_and_holds_when_it_is_repeated(self, final: Final) -> None:
        assert "a cell of the same reply failed" in (accept(final, [OK, FAILED], ran_before=True) or "")
        assert accept(final, [], ran_before=True) is None

    def test_an_answer_written_before_any_output_would_be_invented(self) -> None:
        assert "before you had seen any output" in (accept(TEXT, [OK], ran_before=False) or "")
        assert "before you had seen any output" in (accept(TEXT, [], ran_before=False) or "")
        assert "no cell has run yet" in (accept(VARIABLE, [], ran_before=False) or "")


@pytest.mark.parametrize(
    "text",
    [
        "FINAL(" * 30_000,
        "FINAL(" + ")" * 100_000,
        "FINAL(" + '"\\' * 50_000,
        "FINAL(" + '"""' * 50_000,
        "FINAL(\n" * 30_000,
    ],
    ids=["openers", "closers", "escapes", "quotes", "lines"],
)
def test_no_reply_takes_long(text: str) -> None:
    started = time.perf_counter()
    find(text)
    assert time.perf_counter() - started < 20, "what takes long here takes minutes"
