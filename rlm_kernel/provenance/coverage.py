"""Which parts of the input some model has read, by which call, how often; and which nobody read."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rlm_kernel.events.types import CallRequested, Event, ModelRequested
from rlm_kernel.provenance.matching import Matcher

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


@dataclass(frozen=True)
class Coverage:
    """What of an input was read.

    Attributes
    ----------
    documents
        Its texts, in order.
    least
        A slice of this many characters or more is found for certain; shorter ones may not be.
    """

    documents: tuple[Document, ...] = field(repr=False)
    least: int = 0

    @property
    def length(self) -> int:
        """Characters of all documents."""
        return sum(document.length for document in self.documents)

    @property
    def share(self) -> float:
        """The part of the input that some model has read, from 0 to 1."""
        return sum(document.read for document in self.documents) / max(self.length, 1)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from rlm_kernel.provenance import shown

        return {"text/plain": shown.text(self), "text/html": shown.html(self)}


def coverage_of(events: Iterable[Event], context: Any) -> Coverage:
    """Compare what models were told with the input.

    What counts is what was sent word for word: prompts of sub-calls, and what root models saw of it, in outputs and
    previews. What code has looked at, and what it has changed before it sent it, does not.

    Parameters
    ----------
    events
        The run's.
    context
        Its input: text, or a list or mapping with texts in it, at any depth.
    """
    named = [(name, text) for name, text in texts(context) if text]
    matcher = Matcher([text for _, text in named])
    reads: list[list[tuple[int, int, str]]] = [[] for _ in named]
    for reader, sent in _sent(events):
        for number, start, end in matcher.find(sent):
            reads[number].append((start, end, reader))
    documents = (
        Document(name, len(text), tuple(_spans(text, read))) for (name, text), read in zip(named, reads, strict=True)
    )
    return Coverage(tuple(documents), matcher.least)


def texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts in a value, each with where it is, such as ``chapters/3``."""
    if isinstance(value, str):
        yield name, value
        return
    below: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        below = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        below = enumerate(value)
    for key, one in below:
        yield from texts(one, f"{name}/{key}" if name else str(key))


def _sent(events: Iterable[Event]) -> Iterator[tuple[str, str]]:
    """Yield what models were told: the node that read it, and the text."""
    for event in events:
        if isinstance(event, ModelRequested):
            for message in event.messages:
                yield event.node, message.content
        elif isinstance(event, CallRequested) and event.kind == "llm":
            yield event.call, event.prompt


def _spans(text: str, reads: Sequence[tuple[int, int, str]]) -> Iterator[Span]:
    """Cut what was read at each beginning and end; a gap of nothing but spaces belongs to what is before it."""
    changes: dict[int, list[int]] = {}
    for number, (start, end, _) in enumerate(reads):
        changes.setdefault(start, []).append(number)
        changes.setdefault(end, []).append(number)
    reading: dict[int, None] = {}
    before: Span | None = None
    for start, end in itertools.pairwise(sorted(changes)):
        for number in changes[start]:
            if number in reading:
                del reading[number]
            else:
                reading[number] = None
        readers = tuple(reads[number][2] for number in itertools.islice(reading, READERS))
        span = Span(start, end, len(reading), readers)
        if before is not None and before.end == start:
            is_same = (before.times, before.readers) == (span.times, span.readers)
            if is_same or (not reading and text[start:end].isspace()):
                before = replace(before, end=end)
                continue
        if before is not None:
            yield before
        before = span if reading else None
    if before is not None:
        yield before
