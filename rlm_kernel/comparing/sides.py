"""The numbers of one run, or of plain calls, as they stand side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from rlm_kernel.events.tree import Tree
from rlm_kernel.events.values import Usage
from rlm_kernel.sinks.text import count, seconds, state

if TYPE_CHECKING:
    from rlm_kernel.host.plain import PlainResult

KNOWN_OF_ALL = ("cost", "tokens", "seconds")
"""What every kind of side has, if only somebody has told it."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison. ``None`` is unknown, or nothing that this kind has.

    Attributes
    ----------
    kind
        ``rlm`` or ``plain``.
    answer
        The answer's text; of several plain calls the most frequent.
    outcome
        How it ended, in words; of plain calls how many gave that answer.
    models
        Who was asked, the root model first.
    usage
        The whole tree's, or all plain calls' together.
    cost, tokens, seconds
        Of the run; of plain calls the median of one. Dollars, input and output tokens, seconds of wall time.
    spread
        Of plain calls: name of the number -> ``min``, ``median``, ``max``.
    sub_calls, nodes, depth, iterations, cells
        Calls that cells made, RLMs, levels of them, turns of the root, and cells of the whole tree.
    """

    name: str
    kind: Literal["rlm", "plain"]
    question: str
    answer: str
    outcome: str
    stop_reason: str | None
    models: tuple[str, ...]
    usage: Usage
    cost: float | None = None
    tokens: float | None = None
    seconds: float | None = None
    spread: dict[str, dict[str, float]] | None = None
    sub_calls: int | None = None
    nodes: int | None = None
    depth: int | None = None
    iterations: int | None = None
    cells: int | None = None

    @classmethod
    def of_tree(cls, name: str, tree: Tree) -> Side:
        """Count a run."""
        nodes = list(tree.root.walk())
        rlms = [node for node in nodes if node.kind == "rlm"]
        used = tree.usage
        return cls(
            name=name,
            kind="rlm",
            question=tree.question,
            answer=tree.answer,
            outcome=f"{state(tree)}: {tree.error}" if tree.error else state(tree),
            stop_reason=tree.stop_reason,
            models=tuple(dict.fromkeys(node.model for node in nodes if node.model)),
            usage=used,
            cost=None if used.unpriced else used.cost,
            tokens=None if used.unreported else used.tokens,
            seconds=tree.seconds,
            sub_calls=len(nodes) - 1,
            nodes=len(rlms),
            depth=1 + max(node.depth for node in rlms),
            iterations=len(tree.root.iterations),
            cells=sum(len(turn.cells) for node in rlms for turn in node.iterations),
        )

    @classmethod
    def of_plain(cls, name: str, result: PlainResult) -> Side:
        """Count plain calls."""
        cost, tokens, taken = result.cost_spread, result.token_spread, result.seconds_spread
        spreads = {"cost": cost, "tokens": tokens, "seconds": taken}
        return cls(
            name=name,
            kind="plain",
            question=result.question,
            answer=result.answer,
            outcome=_outcome(result),
            stop_reason=None,
            models=(result.model,),
            usage=result.usage,
            cost=None if cost is None else cost.median,
            tokens=None if tokens is None else tokens.median,
            seconds=None if taken is None else taken.median,
            spread={key: asdict(spread) for key, spread in spreads.items() if spread is not None},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as values that JSON has."""
        return {**asdict(self), "models": list(self.models)}

    def shown(self, name: str) -> str:
        """Return a number in words."""
        value = getattr(self, name)
        if value is None:
            return "unknown" if name in KNOWN_OF_ALL else "-"
        spread = (self.spread or {}).get(name)
        if spread is None or spread["min"] == spread["max"]:
            return _words(name, value)
        return f"{_words(name, value)} ({_words(name, spread['min'])} to {_words(name, spread['max'])})"


def _words(name: str, value: float) -> str:
    if name == "cost":
        return f"${value:,.4f}"
    return (seconds(value) or "0 s") if name == "seconds" else f"{value:,.0f}"


def _outcome(result: PlainResult) -> str:
    """Say how plain calls went: what failed, and how often the answer came."""
    if result.problem is not None:
        return result.problem
    said = []
    if result.replies:
        (_, times), others = result.answers[0], len(result.answers) - 1
        said.append(f"{times} of {count(len(result.replies), 'reply').replace('replys', 'replies')} gave this answer")
        if others:
            said.append(f"{others} other answer{'s' if others > 1 else ''} came")
        if cut := sum(call.finish == "length" for call in result.replies):
            said.append(f"{cut} cut off")
    said += [f"{times} failed: {error}" for error, times in result.errors]
    return "; ".join(said)
