"""Finds the cells in a model's reply. Pure.

Fences are those of CommonMark 0.31, section 4.5: three or more backticks or tildes, indented by up to three spaces, or
by as much as the list item that they are in; closed by a fence at least as long, alone on its line. A longer fence may
hold shorter ones, and what follows the tag on its line is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FENCES = ("repl", "python", "py", "python3", "ipython", "")
"""The tags of cells, unless the options say otherwise; ``""`` is a fence without a tag."""

SHOWN_TAGS = 3
"""How many strange tags a problem names."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)$")
_ITEM = re.compile(r"^( *(?:[-*+]|\d{1,9}[.)]) {1,4})(?=\S)")
_THOUGHT = re.compile(r"\A\s*<think>(.*?)(?:</think>|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Cells:
    """What is to be run of a reply, and what the model should hear about it.

    Attributes
    ----------
    code
        The code of its cells, in order.
    problem
        Why there is none, or what is wrong with the last one; ``None`` where all is well.
    dropped
        The end of the reply that was cut away because only the first cell counts. Models invent outputs there, so it
        should be neither believed nor kept: ``reply.removesuffix(dropped)`` is what is left.
    """

    code: tuple[str, ...]
    problem: str | None = None
    dropped: str = ""


@dataclass(frozen=True)
class Block:
    """A fenced block: ``text[start:end]`` with its fences, the tag in lower case, and whether it was closed."""

    tag: str
    code: str
    start: int
    end: int
    closed: bool = True

    @property
    def holds_fence(self) -> bool:
        """Whether a line in it begins as a fence does."""
        return any(_FENCE.match(line) or line.lstrip().startswith("```") for line in self.code.split("\n"))


def cells(text: str | None, fences: Sequence[str] = FENCES, *, first_only: bool = False, cut: bool = False) -> Cells:
    """Find the cells of a reply.

    A fence without a tag is a cell, if it may be one at all, only where no fence of the reply has a tag that counts:
    beside such a cell it rather shows something. A last fence that was not closed is run as it stands, and the model
    hears of it: what was left incomplete does not compile, and a cell that does not compile does nothing. It is not
    run where the reply is known to be cut, since a part of a program may well compile. What a model thinks
    aloud in ``<think>`` is not run if it says anything after it.

    Parameters
    ----------
    text
        The reply; ``None`` is an empty one.
    fences
        The tags of cells, in any case; ``""`` is a fence without a tag.
    first_only
        Return the first cell alone; what follows it is ``dropped``.
    cut
        Whether the provider says that the reply was cut by the limit of tokens.
    """
    text = text or ""
    if not text.strip():
        return Cells((), _EMPTY + (f" {_CUT}" if cut else ""))
    tags = [tag.lower() for tag in fences]
    found = list(blocks(text, _thought_ends(text)))
    chosen = [b for b in found if b.tag and b.tag in tags] or [b for b in found if not b.tag and "" in tags]
    chosen = [block for block in chosen if block.code.strip() or not block.closed]
    if first_only and chosen and chosen[0].closed:
        rest = text[chosen[0].end :]
        return Cells((chosen[0].code,), None, rest if rest.strip() else "")
    problem = None
    if chosen and not chosen[-1].closed:
        last = chosen[-1]
        problem = _unclosed(last, cut) if cut or last.code.strip() else None
        if cut or last.holds_fence or not last.code.strip():
            chosen.pop()
    if chosen or problem:
        return Cells(tuple(block.code for block in chosen), problem)
    return Cells((), _none(found, tags) + (f" {_CUT}" if cut else ""))


def blocks(text: str, begin: int = 0) -> Iterator[Block]:
    """Find the fenced blocks of a text, from a position on; the last one may not be closed."""
    room, start, opened, indent = 3, 0, None, 0
    lines: list[str] = []
    for position, end, line in _lines(text, begin):
        match = _FENCE.match(line)
        if opened is None:
            room = _room(line, room)
            if match and len(match["indent"]) <= room:
                opened, start, indent, lines = match, position, len(match["indent"]), []
        elif match and _closes(match, opened, room):
            yield Block(_tag(opened), "\n".join(lines).strip("\n"), start, end)
            opened = None
        else:
            lines.append(line[min(indent, len(line) - len(line.lstrip(" "))) :])
    if opened is not None:
        yield Block(_tag(opened), "\n".join(lines).strip("\n"), start, len(text), closed=False)


def prose(text: str) -> str:
    """Return what a reply says outside of its fenced blocks and of its thinking aloud; a line stands for each block."""
    parts, position = list[str](), _thought_ends(text)
    for block in blocks(text, position):
        parts.append(text[position : block.start])
        position = block.end
    return "\n".join([*parts, text[position:]])


def _thought_ends(text: str) -> int:
    """Where the model's thinking aloud ends, if it then says anything."""
    match = _THOUGHT.match(text)
    return match.end() if match and text[match.end() :].strip() else 0


def _lines(text: str, begin: int) -> Iterator[tuple[int, int, str]]:
    """Lines with their places. Only line feeds end one, with or without a carriage return, as in Python's source."""
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield begin, end, text[begin:end].removesuffix("\n").removesuffix("\r")
        begin = end


def _room(line: str, room: int) -> int:
    """How far a fence may be indented, after this line: further in a list item than outside."""
    if item := _ITEM.match(line):
        return len(item[1]) + 3
    outside = bool(line.strip()) and not line.startswith(" ")
    return 3 if outside else room


def _closes(match: re.Match[str], opened: re.Match[str], room: int) -> bool:
    alone = not match["info"].strip(" \t")
    return alone and match["fence"].startswith(opened["fence"]) and len(match["indent"]) <= room


def _tag(opened: re.Match[str]) -> str:
    return (opened["info"].split() or [""])[0].lower()


_EMPTY = "Your reply was empty."
_CUT = "The limit of tokens for one reply cut it off: be brief, and write a shorter code block."


def _unclosed(block: Block, cut: bool) -> str:
    if cut:
        return (
            "The limit of tokens for one reply cut yours off inside a code block, which was not closed and so was not "
            "run. Write a shorter one; do the work in several turns."
        )
    if block.holds_fence:
        return (
            "Your code block was not closed, so it was not run: the closing fence has to stand alone on a line, and to "
            "be as long as the opening one."
        )
    return "Your last code block was not closed with ```; it was run as it stood."


def _none(found: Sequence[Block], tags: Sequence[str]) -> str:
    wanted = next((tag for tag in tags if tag), "")
    if any(block.tag in tags for block in found):
        return "Your code block was empty, so nothing was run."
    strange = list(dict.fromkeys(block.tag for block in found))[:SHOWN_TAGS]
    if strange:
        names = " and ".join(f"the tag `{tag[:40]}`" if tag else "no tag" for tag in strange)
        accepted = [f"`{tag}`" if tag else "no tag" for tag in tags]
        either = " or ".join(filter(None, [", ".join(accepted[:-1]), accepted[-1]]))
        return f"Nothing was run: your code block has {names}; only one with {either} is run."
    return (
        f"Your reply held no ```{wanted} code block, so nothing was run. "
        f"Put the code between a line ```{wanted} and a line ```."
    )
