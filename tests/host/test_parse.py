"""Finding cells in what models write."""

from __future__ import annotations

import pytest

from rlm_kernel.host.parse import cells


@pytest.mark.parametrize("tag", ["repl", "python", "py", "python3", "Python"])
def test_a_tagged_fence_is_a_cell(tag: str) -> None:
    assert cells(f"Let me look.\n```{tag}\nx = 1\nprint(x)\n```\nThat is it.").code == ("x = 1\nprint(x)",)


def test_several_cells_come_in_order_and_other_languages_are_text() -> None:
    text = "```repl\na\n```\n```json\n{}\n```\n~~~python\nb\n~~~\n```\nnot a cell beside tagged ones\n```"
    assert cells(text).code == ("a", "b")


def test_an_untagged_fence_is_a_cell_where_none_is_tagged() -> None:
    assert cells("```\nprint(1)\n```").code == ("print(1)",)


def test_a_longer_fence_may_hold_a_shorter_one() -> None:
    assert cells('````repl\ntext = """\n```\ninner\n```\n"""\n````').code == ('text = """\n```\ninner\n```\n"""',)


def test_separators_that_only_some_programs_take_for_line_ends_stay_in_the_code() -> None:
    code = "s = 'a\u2028b\x0cc'"
    assert cells(f"```repl\n{code}\n```").code == (code,)


def test_windows_line_ends_are_line_ends() -> None:
    assert cells("```repl\r\nx = 1\r\n```\r\n").code == ("x = 1",)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (None, "was empty"),
        ("", "was empty"),
        (" \n", "was empty"),
        ("I think it is 42.", "no ```repl code block"),
        ("```json\n{}\n```", "no ```repl code block"),
        ("```repl\n\n```", "no ```repl code block"),
        ("```repl\nprint(1)", "was not closed"),
        ("```repl\nprint(1)\n``` and more", "was not closed"),
    ],
)
def test_a_reply_without_a_whole_cell_says_what_is_wrong(reply: str | None, problem: str) -> None:
    found = cells(reply)
    assert found.code == ()
    assert found.problem is not None
    assert problem in found.problem


def test_a_cut_off_second_cell_is_not_run() -> None:
    assert cells("```repl\na\n```\n```repl\nimport os; os.rem").code == ("a",)
