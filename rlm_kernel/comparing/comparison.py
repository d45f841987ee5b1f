"""Two or more runs side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rlm_kernel.comparing import table
from rlm_kernel.comparing.differences import Difference, first_difference
from rlm_kernel.comparing.sides import Side
from rlm_kernel.errors import OptionError
from rlm_kernel.events.tree import Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.sinks.text import count, line

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rlm_kernel.host.completion import Completion
    from rlm_kernel.host.plain import PlainResult

    Comparable = Iterable[Event] | Tree | Completion | PlainResult

EXPECTED = "a Completion, a Tree, the events of a run (such as journal.read(run_dir)) or a PlainResult"

NAME_CHARACTERS = 60


@dataclass(frozen=True)
class Comparison:
    """Runs side by side: shown as a table in a notebook, by ``print`` and by rich.

    Attributes
    ----------
    sides
        The runs, as they were passed.
    differences
        For each run after the first one, where it first did something else than that. A run that did the same has
        none, and so have plain calls, which have no turns.
    """

    sides: tuple[Side, ...]
    differences: tuple[Difference, ...] = ()

    @property
    def same_answer(self) -> bool:
        """Whether all gave the same answer, but for space around it."""
        return len({side.answer.strip() for side in self.sides}) == 1

    @property
    def same_question(self) -> bool:
        """Whether all were asked the same."""
        return len({side.question.strip() for side in self.sides}) == 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as values that JSON has."""
        return {
            "same_question": self.same_question,
            "same_answer": self.same_answer,
            "sides": [side.to_dict() for side in self.sides],
            "differences": [asdict(difference) for difference in self.differences],
        }

    def __str__(self) -> str:
        return table.plain_text(self)

    def __rich__(self) -> RenderableType:
        return table.rich(self)

    def _repr_html_(self) -> str:
        return table.html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def compare(runs: Sequence[Comparable] | Mapping[str, Comparable]) -> Comparison:
    """Put two or more runs side by side.

    Parameters
    ----------
    runs
        Completions, trees, streams of events or results of plain calls; in a mapping each under its name, else under
        its run's id.

    Raises
    ------
    OptionError
        There are fewer than two, or one is none of these.

    Examples
    --------
    >>> compare([before, after])  # doctest: +SKIP
    >>> compare({"RLM": completion, "plain": plain}).same_answer  # doctest: +SKIP
    """
    if isinstance(runs, str | bytes) or not isinstance(runs, Sequence | Mapping) or len(runs) < 2:
        raise OptionError(f"compare() needs a list or a mapping of two or more, each {EXPECTED}.")
    items = list(runs.values() if isinstance(runs, Mapping) else runs)
    read = [_read(item, place) for place, item in enumerate(items, 1)]
    names = [line(str(name), NAME_CHARACTERS) for name in runs] if isinstance(runs, Mapping) else _names(read)
    sides = tuple(
        Side.of_tree(name, item) if isinstance(item, Tree) else Side.of_plain(name, item)
        for name, item in zip(names, read, strict=True)
    )
    trees = [(name, item) for name, item in zip(names, read, strict=True) if isinstance(item, Tree)]
    found = (first_difference(*trees[0], *other) for other in trees[1:])
    return Comparison(sides, tuple(difference for difference in found if difference is not None))


def _read(item: Any, place: int) -> Tree | PlainResult:
    from rlm_kernel.host.plain import PlainResult

    if isinstance(item, Tree | PlainResult):
        return item
    if isinstance(tree := getattr(item, "tree", None), Tree):
        return tree
    if isinstance(item, Iterable) and not isinstance(item, str | bytes | Mapping):
        stream = list(item)
        if stream and all(isinstance(event, Event) for event in stream):
            return fold(stream)
    raise OptionError(
        f"Number {place} of what compare() was given is of type {type(item).__name__}: expected {EXPECTED}."
    )


def _names(items: Sequence[Tree | PlainResult]) -> list[str]:
    """Name runs by their ids, and each once."""
    names: list[str] = []
    for place, item in enumerate(items, 1):
        plain_calls = "" if isinstance(item, Tree) else f"plain, {count(len(item.calls), 'call')}"
        name = plain_calls or line(getattr(item, "run", ""), NAME_CHARACTERS) or f"run {place}"
        names.append(name if name not in names else f"{name} ({place})")
    return names
