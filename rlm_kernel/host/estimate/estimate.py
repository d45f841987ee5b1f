"""What a run may come to, and the question whether it may begin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from rlm_kernel.errors import OptionError, RLMError
from rlm_kernel.host.estimate import words
from rlm_kernel.host.estimate.ranges import Range
from rlm_kernel.host.estimate.size import InputSize

Basis = Literal["models", "root", "sub", "any"]
BASES: dict[Basis, str] = {
    "models": "past runs like this",
    "root": "past runs with this root model",
    "sub": "past runs with this sub-model",
    "any": "past runs with other models",
}


@dataclass(frozen=True)
class Estimate:
    """What a run may come to, from past runs of this machine. ``str`` is one line.

    Attributes
    ----------
    input
        How big the input is; ``None`` in a conversation that goes on with the inputs it has.
    runs
        How many past runs it is made from. With fewer than three there are no ranges.
    basis
        Which: those with the same ``models``, the same ``root`` model, the same ``sub``-model, or ``any``.
    calls, tokens, seconds
        Model calls (the root's among them), input and output tokens, wall-clock time; ``None`` where past runs do not
        say it.
    cost
        US dollars: their tokens at the prices of now; ``None`` where tokens or prices are not known.
    scaled
        Whether past runs cost more the larger their input was, so that their figures were moved to this input's size.
    max_cost
        The run's own limit, if it has one; the ranges stay below the run's limits.
    """

    input: InputSize | None
    runs: int
    basis: Basis
    calls: Range | None = None
    tokens: Range | None = None
    cost: Range | None = None
    seconds: Range | None = None
    scaled: bool = False
    max_cost: float | None = None

    @property
    def is_close(self) -> bool:
        """Whether it is made from enough runs with this root model."""
        return self.calls is not None and self.basis in ("models", "root")

    def __str__(self) -> str:
        return "; ".join(filter(None, ["" if self.input is None else str(self.input), self._past()]))

    def _past(self) -> str:
        if self.calls is None:
            few = {0: "no past runs", 1: "one past run is too little"}.get(self.runs, "two past runs are too few")
            return f"{few} to estimate from"
        figures = [words.calls(self.calls)]
        if self.cost is None:
            figures.append("cost unknown")
        elif self.cost.high:
            figures.append(words.money(self.cost))
        if self.seconds is not None:
            figures.append(words.time(self.seconds))
        return f"{BASES[self.basis]}: {', '.join(figures)} ({self.runs} runs)"

    def confirm(self, above: float, read: Callable[[str], str] | None = None) -> None:
        """Ask whether the run may begin, where the upper end of its cost is above a threshold, or not known.

        A run whose ``max_cost`` is not above it needs no question.

        Parameters
        ----------
        above
            US dollars.
        read
            Shows a question and returns a line; by default `input`.

        Raises
        ------
        RLMError
            The answer is no, or nobody can be asked: it then says what to do.
        OptionError
            ``above`` is no amount.
        """
        check_threshold(above)
        why = self._why(above)
        if why is None:
            return
        try:
            answer = _answer(f"{why}. Start it? [y/N] ", read or input)
        except KeyboardInterrupt:
            answer = False
        except (EOFError, NotImplementedError, RuntimeError, OSError):  # Jupyter's own is a NotImplementedError
            raise RLMError(
                f"{why}. Nobody can be asked here, so nothing was started. Raise --ask-above or leave it out, or let "
                f"--max-cost {above:g} end the run there."
            ) from None
        if not answer:
            raise RLMError("Not started, as you said; nothing was asked and nothing paid.")

    def _why(self, above: float) -> str | None:
        """Return why a person has to be asked."""
        if self.max_cost is not None and self.max_cost <= above:
            return None
        if self.cost is None:
            reason = "past runs or prices do not tell it" if self.calls else self._past()
            return f"What this may cost is not known: {reason}"
        if self.cost.high <= above:
            return None
        return f"This may cost {words.money(self.cost)} by {self.runs} past runs, above your {words.dollars(above)}"


def check_threshold(above: float) -> None:
    """Refuse what is no amount of money.

    Raises
    ------
    OptionError
        It is below 0, or no number.
    """
    number = isinstance(above, int | float) and not isinstance(above, bool)
    if not number or not math.isfinite(above) or above < 0:
        raise OptionError(f"ask_above={above!r}: expected US dollars, 0 or more.")


def _answer(question: str, read: Callable[[str], str]) -> bool:
    while True:
        match read(question).strip().lower():
            case "y" | "yes":
                return True
            case "" | "n" | "no":
                return False
            case _:
                question = "Please answer with y or n: "
