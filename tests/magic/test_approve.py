"""``--approve`` without a browser: what the form hears, and where there is no form."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from rlm_kernel import Approver, ProposedCell, Verdict
from rlm_magic.approve import Form
from rlm_magic.asking import Asking

CELL = ProposedCell("0.3", 2, "x = 1", "q", 1)


class Waiting:
    """A run that waits for a decision on a cell."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.approver = Approver()
        self.verdict: Future[Verdict] = pool.submit(self.approver, CELL)
        while self.approver.waiting is None:
            threading.Event().wait(0.001)


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    with ThreadPoolExecutor() as pool:
        run = Waiting(pool)
        yield run
        run.approver.close()


def shown(waiting: Waiting) -> Form:
    form = Form(waiting.approver)
    form.show(CELL)
    return form


@pytest.mark.parametrize(
    ("said", "verdict", "told"),
    [
        ({"kind": "run", "code": "x = 1"}, Verdict.allow(), "run"),
        ({"kind": "run", "code": "x = 2"}, Verdict.rewrite("x = 2"), "changed"),
        ({"kind": "skip", "reason": " no "}, Verdict.refuse("no"), "skipped"),
        ({"kind": "skip", "reason": ""}, Verdict.refuse("The user has skipped it."), "skipped"),
        ({"kind": "stop"}, Verdict.stop(), "the run is stopped"),
    ],
)
def test_what_a_form_says_is_a_verdict(waiting: Waiting, said: dict[str, Any], verdict: Verdict, told: str) -> None:
    form = shown(waiting)
    assert form.cell == {"id": 1, "title": "Cell 2 of the child 0.3", "code": "x = 1"}
    form._hear(None, {"type": "verdict", "id": 1, **said}, None)
    assert waiting.verdict.result(5) == verdict
    assert (form.cell, form.told) == ({}, f"Cell 2 of the child 0.3: {told}")


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"type": "verdict"},
        {"type": "verdict", "id": 0, "kind": "stop"},
        {"type": "verdict", "id": 2, "kind": "stop"},
        {"type": "verdict", "id": 1, "kind": "run"},
        {"type": "verdict", "id": 1, "kind": "run", "code": 7},
        {"type": "verdict", "id": 1, "kind": "eval", "code": "x"},
    ],
)
def test_what_is_no_decision_on_this_cell_is_not_heard(waiting: Waiting, said: Any) -> None:
    form = shown(waiting)
    form._hear(None, said, None)
    assert not waiting.verdict.done()
    assert form.cell["id"] == 1


def test_without_forms_lines_are_asked(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: "t")
    asking = Asking(waiting.approver, has_forms=False)
    assert asking.is_due
    asking()
    assert waiting.verdict.result(5) == Verdict.stop()
    assert not asking.is_due
    asking.close()


def test_a_form_that_nobody_can_press_gives_way_to_lines(waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlm_magic.asking.FORM_SECONDS", 0.2)
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    asking = Asking(waiting.approver, has_forms=True)
    asking()
    assert not waiting.verdict.done()
    while asking.is_due:
        asking()
    assert waiting.verdict.result(5) == Verdict.allow()
    asking.close()


def test_where_no_lines_can_be_asked_it_waits_for_the_form_and_says_where_that_is(
    waiting: Waiting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rlm_magic.asking.HINT_SECONDS", 0.01)
    asking = Asking(waiting.approver, has_forms=True, has_lines=False)
    while "waiting to be approved in the form above" not in capsys.readouterr().out:
        asking()
    for _ in range(3):
        asking()
    assert "waiting to be approved" not in capsys.readouterr().out, "it is said once"
    assert not waiting.verdict.done()
    asking.close()
    assert waiting.verdict.result(5) == Verdict.stop()
