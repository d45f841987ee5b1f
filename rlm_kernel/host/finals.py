"""Finds ``FINAL(...)`` and ``FINAL_VAR(name)`` in a model's text, as harnesses before May 2026 taught them. Pure.

Both are functions in the REPL too; here is only what a reply says outside its cells. See `rlm_kernel.kernel.aliases`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from rlm_kernel.host import parse

_FINAL = re.compile(r"^[ \t]*FINAL\(", re.MULTILINE)
_FINAL_VAR = re.compile(r"^[ \t]*FINAL_VAR\(\s*([^()]*?)\s*\)", re.MULTILINE)
_MENTION = re.compile(r"\bFINAL(?:_VAR)?\(")
_QUOTED = re.compile(r'"[^"\n]*"')
_WHOLE = re.compile(
    r"""\s*("{3}(?:\\.|[^\\])*?"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')\s*\)""", re.DOTALL
)
_AT_LINE_END = re.compile(r"\)(?=[ \t]*$)", re.MULTILINE)
_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_QUOTES = ('"""', "'''", '"', "'", "`")

Kind = Literal["text", "variable"]


class Ended(Protocol):
    """A cell that has ended."""

    @property
    def status(self) -> str:
        """``ok`` where it ran to its end."""


@dataclass(frozen=True)
class Final:
    """A final that a reply holds: a ``variable`` by its name, or the ``text`` of the answer itself."""

    kind: Kind
    value: str

    @property
    def name(self) -> str:
        """What the model wrote before the bracket."""
        return "FINAL_VAR" if self.kind == "variable" else "FINAL"


def find(text: str | None) -> Final | None:
    """Find the final of a reply: the first ``FINAL_VAR`` that begins a line, else the first such ``FINAL``.

    What stands in fenced blocks, of any tag, is code or shows something, and is no final. The bracket that closes a
    ``FINAL`` is the one that matches, over several lines and past nested and quoted ones; where its paragraph holds
    a closing bracket too many at the end of a line, as after a smiley or ``1)``, that one. Quotes around the whole are
    taken off.
    """
    said = parse.prose(text or "")
    if match := _FINAL_VAR.search(said):
        return Final("variable", _unquoted(match[1]))
    match = _FINAL.search(said)
    inside = _inside(said, match.end()) if match else None
    return None if inside is None else Final("text", _unquoted(inside))


def accept(final: Final, records: Sequence[Ended], ran_before: bool) -> str | None:
    """Say why a final is ignored, for the model; ``None`` where it may be taken.

    Parameters
    ----------
    final
        What `find` found.
    records
        The cells of the same reply, after they were run.
    ran_before
        Whether a cell of an earlier turn ran without an error.
    """
    if any(record.status != "ok" for record in records):
        return (
            f"{final.name} was ignored: a cell of the same reply failed. Look at its output, then answer again if the "
            "answer still holds."
        )
    if final.kind == "text" and not ran_before:
        return "FINAL was ignored: you wrote it before you had seen any output. Look at the output, then answer."
    if final.kind == "text" and records:
        return "FINAL was ignored: you wrote it before you had seen the output of the same reply's cells. Answer again."
    if not ran_before and not records:
        return f"{final.name} was ignored: no cell has run yet, so it would be invented. Look at the context first."
    return None


def overlooked(text: str | None) -> str | None:
    """Say, for the model, that a final was seen where it does not count: amid a line, or never closed."""
    said = parse.prose(text or "")
    if find(text) is not None or (match := _MENTION.search(said)) is None:
        return None
    return f"{match[0]}...) was not taken for an answer: it has to begin a line, outside code blocks, and be closed."


def _inside(text: str, start: int) -> str | None:
    """Return what stands between the bracket that opens before ``start`` and the one that closes it."""
    if whole := _WHOLE.match(text, start):
        return whole[1]
    quoted = {match.start(): match.end() for match in _QUOTED.finditer(text, start)}
    end = _closing(text, start, quoted) or _closing(text, start, {})
    paragraph = _BLANK_LINE.search(text, end or start)
    limit = paragraph.start() if paragraph else len(text)
    last = _last_at_line_end(text, start if end is None else end + 1, limit, surplus=end is not None) or end
    return None if last is None else text[start:last].strip()


def _closing(text: str, start: int, quoted: Mapping[int, int]) -> int | None:
    """Return the place of the bracket that matches, past what is quoted."""
    depth, position = 1, start
    while position < len(text):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
        position = quoted.get(position, position + 1)
    return None


def _last_at_line_end(text: str, start: int, limit: int, *, surplus: bool) -> int | None:
    """Return the place of the last closing bracket that ends a line; with ``surplus``, of one that was never opened."""
    ends = {match.start() for match in _AT_LINE_END.finditer(text, start, limit)}
    depth, last = 0, None
    for position in range(start, limit):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if position in ends and (depth < 0 or not surplus):
            last = position
    return last


def _unquoted(text: str) -> str:
    for quote in _QUOTES:
        inner = text[len(quote) : -len(quote)]
        if len(text) >= 2 * len(quote) and text.startswith(quote) and text.endswith(quote) and quote not in inner:
            return inner
    return text
