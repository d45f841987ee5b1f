"""``Estimate.confirm``: the question above a threshold."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.error import StdinNotImplementedError

from rlm_kernel import Estimate, OptionError, RLMError
from rlm_kernel.host.estimate import InputSize, Range

COSTS = Estimate(
    InputSize(1000, "text"),
    9,
    "models",
    Range(40, 80, 120),
    Range(1e5, 2e5, 3e5),
    Range(0.1, 0.2, 0.45),
    Range(1, 2, 3),
)
UNKNOWN = Estimate(InputSize(1000, "text"), 1, "any")
NO_PRICE = Estimate(None, 9, "root", Range(1, 2, 3), seconds=Range(1, 2, 3))


class Person:
    """Answers one after the other, and what was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        return self.answers.pop(0)


@pytest.mark.parametrize("answers", [["y"], [" YES\n"], ["what?", "y"]])
def test_yes_lets_it_begin(answers: list[str]) -> None:
    person = Person(*answers)
    COSTS.confirm(0.2, person)
    assert person.answers == []
    assert person.asked[0] == ("This may cost $0.10 to $0.45 by 9 past runs, above your $0.20. Start it? [y/N] ")
    assert person.asked[1:] == ["Please answer with y or n: "] * (len(answers) - 1)


@pytest.mark.parametrize("answers", [["n"], ["No"], [""], ["\n"], ["maybe", "n"]])
def test_no_is_one_line(answers: list[str]) -> None:
    with pytest.raises(RLMError, match="^Not started, as you said; nothing was asked and nothing paid.$"):
        COSTS.confirm(0.2, Person(*answers))


def test_ctrl_c_is_no() -> None:
    def interrupted(question: str) -> str:
        raise KeyboardInterrupt

    with pytest.raises(RLMError, match="^Not started"):
        COSTS.confirm(0.2, interrupted)


@pytest.mark.parametrize("above", [0.45, 1, 1e9])
def test_what_is_not_above_it_is_not_asked(above: float) -> None:
    COSTS.confirm(above, Person())


@pytest.mark.parametrize(
    ("estimate", "why"), [(UNKNOWN, "one past run is too little to estimate from"), (NO_PRICE, "do not tell it")]
)
def test_what_nobody_knows_is_asked_and_says_so(estimate: Estimate, why: str) -> None:
    person = Person("y")
    estimate.confirm(1000, person)
    assert person.asked[0].startswith("What this may cost is not known: ")
    assert why in person.asked[0]


def test_a_limit_of_no_more_than_it_needs_no_question() -> None:
    for limit in (0.1, 0.2):
        Estimate(None, 0, "any", max_cost=limit).confirm(0.2, Person())
    person = Person("y")
    Estimate(None, 0, "any", max_cost=0.3).confirm(0.2, person)
    assert len(person.asked) == 1


def test_what_is_free_is_never_asked() -> None:
    Estimate(None, 0, "any", cost=Range(0, 0, 0)).confirm(0, Person())


@pytest.mark.parametrize("nobody", [EOFError, StdinNotImplementedError, RuntimeError, OSError])
def test_where_nobody_can_be_asked_the_error_says_what_to_do(nobody: type[Exception]) -> None:
    def fails(question: str) -> str:
        raise nobody("input(): lost sys.stdin")

    with pytest.raises(RLMError) as refused:
        COSTS.confirm(0.25, fails)
    assert str(refused.value) == (
        "This may cost $0.10 to $0.45 by 9 past runs, above your $0.25. Nobody can be asked here, so nothing was "
        "started. Raise --ask-above or leave it out, or let --max-cost 0.25 end the run there."
    )


def test_without_a_reader_it_is_input(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person("y")
    monkeypatch.setattr("builtins.input", person)
    COSTS.confirm(0)
    assert len(person.asked) == 1


@pytest.mark.parametrize("above", [-1, float("nan"), float("inf"), "1", True, None])
def test_what_is_no_amount_is_refused(above: Any) -> None:
    with pytest.raises(OptionError, match="expected US dollars, 0 or more"):
        COSTS.confirm(above, Person("y"))
