"""Finding cells in what models write."""

from __future__ import annotations

import random
import time

import pytest
from markdown_it import MarkdownIt

from rlm_kernel.host.parse import Cells, blocks, cells, prose

NESTED = '````repl\ntext = """\n```\ninner\n```\n"""\n````'


class TestFences:
    @pytest.mark.parametrize(
        "tag", ["repl", "python", "py", "python3", "ipython", "Python", "REPL", "repl title=x", ""]
    )
    def test_a_python_fence_is_a_cell_whatever_tag_the_model_prefers(self, tag: str) -> None:
        assert cells(f"Let me look.\n```{tag}\nx = 1\nprint(x)\n```\nThat is it.").code == ("x = 1\nprint(x)",)

    def test_several_cells_come_in_order_and_other_languages_are_text(self) -> None:
        text = "```repl\na\n```\n```json\n{}\n```\n~~~python\nb\n~~~\n```\nnot a cell beside tagged ones\n```"
        assert cells(text) == Cells(("a", "b"))

    def test_only_the_tags_of_the_options_count(self) -> None:
        text = "```python\na\n```\n```repl\nb\n```\n```\nc\n```"
        assert cells(text, ("repl",)).code == ("b",)
        assert cells(text, ("Python",)).code == ("a",)
        assert cells(text, ("",)).code == ("c",)

    def test_backticks_inside_code_do_not_end_a_longer_fence(self) -> None:
        assert cells(NESTED).code == ('text = """\n```\ninner\n```\n"""',)

    def test_tildes_hold_backticks(self) -> None:
        assert cells("~~~repl\n```\nx\n```\n~~~").code == ("```\nx\n```",)

    def test_a_closing_fence_may_be_longer_and_indented(self) -> None:
        assert cells("  ```repl\n  if x:\n      y\n   `````  \n").code == ("if x:\n    y",)

    def test_four_spaces_make_no_fence_but_a_list_item_does(self) -> None:
        assert cells("Text:\n\n    ```repl\n    x\n    ```").code == ()
        assert cells("10. Look:\n\n    ```repl\n    if x:\n        y\n    ```\n11. Done").code == ("if x:\n    y",)
        assert cells("- a\n    - b\n      ```repl\n      x\n      ```").code == ("x",)
        assert cells("- a\n\nText again:\n\n    ```repl\n    x\n    ```").code == ()

    def test_separators_that_only_some_programs_take_for_line_ends_stay_in_the_code(self) -> None:
        code = "s = 'a\u2028b\x0cc'"
        assert cells(f"```repl\n{code}\n```").code == (code,)

    def test_windows_line_ends_are_line_ends(self) -> None:
        assert cells("```repl\r\nx = 1\r\ny\r\n```\r\n").code == ("x = 1\ny",)

    def test_fences_are_those_of_commonmark(self) -> None:
        """The blocks of random texts of fences, against the parser that Jupyter's documents go through."""
        pieces = [
            "```",
            "````",
            "~~~",
            " ```",
            "   ~~~~",
            "    ```",
            "```repl",
            "~~~ py `x`",
            "``` a`b",
            "x = 1",
            "  y",
            "",
        ]
        choose = random.Random(4)
        for _ in range(1500):
            text = "\n".join(choose.choices(pieces, k=choose.randint(1, 9)))
            tokens = [token for token in MarkdownIt().parse(text) if token.type == "fence"]
            expected = [(token.info.split()[:1], token.content.strip("\n")) for token in tokens]
            found = [([block.tag] if block.tag else [], block.code) for block in blocks(text)]
            assert found == expected, text


