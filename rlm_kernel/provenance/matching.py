"""Finds where texts stand in a much larger one: prompts are mostly slices of the input, word for word.

The input is indexed by blocks at equal distances. A text is gone through from left to right; where a block of the input
stands in it, the match is made as long as it can be and jumped over. So the cost is that of the index, and of what is
*not* from the input.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

BLOCK = 24
"""Characters that are looked up. A shorter slice is not found."""
MOST_BLOCKS = 1_000_000
"""In the index: about 100 MB of memory. Where there would be more, the distance is larger."""
LEAST_DISTANCE = 16
LONG = 1_000
"""Characters of a slice that is taken to stand where it was found first."""


class _Match(NamedTuple):
    """A slice of a document in a text: where it stands in each."""

    document: int
    start: int
    at: int
    length: int
    shift: int
    """How far apart the two places are."""


class Matcher:
    """An index of documents.

    A slice is found if it has `least` characters or more; shorter ones may be.

    Parameters
    ----------
    texts
        The documents.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._begins = [0]
        for text in texts:
            self._begins.append(self._begins[-1] + len(text))
        self._distance = max(LEAST_DISTANCE, -(-self._begins[-1] // MOST_BLOCKS))
        self._look = BLOCK + 4 * self._distance
        self._blocks: dict[int, int] = {}
        for begin, text in zip(self._begins, texts, strict=False):
            for at in range(0, len(text) - BLOCK + 1, self._distance):
                block = text[at : at + BLOCK]
                if len(set(block)) > 3:  # a rule of dashes, or indentation, says nothing of where it stands
                    self._blocks.setdefault(hash(block), begin + at)

    @property
    def least(self) -> int:
        """How long a slice has to be to be found for certain, where it stands once."""
        return BLOCK + self._distance - 1

    def find(self, text: str) -> Iterator[tuple[int, int, int]]:
        """Yield the slices of documents in a text: document, start and end, left to right in the text."""
        at = done = 0
        while at <= len(text) - BLOCK:
            found = self._match(text, at, done)
            if found is None:
                at += 1
                continue
            # What stands in several places is found in the first; a block a little further on may tell them apart.
            look = self._look if found.length < LONG else 0
            for later in range(at + 1, min(at + look, len(text) - BLOCK + 1)):
                other = self._match(text, later, done, found.shift)
                if other is not None and other.length > found.length:
                    found = other
            yield found.document, found.start, found.start + found.length
            at = done = found.at + found.length

    def _match(self, text: str, at: int, done: int, known: int | None = None) -> _Match | None:
        """Return the longest match around a place, not before ``done``; none where it is the ``known`` one."""
        place = self._blocks.get(hash(text[at : at + BLOCK]))
        if place is None or place - at == known:
            return None
        number = bisect_right(self._begins, place) - 1
        document, start = self._texts[number], place - self._begins[number]
        length = _common(text, at, document, start)
        if length < BLOCK:  # another block with the same hash
            return None
        back = _common_before(text, at, document, start, at - done)
        return _Match(number, start - back, at - back, length + back, place - at)


def _common(one: str, at: int, other: str, start: int) -> int:
    """Return how many characters are the same from two places on."""
    length, step = 0, 64
    most = min(len(one) - at, len(other) - start)
    while length < most:
        step = min(step, most - length)
        if one[at + length : at + length + step] == other[start + length : start + length + step]:
            length += step
            step *= 2
        elif step == 1:
            break
        else:
            step //= 2
    return length


def _common_before(one: str, at: int, other: str, start: int, most: int) -> int:
    """Return how many characters are the same before two places; not more than ``most``."""
    most, length = min(most, start), 0
    while length < most and one[at - length - 1] == other[start - length - 1]:
        length += 1
    return length
