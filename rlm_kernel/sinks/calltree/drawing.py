"""What one row of the call tree says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from rlm_kernel.events.tree import Cell, Check, Iteration, Node, Output, ToolUse
from rlm_kernel.events.values import Usage
from rlm_kernel.sinks.calltree.moments import Key, Moments
from rlm_kernel.sinks.calltree.texts import Table, harmless
from rlm_kernel.sinks.text import check_line, first_line, line, words

LABEL_CHARACTERS = 200

Row = tuple[Any, ...]
Part = tuple[str, int, str]
"""A piece of a row: its title, the index of its text (or image), and how it is shown."""

_IMAGES = {"image/png": "iVBORw0KGgo", "image/jpeg": "/9j/"}
"""Kinds of pictures that are shown, and how each begins in base64."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]++=*+\s*+")
_SENT = {"system": "Sent: instructions", "user": "Sent: message", "assistant": "Sent: earlier reply"}


class Drawing:
    """Draws items of a tree as rows, which `static/model.js` reads (``_row`` says what is where).

    Attributes
    ----------
    texts, images
        What the rows refer to by index.
    """

    def __init__(self, moments: Moments) -> None:
        self.texts, self.images = Table(), Table()
        self._moments = moments

    def node(self, node: Node, level: int) -> Row:
        """Draw an RLM or a plain call."""
        kind = "call" if node.kind == "llm" else "child" if level else "run"
        return self._row(
            kind,
            level,
            ("node", node.id),
            node.state,
            name=node.id,
            label="" if kind == "call" else line(node.question, LABEL_CHARACTERS),
            model=node.model,
            seconds=node.seconds,
            own=node.usage,
            adds=_apart(node),
            parts=self._node_parts(node),
            facts=_node_facts(node),
        )

    def _node_parts(self, node: Node) -> list[Part]:
        if node.kind == "llm":
            return self._parts(_failure(node.error), ("Prompt", node.question, "prose"), ("Reply", node.text, "prose"))
        tree = self._moments.tree
        value = "" if node.value is None or isinstance(node.value, str) else _json(node.value)
        options = _json(tree.options) if node.depth == 0 and tree.options else ""
        failure = node.error or (tree.error if node.depth == 0 else None)
        return self._parts(
            _failure(failure),
            ("Question", node.question, "prose"),
            ("Answer", node.text, "prose"),
            ("Answer as a value", value if value != node.text else "", "code"),
            ("Settings of the run", options, "code"),
        )

    def turn(self, node: Node, turn: Iteration, level: int) -> Row:
        """Draw a turn of a node."""
        key = ("turn", node.id, turn.index, turn.last)
        sent = self._moments.messages.get(key, [])
        replies = {before.text for before in node.iterations[: turn.index]}  # these have rows of their own
        reply = self._growing(key, turn.text, whole=turn.replied)
        return self._row(
            "turn",
            level,
            key,
            "ok" if turn.replied else "running" if node.state == "running" else "cancelled",
            name=str(turn.index),
            label=("Last words: " if turn.last else "")
            + (line(words(turn.text), LABEL_CHARACTERS) or ("(only code)" if turn.cells else "(no words)")),
            model=node.model,
            seconds=turn.seconds,
            own=turn.usage,
            adds=turn.usage,
            parts=[
                *([("Reply", reply, "prose")] if turn.text else []),
                *self._parts(
                    *(
                        (_SENT.get(role) or harmless(f"Sent: {role}"), text, "prose")
                        for role, text in sent
                        if role != "assistant" or text not in replies
                    )
                ),
            ],
        )

    def cell(self, node: Node, cell: Cell, level: int) -> Row:
        """Draw a cell of a node."""
        key = ("cell", node.id, cell.index)
        outputs = (
            self._output(output, (*key, at), whole=cell.status is not None) for at, output in enumerate(cell.outputs)
        )
        return self._row(
            "cell",
            level,
            key,
            cell.status or "running",
            name=str(cell.index),
            label=first_line(cell.code, LABEL_CHARACTERS),
            seconds=cell.seconds,
            parts=[*self._parts(("Code", cell.code, "code")), *(part for parts in outputs for part in parts)],
        )

    def _output(self, output: Output, key: Key, *, whole: bool) -> list[Part]:
        for mime, beginning in _IMAGES.items():
            data = output.data.get(mime)
            if isinstance(data, str) and data.startswith(beginning) and _BASE64.fullmatch(data):
                return [("Picture", self.images.add(f"data:{mime};base64,{''.join(data.split())}"), "image")]
        titles = {"stdout": "Printed", "stderr": "Printed as a warning", "error": "Error"}
        title = titles.get(output.kind, "Shown")
        if output.text:
            look = "error" if output.kind == "error" else "output"
            return [(title, self._growing(key, output.text, whole=whole), look)]
        other = [(mime, data) for mime, data in output.data.items() if isinstance(data, str)]
        return self._parts(*((f"{title} ({harmless(line(mime, 60))})", data, "output") for mime, data in other))

    def tool(self, tool: ToolUse, key: Key, level: int) -> Row:
        """Draw a call of a tool."""
        result = ("Why it failed", tool.text, "error") if tool.state == "error" else ("Result", tool.text, "output")
        parts = self._parts(("Arguments", tool.arguments, "code"), result)
        label = line(tool.arguments, LABEL_CHARACTERS)
        return self._row("tool", level, key, tool.state, name=tool.tool, label=label, seconds=tool.seconds, parts=parts)

    def check(self, check: Check, level: int) -> Row:
        """Draw a hook's verdict."""
        state = {"refuse": "refused", "allow": "ok"}.get(check.verdict, check.verdict)
        parts = self._parts(("Reason", check.reason, "prose"))
        return self._row("check", level, ("check",), state, label=check_line(check), parts=parts)

    def note(self, node: Node, index: int, level: int) -> Row:
        """Draw a note of a node."""
        note, times = node.notes[index], self._moments.notes.get(node.id, [])
        summary = self._moments.summaries.get((node.id, index), "")
        parts = self._parts(("Note", note, "prose"), ("What stands for the older messages", summary, "prose"))
        when = times[index] if index < len(times) else math.inf
        return self._row("note", level, ("note",), "ok", label=line(note, LABEL_CHARACTERS), began=when, parts=parts)

    def _parts(self, *parts: tuple[str, str, str]) -> list[Part]:
        """Enter texts into the table; what is empty has no part."""
        add = self.texts.add
        return [(title, add(harmless(text, code=look == "code")), look) for title, text, look in parts if text]

    def _growing(self, key: Key, text: str, *, whole: bool) -> int:
        """Enter a text that comes in pieces: until it is whole it keeps its place in the table."""
        if whole and not self.texts.has_grown(key):
            return self.texts.add(harmless(text))
        return self.texts.grow(key, harmless(text))

    def _row(
        self,
        kind: str,
        level: int,
        key: Key,
        state: str,
        *,
        name: str = "",
        label: str = "",
        model: str = "",
        began: float | None = None,
        seconds: float | None = None,
        own: Usage | None = None,
        adds: Usage | None = None,
        parts: Iterable[Part] = (),
        facts: Iterable[tuple[str, str]] = (),
    ) -> Row:
        """Return a row: what it is, where, how it went, when, what it used, and what it says."""
        moments, add = self._moments, self.texts.add
        return (  # tuples of plain things are nothing to the garbage collector
            kind,
            level,
            harmless(name),
            add(harmless(label, code=kind == "cell")),
            harmless(state),
            add(harmless(model)),
            finite(moments.began.get(key) if began is None else began),
            finite(moments.ended.get(key)),
            finite(seconds),
            usage(own),
            0 if adds is own or adds == own else usage(adds) or (0,),
            tuple(parts),
            tuple(facts),
        )


