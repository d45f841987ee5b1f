"""The notebook's own cells as the input, and its variables in the question: ``--context cells:3-9``, ``--expand``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.magic.vocabulary import Notebook, notebook
from tests.providers.fake_servers import FakeServer

GIVE_BACK = "```repl\nanswer['content'] = context\nanswer['ready'] = True\n```"
CELLS = (
    "%load_ext rlm_magic",
    "print('a line'); import sys; print('a warning', file=sys.stderr)\n6 * 7",
    "1 / 0",
    "'last' if True else None",
)


@pytest.fixture
def nb() -> Iterator[Notebook]:
    """A notebook in which exactly these cells have run, numbered from 1."""
    with notebook() as kernel:
        for cell in CELLS:
            kernel.run(cell)
        yield kernel


def given(nb: Notebook, server: FakeServer, context: str, question: str = "What has happened?") -> Any:
    """What the model's REPL was given as its input."""
    line = f"--context {context} --into found --model openai/any --base-url {server.openai_url}"
    ran = nb.run(f"%%rlm {line}\n{question}")
    assert ran.ok, ran.trouble
    return eval(nb.value("found"))


def test_the_notebooks_cells_are_an_input_with_their_outputs(nb: Notebook) -> None:
    with FakeServer([GIVE_BACK] * 4) as server:
        everything = given(nb, server, "notebook")
        assert [cell["cell"] for cell in everything] == [1, 2, 3, 4], "not the running one"
        assert [cell["code"] for cell in everything] == list(CELLS)
        assert everything[1]["output"] == "a line\na warning\n42"
        assert everything[2]["output"] == "ZeroDivisionError: division by zero"
        assert everything[3]["output"] == "'last'"
        assert given(nb, server, "cells:2-3") == everything[1:3]
        assert given(nb, server, "cells:4,1") == [everything[3], everything[0]]
        later = given(nb, server, "cells:4-")
    assert later[0] == everything[3]
    assert "%%rlm --context notebook" in later[1]["code"]


def test_a_variable_of_that_name_goes_first(nb: Notebook) -> None:
    nb.run("notebook = 'mine'")
    with FakeServer([GIVE_BACK]) as server:
        assert given(nb, server, "notebook") == "mine"


def test_braces_in_a_question_stay_unless_it_is_to_be_expanded(nb: Notebook) -> None:
    nb.run("book = 'x'; who = ['the butler']")
    question = "Was it {who[0]} or {{nobody}}? For $who, say"
    with FakeServer([GIVE_BACK] * 3) as server:
        given(nb, server, "book", question)
        line = f"-c book -m openai/any --base-url {server.openai_url}"
        nb.run(f"%rlm {line} {question}")
        ran = nb.run(
            f"address = {server.openai_url!r}\n%rlm -c book --expand -m openai/any --base-url {{address}} {question}"
        )
        assert ran.ok, ran.trouble
        asked = [request.prompt for request in server.requests]
    assert question in asked[0]
    assert question in asked[1], "also on the line, where IPython fills in whatever it can"
    assert "Was it the butler or {nobody}? For $who, say" in asked[2]


def test_a_mistake_is_one_line_and_asks_nobody(nb: Notebook) -> None:
    nb.run("book = 'x'")
    numbers = "the cells that have run here are numbered 1 to"
    mistakes = {
        "--context cells:2-99\nq": numbers,
        "--context cells:0\nq": numbers,
        "--context cells:3-2\nq": numbers,
        "--context cells:first\nq": "expected numbers of cells, such as cells:3-9",
        "--expand --context book\nWas it {whom}?": "--expand cannot fill in the question: NameError: name 'whom'",
        "--expand --context book\nWas it {?": "--expand cannot fill in the question",
    }
    with FakeServer([]) as server:
        for line, message in mistakes.items():
            ran = nb.run(f"%%rlm --model openai/any --base-url {server.openai_url} {line}")
            assert not ran.ok
            assert message in ran.trouble
            assert "Traceback" not in ran.trouble
        assert server.requests == []


def test_tab_offers_the_notebook(nb: Notebook) -> None:
    assert "notebook" in nb.complete("%%rlm --context no")
    assert "cells:" in nb.complete("%%rlm --context ce")
