"""Figures of several runs as a range, and whether they grow with the input."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST = 3
"""With fewer runs there is nothing to estimate from."""
QUARTILES_FROM = 8
"""With fewer, a range goes from the least to the most that there was; with so many, between the quartiles."""
SPREAD = 4.0
"""The largest of some inputs must have so many times the bytes of the smallest for them to show a trend,"""
CORRELATION = 0.7
"""and the logarithms of sizes and figures this coefficient: by chance it comes once in 40 times with 8 runs."""


@dataclass(frozen=True)
class Range:
    """A likely value, and what lies around it.

    Attributes
    ----------
    low, high
        With 8 runs or more, half of them were within: the quartiles. With fewer, all of them.
    likely
        The median.
    """

    low: float
    likely: float
    high: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Range | None:
        """Return the range of figures, ``None`` where they are fewer than `FEWEST`."""
        if len(figures) < FEWEST:
            return None
        if len(figures) < QUARTILES_FROM:
            return cls(min(figures), statistics.median(figures), max(figures))
        return cls(*statistics.quantiles(figures, n=4, method="inclusive"))

    def at_most(self, limit: float | None) -> Range:
        """Return the range below a limit of the run."""
        if limit is None:
            return self
        return Range(min(self.low, limit), min(self.likely, limit), min(self.high, limit))


def at_size(figures: Sequence[tuple[float, int | None]], size: int | None) -> tuple[list[float], bool]:
    """Return figures as they would be for an input of ``size``, and whether that is something else.

    Where figures grow with the input, each is moved along their common trend ``figure ~ size ** slope``, whose slope
    is at most 1. Where they do not, they are what they were: most runs look at a part of their input.

    Parameters
    ----------
    figures
        Of each run, with the size of its input in bytes where that is known.
    size
        Bytes of the input now.
    """
    known = [(figure, at) for figure, at in figures if at and figure > 0]
    if size and len(known) >= QUARTILES_FROM and (slope := _slope(known)) is not None:
        return [figure * (size / at) ** slope for figure, at in known], True
    return [figure for figure, _ in figures], False


def _slope(known: Sequence[tuple[float, int]]) -> float | None:
    """Return how steeply figures grow with sizes, ``None`` where they do not."""
    figures, sizes = [math.log(figure) for figure, _ in known], [math.log(at) for _, at in known]
    if max(sizes) - min(sizes) < math.log(SPREAD) or len(set(figures)) < 2:
        return None
    if statistics.correlation(sizes, figures) < CORRELATION:
        return None
    return min(1.0, statistics.linear_regression(sizes, figures).slope)
