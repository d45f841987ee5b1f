"""Makes an estimate: past runs like this one, with the prices of now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlm_kernel.events.values import Usage
from rlm_kernel.host.estimate.estimate import Basis, Estimate
from rlm_kernel.host.estimate.past import PastRun, chosen, past_runs
from rlm_kernel.host.estimate.ranges import FEWEST, Range, at_size
from rlm_kernel.host.estimate.size import InputSize
from rlm_kernel.host.models import DEFAULT_MODEL, DEFAULT_SUB_MODEL
from rlm_kernel.host.options import Options
from rlm_kernel.host.prices import Prices
from rlm_kernel.journal import default_runs_dir
from rlm_kernel.journal.figures import Used

ENOUGH = 50
"""Runs with the same models; older ones are not looked at then."""


def forecast(options: Options, size: InputSize | None) -> Estimate:
    """Estimate what a run comes to.

    Of the newest runs that have ended by themselves, those are taken that are most like this one: with the same
    models, else with the same root model, the same sub-model, or any; the first of these kinds that has three.

    Parameters
    ----------
    options
        Of the run.
    size
        Of its input, where there is one.
    """
    now = _Now(options)
    basis, found = _most_alike(now, Path(options.runs_dir or default_runs_dir()).expanduser())
    bytes_now = None if size is None else size.bytes

    def ranged(figure: Callable[[PastRun], float | None], limit: float | None = None) -> tuple[Range | None, bool]:
        known = [(value, run.figures.input_bytes) for run in found if (value := figure(run)) is not None]
        if 2 * len(known) < len(found):  # of most it is not known
            return None, False
        figures, scaled = at_size(known, bytes_now)
        return (range_ and range_.at_most(limit) if (range_ := Range.of(figures)) else None), scaled

    calls, more_calls = ranged(lambda run: float(run.figures.usage.calls))
    tokens, more_tokens = ranged(_tokens, options.max_tokens)
    cost, _ = (Range(0.0, 0.0, 0.0), False) if now.is_free else ranged(now.cost, options.max_cost)
    seconds, more_seconds = ranged(lambda run: run.figures.seconds, options.max_seconds)
    return Estimate(
        input=size,
        runs=len(found),
        basis=basis,
        calls=calls,
        tokens=tokens,
        cost=cost,
        seconds=seconds,
        scaled=more_calls or more_tokens or more_seconds,
        max_cost=options.max_cost,
    )


class _Now:
    """The models and prices of now."""

    def __init__(self, options: Options) -> None:
        self.named = chosen(options.public())
        """As journals name them, where a callable has its own name."""
        self.root = _name(options.model or DEFAULT_MODEL)
        default = DEFAULT_SUB_MODEL if self.root.startswith("policy/") else self.root
        self.sub = default if options.sub_model is None else _name(options.sub_model)
        models: dict[Any, str] = {key: _name(model) for key, model in options.models.items()}
        depths = sorted(depth for depth in models if isinstance(depth, int) and depth > 0)
        at_depth = models[depths[0]] if depths else self.root
        self._child = at_depth if options.child_model is None else _name(options.child_model)
        self._prices = Prices(options.prices)
        names = {self.root, self.sub, self._child, *models.values()}
        judged = options.before_call or options.after_call  # perhaps by other models
        self.is_free = not judged and all(self._prices.is_free(name) for name in names)

    def cost(self, run: PastRun) -> float | None:
        """Return what a past run's tokens cost now, asked of the models of now; ``None`` where that is not known."""
        total = 0.0
        for used in run.used:
            cost = self._cost(used, self._instead(used, run))
            if cost is None:
                return None
            total += cost
        rest = run.rest
        if rest.calls and (rest.unpriced or (run.root, run.sub) != self.named):
            return None
        return total + rest.cost

    def _instead(self, used: Used, run: PastRun) -> str:
        """Return the model that has now the part that one had then."""
        if used.by == "root":
            return self.root
        if used.by == "child":
            return self._child
        return self.sub if used.model == run.sub else used.model

    def _cost(self, used: Used, model: str) -> float | None:
        usage = used.usage
        each = _mean(usage)  # some prices depend on the length of a prompt
        cost = None if each is None else self._prices.cost(model, each)
        if cost is not None:
            return cost * usage.calls
        return usage.cost if model == used.model and not usage.unpriced else None


def _most_alike(now: _Now, runs_dir: Path) -> tuple[Basis, list[PastRun]]:
    alike: dict[Basis, list[PastRun]] = {"models": [], "root": [], "sub": [], "any": []}
    for run in past_runs(runs_dir):
        same_root, same_sub = run.root == now.named[0], run.sub == now.named[1]
        for basis, fits in (("models", same_root and same_sub), ("root", same_root), ("sub", same_sub), ("any", True)):
            if fits and len(alike[basis]) < ENOUGH:  # type: ignore[index]
                alike[basis].append(run)  # type: ignore[index]
        if len(alike["models"]) == ENOUGH:
            break
    return next(((basis, runs) for basis, runs in alike.items() if len(runs) >= FEWEST), ("any", alike["any"]))


def _mean(usage: Usage) -> Usage | None:
    """Return an average call."""
    if usage.unreported or not usage.calls:
        return None
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return replace(Usage(calls=1), **{name: round(getattr(usage, name) / usage.calls) for name in names})


def _tokens(run: PastRun) -> float | None:
    usage = run.figures.usage
    return None if usage.unreported else float(usage.tokens)


def _name(model: Any) -> str:
    return model if isinstance(model, str) else str(getattr(model, "name", "scripted"))
