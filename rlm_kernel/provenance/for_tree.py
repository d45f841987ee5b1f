"""What led to the answer and what was read of the input, as the call tree's front end takes them.

That is `static/led.js` and `static/input.js` of `rlm_kernel.sinks.calltree`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel.errors import RLMError
from rlm_kernel.events.tree import Tree
from rlm_kernel.events.types import Event, InputKept
from rlm_kernel.provenance import shown
from rlm_kernel.provenance.coverage import Coverage, coverage_in, sent_in
from rlm_kernel.provenance.documents import READERS, Document
from rlm_kernel.provenance.evidence import evidence_of
from rlm_kernel.provenance.matching import BLOCK
from rlm_kernel.sinks.calltree.moments import Moments
from rlm_kernel.sinks.calltree.texts import harmless

Piece = dict[str, Any]

AT_ONCE = 2_000_000
"""An input of this many bytes, and as many characters sent, are compared without being asked: 0.15 s, where what was
sent is mostly long slices of the input; 0.6 s where nothing is, or where the input repeats itself."""
MOST_BYTES = 500_000_000
"""Larger inputs are not loaded into this process."""
DOCUMENTS = 30
"""That have a strip, those with the most that was read first."""
PARTS = 1_200
"""Of all strips together; of one, a third of them at most, and 40 at least."""
NAMED = 20_000
"""How many readers are named at all parts together; at one part 8 at least."""
WITH_TEXT = ("text", "json", "jsonl")
"""Kinds of inputs that hold text; of a table nothing is sent word for word."""

TOO_LARGE = "The input is too large to be compared here. In Python, rlm_kernel.coverage({!r}, context=...) does it."
TOO_DEEP = "The input could not be compared: it is nested too deeply, or there is not enough memory."


def led(tree: Tree) -> Piece:
    """Return what led to the answer: cells as node and number, and the calls that have its words.

    The other calls of those cells have led to it too.
    """
    found = evidence_of(tree)
    return {"cells": [list(cell) for cell in found.cells], "quoted": list(found.quoted)}


class Reading:
    """Says what of a run's input was read, from its journal's input and what was followed of the run.

    Parameters
    ----------
    directory
        The run's own.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept: dict[str, InputKept] = {}

    def apply(self, event: Event) -> None:
        """Take an event; those of inputs are looked at."""
        if isinstance(event, InputKept):
            self._kept[str(event.load.get("name"))] = event

    @property
    def bytes(self) -> int:
        """How large the input is, where it may hold text."""
        return sum(kept.bytes for kept in self._kept.values() if kept.load.get("kind") in WITH_TEXT)

    def at_once(self, moments: Moments) -> Piece | None:
        """Return what was read, where that takes no time to speak of; else how large the input is.

        ``None`` where there is nothing to show: no text, or no input but the question.
        """
        if not self.bytes:
            return None
        if self.bytes > AT_ONCE or sum(len(text) for _, text in sent_in(moments)) > AT_ONCE:
            return {"bytes": self.bytes}
        return self.read(moments)

    def read(self, moments: Moments) -> Piece | None:
        """Return what was read, or why that cannot be said; ``None`` where there is nothing to show."""
        if self.bytes > MOST_BYTES:
            return {"why": TOO_LARGE.format(self._directory.name)}
        try:
            inputs = self._inputs(moments.tree)
            if all(value == moments.tree.question for value in inputs.values()):
                return None
            found = coverage_in(moments, next(iter(inputs.values())) if len(inputs) == 1 else inputs)
        except (RLMError, OSError) as error:
            return {"why": harmless(" ".join(str(error).split()))}
        except (MemoryError, RecursionError):
            return {"why": TOO_DEEP}
        return read(found)

    def _inputs(self, tree: Tree) -> dict[str, Any]:
        from rlm_kernel.host.resume.loading import loaded_input

        return {name: loaded_input(self._directory, kept, tree.options) for name, kept in self._kept.items()}


def read(coverage: Coverage) -> Piece | None:
    """Return a coverage: sentences, who has read, and for each document where; bounded however large the input is.

    Documents that are too short to be found are only counted; ``None`` where there are no others.
    A part is where it begins and ends, how many of its characters were read, how often those were on average, how many
    readers are not named, and the indexes of those that are. What is in no part was not read.
    """
    documents = [document for document in coverage.documents if document.length >= BLOCK]
    if not documents:
        return None
    listed = sorted(documents, key=lambda document: -document.read)[:DOCUMENTS]
    most = max(PARTS // 30, min(PARTS // 3, PARTS // max(len(listed), 1)))
    drawn = [_parts(document, most) for document in listed]
    names: dict[str, int] = {}
    named = min(READERS, max(8, NAMED // max(sum(map(len, drawn)), 1)))
    return {
        "say": shown.summary(documents),
        "least": coverage.least,
        "documents": [
            {
                "say": harmless(shown.document_line(document)),
                "length": document.length,
                "parts": [part.drawn(names, named) for part in parts],
            }
            for document, parts in zip(listed, drawn, strict=True)
        ],
        "more": len(documents) - len(listed),
        "short": len(coverage.documents) - len(documents),
        "readers": list(names),
    }


@dataclass
class _Part:
    """A part of a strip in which something was read."""

    start: int
    end: int
    read: int = 0
    times: int = 0
    """Of all its characters together."""
    readers: dict[str, None] = field(default_factory=dict)
    more: int = 0

    def add(self, length: int, times: int, readers: Sequence[str]) -> None:
        """Note that some of its characters were read so often."""
        self.read += length
        self.times += length * times
        self.readers |= dict.fromkeys(readers)
        self.more = max(self.more, times - READERS)

    def drawn(self, names: dict[str, int], most: int) -> list[Any]:
        """Return it as the front end takes it; new names are added to those that it knows."""
        known = [names.setdefault(name, len(names)) for name in list(self.readers)[:most]]
        more = self.more + len(self.readers) - len(known)
        return [self.start, self.end, self.read, round(self.times / self.read, 1), more, known]


def _parts(document: Document, most: int) -> list[_Part]:
    """Return what was read of a document: as it is, or, where those are too many, in parts of the same size."""
    spans = document.spans
    found: dict[int, _Part] = {}
    is_exact = len(spans) <= most
    size = max(1, -(-document.length // most))
    for span in spans:
        numbers = (span.start,) if is_exact else range(span.start // size, (span.end - 1) // size + 1)
        for number in numbers:
            start, end = (span.start, span.end) if is_exact else (number * size, (number + 1) * size)
            part = found.setdefault(number, _Part(start, min(end, document.length)))
            part.add(min(span.end, part.end) - max(span.start, part.start), span.times, span.readers)
    return list(found.values())
