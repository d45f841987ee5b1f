"""A comparison as a table: HTML for notebooks, rich for terminals, and that as plain text."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING

from rlm_kernel.sinks.style import AMBER, GREEN, LINE
from rlm_kernel.sinks.text import line, plain

if TYPE_CHECKING:
    from rich.console import Group

    from rlm_kernel.comparing.comparison import Comparison
    from rlm_kernel.comparing.sides import Side

ANSWER_CHARACTERS = 1_500
WIDTH = 110
"""Of the plain text."""
NUMBERS = {
    "cost": "cost",
    "tokens": "tokens",
    "seconds": "time",
    "sub_calls": "sub-calls",
    "nodes": "RLMs",
    "depth": "depth",
    "iterations": "turns",
    "cells": "cells",
}
"""Attribute of a side -> what it is called."""
WHAT = {
    "words": "other words",
    "code": "other cells",
    "calls": "the same cells, and other replies",
    "outputs": "the same cells, and other outputs",
    "turns": "one has ended",
    "answer": "the same turns, and another answer",
}

_CELL = f"border:1px solid {LINE};padding:3px 8px;text-align:left;vertical-align:top;white-space:pre-wrap"


def rows(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Return the table's rows: what they are called, and a text for each side."""
    sides = comparison.sides
    found = [] if comparison.same_question else [("question", [_cut(side.question) for side in sides])]
    found += [
        ("answer", [_cut(side.answer) or "(none)" for side in sides]),
        ("ended", [_cut(side.outcome) for side in sides]),
        ("models", [_cut("\n".join(line(model, 100) for model in side.models)) for side in sides]),
        ("model calls", [f"{side.usage.calls:,}" for side in sides]),
    ]
    shown = [(word, [side.shown(name) for side in sides]) for name, word in NUMBERS.items() if _known(name, sides)]
    return [*found, *shown]


def verdict(comparison: Comparison) -> str:
    """Return in a line whether the answers are the same."""
    kinds = {side.kind for side in comparison.sides}
    per_call = " Cost, tokens and time of plain calls are the median of one." if "plain" in kinds else ""
    if not comparison.same_question:
        return f"Different questions.{per_call}"
    return f"{'The same answer' if comparison.same_answer else 'Different answers'}.{per_call}"


def differences(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return where runs parted: a line that says where, and what each of them had."""
    where = "{d.first} and {d.second} part in turn {d.turn}: {what}"
    return [(where.format(d=d, what=WHAT[d.what]), d.left, d.right) for d in comparison.differences]


def html(comparison: Comparison) -> str:
    """Return the table as HTML without scripts; every text is escaped, and isolated from what stands beside it."""

    def cell(text: str, tag: str = "td") -> str:
        return f'<{tag} style="{_CELL}"><bdi>{_escaped(text)}</bdi></{tag}>'

    question = "" if not comparison.same_question else f"<b>{_inline(comparison.sides[0].question)}</b> "
    color = GREEN if comparison.same_answer and comparison.same_question else AMBER
    head = "<tr><td></td>" + "".join(cell(side.name, "th") for side in comparison.sides) + "</tr>"
    body = "".join(f"<tr>{cell(word, 'th')}{''.join(map(cell, texts))}</tr>" for word, texts in rows(comparison))
    parted = "".join(
        f"<p>{_inline(where)}</p><pre style='white-space:pre-wrap'>- {_inline(left)}\n+ {_inline(right)}</pre>"
        for where, left, right in differences(comparison)
    )
    page = (
        f'<div class="rlm-comparison"><p>{question}<span style="color:{color}">{escape(verdict(comparison))}</span></p>'
        f'<table style="border-collapse:collapse">{head}{body}</table>{parted}</div>'
    )
    return page.encode("utf-8", "replace").decode()


def rich(comparison: Comparison) -> Group:
    """Return the table for ``rich.print``. Texts are plain: no markup of theirs counts."""
    from rich.console import Group
    from rich.table import Table

    from rlm_kernel.sinks.rich_tree import text

    same = comparison.same_answer and comparison.same_question
    grid = Table()
    grid.add_column()
    for side in comparison.sides:
        grid.add_column(text((side.name, "bold")), overflow="fold")
    for word, texts in rows(comparison):
        grid.add_row(text((word, "bold")), *map(text, texts))
    parted = [
        text((f"{where}\n", "bold"), (f"- {left}\n", "red"), (f"+ {right}", "green"))
        for where, left, right in differences(comparison)
    ]
    question = [text((line(comparison.sides[0].question, 300), "bold"))] if comparison.same_question else []
    return Group(*question, text((verdict(comparison), "green" if same else "yellow")), grid, *parted)


def plain_text(comparison: Comparison) -> str:
    """Return the table as text without colours."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=WIDTH, color_system=None, force_terminal=False, force_jupyter=False)
    with console.capture() as captured:
        console.print(rich(comparison))
    return "\n".join(row.rstrip() for row in captured.get().splitlines())


def _known(name: str, sides: tuple[Side, ...]) -> bool:
    return any(getattr(side, name) is not None for side in sides)


def _cut(text: str) -> str:
    return plain(text[:ANSWER_CHARACTERS]).strip() + (" …" if len(text) > ANSWER_CHARACTERS else "")


def _escaped(text: str) -> str:
    return escape(plain(text))


def _inline(text: str) -> str:
    return f"<bdi>{_escaped(line(text, 300))}</bdi>"
