"""A text of the input, and which parts of it were read."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

READERS = 100
"""That a span names; more are counted."""


@dataclass(frozen=True)
class Span:
    """A part of a document, in characters: how often it was read, and by whom, the first `READERS` node ids."""

    start: int
    end: int
    times: int
    readers: tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """What of one text of the input was read.

    Attributes
    ----------
    name
        A path, a key or a number; empty where the input is one text.
    length
        Characters.
    spans
        What was read, in order; the rest was not.
    """

    name: str
    length: int
    spans: tuple[Span, ...] = ()

    @property
    def read(self) -> int:
        """Characters that some model has read."""
        return sum(span.end - span.start for span in self.spans)

    @property
    def unread(self) -> list[tuple[int, int]]:
        """The parts that nobody read: start and end."""
        ends = [0, *(span.end for span in self.spans)]
        starts = [*(span.start for span in self.spans), self.length]
        return [(end, start) for end, start in zip(ends, starts, strict=True) if start > end]

    def at(self, place: int) -> Span | None:
        """Return the part that holds a character; ``None`` where nobody has read it."""
        number = bisect.bisect_right(self.spans, place, key=lambda span: span.start) - 1
        return self.spans[number] if number >= 0 and place < self.spans[number].end else None

    def strip(self, width: int) -> list[float]:
        """Return how often each of ``width`` equal parts was read, on average over its characters."""
        sums, size = [0.0] * width, self.length / width
        for span in self.spans:
            first, last = int(span.start / size), min(int((span.end - 1) / size), width - 1)
            for part in range(first, last + 1):
                overlap = min(span.end, (part + 1) * size) - max(span.start, part * size)
                sums[part] += span.times * overlap
        return [total / size for total in sums]
