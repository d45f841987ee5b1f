"""Hostile text in Markdown and in the HTML within it: shown as it was written, never obeyed.

Pages are read by Jupyter (which typesets ``$...$`` before and after it renders), nbviewer, nbconvert (which removes
nothing) and GitHub. So every character that begins HTML, a link, an image, code or mathematics becomes an entity, which
Markdown takes as plain text; the two that begin mathematics, and ``@``, stand in a ``<span>`` of their own, since
MathJax and GitHub look for pairs in the finished text but not across elements. Emphasis, lists and headings stay.
"""

from __future__ import annotations

import re

from rlm_kernel.sinks.text import plain

_ENTITIES = {ord(mark): f"&#{ord(mark)};" for mark in "&<>\"'[]()!`~|:="}
_SPANS = {ord(mark): f"<span>&#{ord(mark)};</span>" for mark in "$\\@"}
_PROSE = _ENTITIES | _SPANS
_INLINE = _PROSE | {ord(mark): f"&#{ord(mark)};" for mark in "*_#"} | {ord("\n"): " ", ord("\t"): " "}
_BLOCK = {ord(mark): f"&#{ord(mark)};" for mark in "&<>\"'$\\`*_[]!~|@:\n\t"}
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_INDENTED = re.compile(r"^(?: {4}|\t)[ \t]*", re.MULTILINE)
_BACKTICKS = re.compile("`+")
_BARE_LINK = re.compile(r"www\.", re.IGNORECASE)


def cut(text: str, characters: int | None) -> str:
    """Return a text's beginning, and how much of it was left out; the whole for ``None``."""
    if characters is None or len(text) <= characters:
        return text
    left = len(text) - characters
    return f"{text[:characters]}\n… {left:,} more character{'' if left == 1 else 's'} left out"


def prose(text: str, characters: int | None = None) -> str:
    """Return text as Markdown in which only emphasis, lists and headings have an effect."""
    shown = _INDENTED.sub("   ", _clean(cut(text, characters)))
    return _escaped(shown, _PROSE).strip()


def inline(text: str, characters: int = 100) -> str:
    """Return text as one line of HTML or Markdown without any effect, cut with an ellipsis."""
    flat = " ".join(_clean(text[: 4 * characters]).split())
    short = flat if len(flat) <= characters and len(text) <= 4 * characters else f"{flat[: characters - 1]}…"
    return _escaped(short, _INLINE)


def block(text: str, characters: int | None = None) -> str:
    """Return text as one line of HTML that shows it as it stands, lines and all.

    Without a line end in it no blank line can end the HTML around it, and let Markdown begin.
    """
    return f"<pre>{_escaped(_clean(cut(text, characters)), _BLOCK)}</pre>"


def fence(text: str, tag: str = "", characters: int | None = None) -> str:
    """Return text as a fenced block, with a fence that nothing in it can close."""
    shown = _clean(cut(text, characters))
    longest = max((len(run) for run in _BACKTICKS.findall(shown)), default=0)
    marks = "`" * max(3, longest + 1)
    return f"{marks}{tag}\n{shown}\n{marks}"


def encodable(text: str) -> str:
    """Return text that UTF-8 can hold."""
    return _SURROGATES.sub("\ufffd", text)


def _escaped(text: str, marks: dict[int, str]) -> str:
    """Replace marks, and the dot that makes a link of a name, which some renderers see even within HTML."""
    return _BARE_LINK.sub(lambda match: f"{match[0][:-1]}&#46;", text.translate(marks))


def _clean(text: str) -> str:
    """Return text without control characters; what turns the direction of text around is made visible."""
    lines = plain(encodable(_LINE_ENDS.sub("\n", text)))
    return _BIDI.sub(lambda match: f"\\u{ord(match[0]):04x}", lines)