class TestProblems:
    @pytest.mark.parametrize("text", [None, "", " \n"])
    def test_an_empty_reply_is_a_turn_like_others(self, text: str | None) -> None:
        assert cells(text) == Cells((), "Your reply was empty.")

    @pytest.mark.parametrize(
        ("reply", "problem"),
        [
            ("I think it is 42.", "no ```repl code block"),
            ("```repl print(1)```", "between a line ```repl and a line ```"),
            ("```repl\n\n```", "was empty"),
            ("```json\n{}\n```", "has the tag `json`; only one with `repl`, `python`"),
            ("```r\n1\n```\n```sql\n2\n```", "the tag `r` and the tag `sql`"),
        ],
    )
    def test_a_reply_without_a_cell_says_what_is_wrong(self, reply: str, problem: str) -> None:
        found = cells(reply)
        assert found.code == ()
        assert problem in (found.problem or "")

    def test_a_strange_tag_is_told_with_those_that_run(self) -> None:
        assert cells("```python\n1\n```", ("repl",)).problem == (
            "Nothing was run: your code block has the tag `python`; only one with `repl` is run."
        )
        assert cells("```\n1\n```", ("repl", "py")).problem == (
            "Nothing was run: your code block has no tag; only one with `repl` or `py` is run."
        )

    def test_a_last_fence_that_was_forgotten_is_run_as_it_stands_and_the_model_hears(self) -> None:
        found = cells("```repl\na = 1\n```\nand\n```repl\nprint(a)")
        assert found.code == ("a = 1", "print(a)")
        assert "was not closed with ```; it was run as it stood" in (found.problem or "")

    def test_a_reply_that_was_cut_off_runs_only_what_is_whole(self) -> None:
        found = cells("```repl\na\n```\n```repl\nimport os; os.rem", cut=True)
        assert found.code == ("a",)
        assert "limit of tokens" in (found.problem or "")
        assert cells("```repl\nprint(1)", cut=True).code == ()
        assert cells("```repl\nprint(1)\n```\nAnd so", cut=True) == Cells(("print(1)",))

    @pytest.mark.parametrize("reply", ["", "I think that", "```json\n{}\n```\nNow"])
    def test_a_reply_that_was_cut_off_before_any_cell_says_so(self, reply: str) -> None:
        assert "limit of tokens for one reply cut it off" in (cells(reply, cut=True).problem or "")

    @pytest.mark.parametrize("reply", ["```repl\nprint(1)\n``` and more", "````repl\na\n```\nText\n```repl\nb\n```"])
    def test_a_fence_that_seems_closed_but_is_not_is_not_run(self, reply: str) -> None:
        found = cells(reply)
        assert found.code == ()
        assert "was not closed, so it was not run" in (found.problem or "")

    def test_a_stray_fence_at_the_end_is_no_cell(self) -> None:
        assert cells("```repl\na\n```\n```") == Cells(("a",))
        assert cells("```\na\n```\n```\n") == Cells(("a",))


class TestFirstOnly:
    REPLY = "I look.\n```repl\na\n```\nOutput:\n```output\n42\n```\n```repl\nb\n```\nSo 42."

    def test_what_follows_the_first_cell_is_dropped_because_models_invent_outputs_there(self) -> None:
        found = cells(self.REPLY, first_only=True)
        assert found == Cells(("a",), None, "Output:\n```output\n42\n```\n```repl\nb\n```\nSo 42.")
        assert self.REPLY.removesuffix(found.dropped) == "I look.\n```repl\na\n```\n"

    def test_windows_line_ends_do_not_shift_what_is_dropped(self) -> None:
        reply = self.REPLY.replace("\n", "\r\n")
        assert cells(reply, first_only=True).dropped.startswith("Output:\r\n")

    def test_nothing_is_dropped_where_nothing_follows(self) -> None:
        assert cells("```repl\na\n```\n \n", first_only=True) == Cells(("a",))
        assert cells("no cell", first_only=True).dropped == ""
        assert cells("```repl\na", first_only=True).code == ("a",)

    def test_an_empty_first_fence_is_passed_over(self) -> None:
        assert cells("```repl\n```\n```repl\na\n```", first_only=True).code == ("a",)


def test_code_that_is_only_thought_of_is_not_run() -> None:
    reply = "<think>\nMaybe\n```repl\nbad\n```\n</think>\n```repl\ngood\n```"
    assert cells(reply).code == ("good",)
    assert cells(reply, first_only=True) == Cells(("good",))
    assert "Maybe" not in prose(reply)


def test_a_reply_that_is_all_thought_has_still_said_something() -> None:
    assert cells("<think>\n```repl\nx\n```\n").code == ("x",)


@pytest.mark.parametrize(
    "text",
    ["`" * 200_000, "```\n" * 50_000, "```repl\n" * 50_000, " " * 200_000 + "```", "- " * 100_000, "<think>" * 30_000],
    ids=["one line", "fences", "openers", "spaces", "items", "thoughts"],
)
def test_no_reply_takes_long(text: str) -> None:
    started = time.perf_counter()
    cells(text)
    assert time.perf_counter() - started < 2