def _node_facts(node: Node) -> list[tuple[str, str]]:
    if node.kind == "llm" and not node.cached:  # as most are
        return []
    about = node.context.get("description", "")
    facts = {
        "Depth": str(node.depth) if node.kind == "rlm" else "",
        "Input": harmless(str(about)) if about else "",
        "Ended": harmless(node.stop_reason or ""),
        "Cached": "an earlier call answered it; nothing was paid" if node.cached else "",
    }
    return [(name, value) for name, value in facts.items() if value]


def _apart(node: Node) -> Usage:
    """Return what a node used apart from its turns, which say theirs themselves."""
    if not node.iterations:
        return node.usage
    turns, whole = sum((turn.usage for turn in node.iterations), Usage()), node.usage
    return Usage(**{name: max(0, getattr(whole, name) - getattr(turns, name)) for name in USAGE})


def _failure(error: str | None) -> tuple[str, str, str]:
    return ("Why it failed", error or "", "error")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=repr)


def finite(seconds: float | None) -> float | None:
    """Return seconds as JSON has them; what is not known or not a number is ``None``."""
    return None if seconds is None or not math.isfinite(seconds) else round(seconds, 3)


def usage(used: Usage | None) -> tuple[float, ...] | int:
    """Return usage as numbers in the order of the columns, without zeros at the end."""
    if used is None:
        return 0
    numbers: tuple[float, ...] = _NUMBERS(used)
    if not all(map(math.isfinite, numbers)):
        numbers = tuple(number if math.isfinite(number) else 0 for number in numbers)
    end = len(numbers)
    while end and not numbers[end - 1]:
        end -= 1
    return numbers[:end] or 0


USAGE = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cost",
    "unreported",
    "unpriced",
    "cache_read_tokens",
    "cache_write_tokens",
)
"""What a row's usage lists, in order."""
_NUMBERS = attrgetter(*USAGE)
