"""Which parts of the input some model has read, by which call, how often; and which nobody read."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rlm_kernel.events.types import Event
from rlm_kernel.provenance import shown
from rlm_kernel.provenance.documents import READERS, Document, Span
from rlm_kernel.provenance.matching import Matcher
from rlm_kernel.sinks.calltree.moments import Moments


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
        return shown.share(self.documents)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": shown.text(self.documents), "text/html": shown.html(self.documents)}


def coverage_of(events: Iterable[Event], context: Any) -> Coverage:
    """Compare what models were told with the input.

    What counts is what was sent word for word: prompts of sub-calls, and what root models saw of it, in outputs and
    previews. What code has looked at, and what it has changed before it sent it, does not; nor does a call that a
    hook has refused.

    Parameters
    ----------
    events
        The run's.
    context
        Its input: text, or a list or mapping with texts in it, at any depth.
    """
    moments = Moments()
    for event in events:
        moments.apply(event)
    return coverage_in(moments, context)


def coverage_in(moments: Moments, context: Any) -> Coverage:
    """Do the same for a run that was followed: of one that was resumed, for its last attempt, as its tree shows it."""
    named = [(name, text) for name, text in texts(context) if text]
    matcher = Matcher([text for _, text in named])
    reads: list[list[tuple[int, int, str]]] = [[] for _ in named]
    for reader, sent in sent_in(moments):
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


def sent_in(moments: Moments) -> Iterator[tuple[str, str]]:
    """Yield what models were told: the id of the node that read it, and the text."""
    for (_, node, *_), messages in moments.messages.items():
        for _, content in messages:
            yield str(node), content
    for call in moments.tree.root.walk():
        was_refused = any(check.when == "before" and check.verdict == "refuse" for check in call.checks)
        if call.kind == "llm" and not was_refused:
            yield call.id, call.question


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
