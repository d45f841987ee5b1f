"""A run as one HTML file that opens from disk, without a network and without this package.

What models and documents wrote is text and stays text: the page's policy allows one script and one style sheet, both
by hash, no requests and no HTML made by the script. The call tree is data in the page; the script of
`rlm_kernel.sinks.calltree` draws what is in view.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from html import escape
from string import Template

from rlm_kernel.events.tree import Tree
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.provenance.for_tree import Reading, led
from rlm_kernel.sinks.calltree import assets
from rlm_kernel.sinks.calltree.drawing import finite
from rlm_kernel.sinks.calltree.rows import Rows, page
from rlm_kernel.sinks.calltree.texts import harmless
from rlm_kernel.sinks.text import count, line, seconds, state

COMPRESSED_FROM = 1_000_000
"""Data of this many characters or more is compressed, for which a browser of 2023 or later is needed."""
BLOCK_CHARACTERS = 1 << 20
"""The size of an element of compressed data: a browser stays responsive between elements. Divisible by 4."""
HEAD_CHARACTERS = 20_000
"""How much of the question, the answer and the error is in the head; the call tree has them whole."""

_ESCAPED = "<>&\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in _ESCAPED}
_ENDINGS = {"answered": "ok", "error": "bad", None: "running"}


def to_html(events: Iterable[Event], reading: Reading | None = None) -> str:
    """Return a run, or any first part of one, as a whole HTML document.

    It shows the question, the answer, the totals, a timeline and the call tree with every prompt, reply, cell, output
    and error, and searches them. Each text is in it once, compressed when there is much. Without scripts the question,
    the answer and the totals remain. UTF-8 can hold the document.

    Parameters
    ----------
    events
        The run's events in order, as the journal gives them.
    reading
        Looks up what was read of the input, if that is to be on the page too.
    """
    rows = Rows()
    for event in events:
        rows.apply(event)
        if reading is not None:
            reading.apply(event)
    tree, script, style = rows.tree, _script(), _style()
    return Template(_static("page.html")).substitute(
        answer=_answer(tree),
        data=_embedded("\n".join(_data(rows, reading))),
        ending=_ENDINGS.get(tree.stop_reason, "warn"),
        models=_models(tree),
        question=_text(tree.question) or "(no question)",
        script=script,
        script_hash=_hash(script),
        state=escape(harmless(state(tree))),
        style=style,
        style_hash=_hash(style),
        title=escape(harmless(line(tree.question, 80))) or "A run",
        totals=_totals(tree),
    )


def _answer(tree: Tree) -> str:
    """Return the answer and, where the run failed, the reason."""
    absent = "The run has not answered yet." if tree.state == "running" else "The run ended without an answer."
    parts = [f'<div class="answer" dir="auto">{_text(tree.answer)}</div>' if tree.answer else ""]
    if tree.error:
        parts.append(f'<div class="failure" dir="auto">{_text(tree.error)}</div>')
    return "".join(parts) or f'<p class="dim">{absent}</p>'


def _totals(tree: Tree) -> str:
    """Return the run's totals as a list of what they are of, and how much."""
    usage = tree.usage
    nodes = sum(node.kind == "rlm" for node in tree.root.walk())
    children = count(nodes - 1, "child") if nodes == 2 else f"{nodes - 1:,} children"
    items = [
        ("Turns", f"{len(tree.root.iterations):,}", f"and {children}" if nodes > 1 else ""),
        ("Model calls", f"{usage.calls:,}", ""),
        ("Tokens", _tokens(usage), _split(usage)),
        ("Cost", _cost(usage), f"without {count(usage.unpriced, 'call')} of unknown price" if usage.cost else ""),
        ("Time", seconds(tree.seconds) or "0 s", ""),
    ]
    if not usage.unpriced:
        items[3] = (*items[3][:2], "")
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}</dd>{f'<dd class=dim>{escape(more)}</dd>' if more else ''}</div>"
        for name, value, more in items
    )


def _tokens(usage: Usage) -> str:
    if usage.calls and usage.calls == usage.unreported:
        return "unknown"
    return f"{'≥ ' if usage.unreported else ''}{usage.tokens:,}"


def _split(usage: Usage) -> str:
    """Return how tokens divide into those read and those written."""
    cached = f" ({usage.cache_read_tokens:,} from the provider's cache)" if usage.cache_read_tokens else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out" if usage.tokens else ""


def _cost(usage: Usage) -> str:
    if usage.calls and usage.calls == usage.unpriced:
        return "unknown"
    if not usage.cost and not usage.unpriced:
        return "$0"
    return f"{'≥ ' if usage.unpriced else ''}${usage.cost:,.4f}"


def _models(tree: Tree) -> str:
    """Return the rows of the table of models."""
    return "".join(
        f"<tr><th scope=row><bdi>{_text(name) or '(unnamed)'}</bdi></th><td>{usage.calls:,}</td>"
        f"<td>{usage.input_tokens:,}</td><td>{usage.output_tokens:,}</td><td>{escape(_cost(usage))}</td></tr>"
        for name, usage in tree.usage_by_model().items()
    )


def _text(text: str) -> str:
    """Escape a text for the head, cut where it is long."""
    more = len(text) - HEAD_CHARACTERS
    rest = f"\n… {count(more, 'more character')}: in the first row of the call tree" if more > 0 else ""
    return escape(harmless(text[:HEAD_CHARACTERS])) + rest


def _embedded(content: str) -> str:
    """Return data as elements that a browser does not run, and in a form that no text in it can leave."""
    if len(content) < COMPRESSED_FROM:
        return _block("json", content.translate(_IN_SCRIPT))
    packed = base64.b64encode(gzip.compress(content.encode(), 6, mtime=0)).decode()
    starts = range(0, len(packed), BLOCK_CHARACTERS)
    return "\n".join(_block("gzip", packed[start : start + BLOCK_CHARACTERS]) for start in starts)


def _block(form: str, content: str) -> str:
    return f'<script class="data" type="application/jsonl" data-form="{form}">{content}</script>'


def _data(rows: Rows, reading: Reading | None) -> Iterator[str]:
    """Yield lines of JSON that UTF-8 can hold."""
    tree, read = rows.tree, None if reading is None or not reading.bytes else reading.read(rows.moments)
    about = {
        "question": harmless(tree.question),
        "seconds": finite(rows.moments.last),
        **({"led": led(tree)} if tree.answer else {}),
        **({"input": read} if read and "documents" in read else {}),
    }
    for piece in ({"run": about}, *page(rows)):
        yield json.dumps(piece, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@cache
def _script() -> str:
    """Return the page's one script."""
    return f'"use strict";\n(() => {{\n{assets.script()}\n{_static("page.js")}\n}})();'


@cache
def _style() -> str:
    return f"{assets.sheet()}\n{_static('page.css')}"


@cache
def _static(name: str) -> str:
    return assets.static(__package__ or "", name)


def _hash(content: str) -> str:
    """Return the source expression by which a Content-Security-Policy allows an element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
