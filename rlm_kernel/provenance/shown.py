"""What was read of an input, to look at: a strip for each document, darker where it was read more often."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from rlm_kernel.provenance.documents import Document
from rlm_kernel.sinks.text import line

WIDTH = 60
"""Parts of a strip."""
DOCUMENTS = 50
"""That are listed, those with the most that was read first."""
NAME_CHARACTERS = 50
_BLOCKS = "·▁▂▃▄▅▆▇█"
_STEPS = 4
"""Of darkness: read once is half, and four times or more is all."""


def text(documents: Sequence[Document]) -> str:
    """Return it for a terminal."""
    rows = [f"{document_line(document)}\n{_bars(document)}" for document in _listed(documents)]
    return "\n".join([summary(documents), *rows, *_more(documents)])


def html(documents: Sequence[Document]) -> str:
    """Return it for a notebook. Names are text; there is no script."""
    rows = "".join(
        f'<div style="margin:4px 0"><div>{escape(document_line(document))}</div>{"".join(_strip(document))}</div>'
        for document in _listed(documents)
    )
    more = "".join(f"<div>{escape(one)}</div>" for one in _more(documents))
    return f'<div dir="auto"><b>{escape(summary(documents))}</b>{rows}{more}</div>'


def share(documents: Sequence[Document]) -> float:
    """Return the part of an input that some model has read, from 0 to 1."""
    return sum(document.read for document in documents) / max(sum(document.length for document in documents), 1)


def summary(documents: Sequence[Document]) -> str:
    """Return one line on all of it."""
    if not documents:
        return "The input has no text."
    number, length = len(documents), sum(document.length for document in documents)
    where = "" if number == 1 else f" in {number:,} texts"
    return f"{_percent(share(documents))} of {length:,} characters{where} were read by a model."


def document_line(document: Document) -> str:
    """Return one line on a document."""
    times = max((span.times for span in document.spans), default=0)
    name = line(document.name, NAME_CHARACTERS) or "context"
    most = f", at most {times:,} times" if times > 1 else ""
    return f"{name}: {_percent(document.read / document.length)} of {document.length:,} characters{most}"


def _percent(share: float) -> str:
    """Return a share that is 0 % or 100 % only where it is all or nothing."""
    shown = round(100 * share, 1)
    if share and not shown:
        return "under 0.1 %"
    return f"{99.9 if shown == 100 and share < 1 else shown:g} %"


def _listed(documents: Sequence[Document]) -> list[Document]:
    if len(documents) <= DOCUMENTS:
        return list(documents)
    return sorted(documents, key=lambda document: -document.read)[:DOCUMENTS]


def _more(documents: Sequence[Document]) -> list[str]:
    more = len(documents) - DOCUMENTS
    return [f"{more:,} more texts, of which less was read"] if more > 0 else []


def _bars(document: Document) -> str:
    most = len(_BLOCKS) - 1
    return "".join(_BLOCKS[math.ceil(min(times, _STEPS) * most / _STEPS)] for times in _parts(document))


def _strip(document: Document) -> Iterator[str]:
    yield '<div style="display:flex;height:14px;border:1px solid #8888;max-width:60em">'
    for number, times in enumerate(_parts(document)):
        start, end = (document.length * place // WIDTH for place in (number, number + 1))
        darkness = min(times, 1) / 2 + max(min(times, _STEPS) - 1, 0) / (_STEPS - 1) / 2
        title = f"{start:,} to {end:,}: read {times:.1f} times"
        yield f'<span title="{title}" style="flex:1;background:rgba(25,118,210,{darkness:.2f})"></span>'
    yield "</div>"


def _parts(document: Document) -> list[float]:
    return document.strip(WIDTH)
