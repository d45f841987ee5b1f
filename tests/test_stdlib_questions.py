"""The demo's questions: truths that this machine computes, and checks that tell right from wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebooks.stdlib_questions import QUESTIONS, Question, library

QUESTION = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.kind)


def test_the_library_is_over_ten_megabytes_of_source_without_test_suites() -> None:
    texts = library()
    assert sum(len(text.encode()) for text in texts.values()) > 10_000_000
    assert {"ftplib.py", "graphlib.py", "json/decoder.py"} <= texts.keys()
    assert not [path for path in texts if "site-packages" in path or path.startswith("test/")]


def test_undecodable_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1\n")
    (tmp_path / "latin.py").write_bytes(b"name = '\xe9'\n")
    assert library(tmp_path) == {"good.py": "x = 1\n"}


def test_the_three_questions_are_of_three_kinds() -> None:
    assert len({question.kind for question in QUESTIONS}) == len(QUESTIONS) == 3


@QUESTION
def test_a_truth_is_computed_and_accepted(question: Question) -> None:
    assert question.truth()
    assert question.check(f"I think it is {question.truth()}.")


@QUESTION
@pytest.mark.parametrize("answer", ["", "No passage of the context supports an answer.", "It is 20.", "A ValueError."])
def test_what_is_not_the_truth_is_refused(question: Question, answer: str) -> None:
    assert not question.check(answer)


@QUESTION
def test_no_answer_of_one_question_is_right_for_another(question: Question) -> None:
    assert [other.check(question.truth()) for other in QUESTIONS].count(True) == 1
