"""Finds the cells in a model's reply. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

CELL_TAGS = frozenset({"repl", "python", "py", "python3"})

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$")


@dataclass(frozen=True)
class Cells:
    """The code of a reply's cells in order, or the ``problem`` that the model should hear about."""

    code: tuple[str, ...]
    problem: str | None = None


def cells(text: str | None) -> Cells:
    """Find the fenced cells of a reply.

    A cell is a closed fence tagged ``repl``, ``python`` or ``py``; untagged fences are cells only where no fence of
    the reply is tagged so. An unclosed fence is never run: the code may have been cut off.
    """
    if not text or not text.strip():
        return Cells((), "Your reply was empty.")
    tagged: list[str] = []
    bare: list[str] = []
    unclosed = False
    fence, tag, body = "", "", list[str]()
    for line in text.replace("\r\n", "\n").split("\n"):
        match = _FENCE.match(line)
        if not fence and match:
            fence, tag, body = match[1], match[2].lower(), []
        elif fence and match and not match[2] and match[1].startswith(fence):
            code = "\n".join(body).strip("\n")
            (tagged if tag in CELL_TAGS else bare if not tag else []).append(code)
            fence = ""
        elif fence:
            body.append(line)
    unclosed = bool(fence) and (tag in CELL_TAGS or not tag)
    found = tuple(code for code in (tagged or bare) if code.strip())
    if found:
        return Cells(found)
    if unclosed:
        return Cells((), "Your code block was not closed with ```, so it was not run.")
    return Cells((), "Your reply held no ```repl code block, so nothing was run.")
