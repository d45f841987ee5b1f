"""A table in a cell's output: HTML in a notebook, columns of text in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from rlm_kernel.sinks.style import LINE
from rlm_kernel.sinks.text import plain

_CELL = f"border:1px solid {LINE};padding:3px 8px;text-align:left;vertical-align:top"


class Table:
    """Rows below a heading. What a model or a document wrote is escaped and isolated from what stands beside it."""

    def __init__(self, heading: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
        self._rows = [list(heading), *([plain(text) for text in row] for row in rows)]
        self._empty = empty

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._html()}

    def __repr__(self) -> str:
        if len(self._rows) == 1:
            return self._empty
        widths = [max(map(len, column)) for column in zip(*self._rows, strict=True)]
        rows = ["  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)) for row in self._rows]
        return "\n".join(row.rstrip() for row in rows)

    def _html(self) -> str:
        if len(self._rows) == 1:
            return escape(self._empty)
        tags = ["th", *["td"] * (len(self._rows) - 1)]
        rows = ["".join(map(_cell, [tag] * len(row), row)) for tag, row in zip(tags, self._rows, strict=True)]
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _cell(tag: str, text: str) -> str:
    return f'<{tag} style="{_CELL}"><bdi>{escape(text)}</bdi></{tag}>'
