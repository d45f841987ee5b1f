"""What the one-file page is made of: the call tree as rows from top to bottom, and each text once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from rlm_kernel.events.tree import Cell, Check, Iteration, Node, Output, ToolUse, Tree
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.html_moments import Key, Moments
from rlm_kernel.exports.html_texts import Table, harmless
from rlm_kernel.sinks.text import check_line, first_line, line, words

LABEL_CHARACTERS = 200

Row = list[Any]
Part = tuple[str, int, str]
"""A piece of a row: its title, the index of its text (or image), and how it is shown."""

_IMAGES = {"image/png": "iVBORw0KGgo", "image/jpeg": "/9j/"}
"""Kinds of pictures that are shown, and how each begins in base64."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]++=*+\s*+")
_SENT = {"system": "Sent: instructions", "user": "Sent: message", "assistant": "Sent: earlier reply"}


class Rows:
    """The rows of one run. Each is a list, as `static/model.js` reads it (``_row`` says what is where)."""

    def __init__(self, tree: Tree, moments: Moments) -> None:
        self._tree = tree
        self._moments = moments
        self._texts = Table()
        self._images = Table()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the data in pieces, each a JSON object."""
        tree = self._tree
        yield {"run": {"question": harmless(tree.question), "seconds": _seconds(self._moments.last)}}
        rows: list[Row] = []
        for row in self._node(tree.root, 0, ("node", "0")):
            rows.append(row)
            if len(rows) == 1000:
                yield {"rows": rows}
                rows = []
        yield {"rows": rows}
        yield from ({"texts": chunk} for chunk in self._texts.chunks())
        yield from ({"images": chunk} for chunk in self._images.chunks())

    def _node(self, node: Node, level: int, key: Key) -> Iterator[Row]:
        """Yield an RLM's rows or, of a plain call, its own and those of its checks."""
        kind = "call" if node.kind == "llm" else "child" if level else "run"
        yield self._row(
            kind,
            level,
            key,
            node.state,
            id=node.id,
            label="" if kind == "call" else line(node.question, LABEL_CHARACTERS),
            model=node.model,
            seconds=node.seconds,
            own=node.usage,
            adds=_apart(node),
            parts=self._node_parts(node),
            facts=_node_facts(node),
        )
        for check in node.checks:
            yield self._check(check, level + 1)
        of_cells = {call.id for turn in node.iterations for cell in turn.cells for call in cell.calls}
        began = self._moments.began
        below: list[tuple[float, Iterator[Row]]] = [
            (began.get(("turn", node.id, turn.index, turn.last), 0.0), self._iteration(node, turn, level + 1))
            for turn in node.iterations
        ]
        for index, note in enumerate(node.notes):
            times = self._moments.notes.get(node.id, [])
            when = times[index] if index < len(times) else math.inf
            below.append((when, self._note(node, index, note, level + 1, when)))
        below += [
            (began.get(("node", call.id), 0.0), self._node(call, level + 1, ("node", call.id)))
            for call in node.calls
            if call.id not in of_cells
        ]
        for _, rows in sorted(below, key=lambda item: item[0]):
            yield from rows

    def _node_parts(self, node: Node) -> list[Part]:
        if node.kind == "llm":
            return self._parts(_failure(node.error), ("Prompt", node.question, "prose"), ("Reply", node.text, "prose"))
        value = "" if node.value is None or isinstance(node.value, str) else _json(node.value)
        options = _json(self._tree.options) if node.depth == 0 and self._tree.options else ""
        failure = node.error or (self._tree.error if node.depth == 0 else None)
        return self._parts(
            _failure(failure),
            ("Question", node.question, "prose"),
            ("Answer", node.text, "prose"),
            ("Answer as a value", value if value != node.text else "", "code"),
            ("Settings of the run", options, "code"),
        )

    def _iteration(self, node: Node, turn: Iteration, level: int) -> Iterator[Row]:
        sent = self._moments.messages.get(("turn", node.id, turn.index, turn.last), [])
        replies = {before.text for before in node.iterations[: turn.index]}  # these have rows of their own
        yield self._row(
            "turn",
            level,
            ("turn", node.id, turn.index, turn.last),
            "ok" if turn.replied else "running" if node.state == "running" else "cancelled",
            id=str(turn.index),
            label=("Last words: " if turn.last else "")
            + (line(words(turn.text), LABEL_CHARACTERS) or ("(only code)" if turn.cells else "(no words)")),
            model=node.model,
            seconds=turn.seconds,
            own=turn.usage,
            adds=turn.usage,
            parts=self._parts(
                ("Reply", turn.text, "prose"),
                *(
                    (_SENT.get(role, f"Sent: {role}"), text, "prose")
                    for role, text in sent
                    if role != "assistant" or text not in replies
                ),
            ),
        )
        for cell in turn.cells:
            yield from self._cell(node, cell, level + 1)

    def _cell(self, node: Node, cell: Cell, level: int) -> Iterator[Row]:
        outputs = (self._output(output) for output in cell.outputs)
        yield self._row(
            "cell",
            level,
            ("cell", node.id, cell.index),
            cell.status or "running",
            id=str(cell.index),
            label=first_line(cell.code, LABEL_CHARACTERS),
            seconds=cell.seconds,
            parts=[*self._parts(("Code", cell.code, "code")), *(part for parts in outputs for part in parts)],
        )
        began = self._moments.began
        asked = [(began.get(("node", c.id), 0.0), self._node(c, level + 1, ("node", c.id))) for c in cell.calls]
        keys = self._moments.tools.get((node.id, cell.index), [])
        for index, tool in enumerate(cell.tools):
            key = keys[index] if index < len(keys) else ("tool", node.id, -1)
            asked.append((began.get(key, 0.0), iter([self._tool(tool, level + 1, key)])))
        for _, rows in sorted(asked, key=lambda item: item[0]):
            yield from rows

    def _output(self, output: Output) -> list[Part]:
        for mime, beginning in _IMAGES.items():
            data = output.data.get(mime)
            if isinstance(data, str) and data.startswith(beginning) and _BASE64.fullmatch(data):
                return [("Picture", self._images.add(f"data:{mime};base64,{''.join(data.split())}"), "image")]
        titles = {"stdout": "Printed", "stderr": "Printed as a warning", "error": "Error"}
        title = titles.get(output.kind, "Shown")
        other = [] if output.text else [(mime, data) for mime, data in output.data.items() if isinstance(data, str)]
        return self._parts(
            (title, output.text, "error" if output.kind == "error" else "output"),
            *((f"{title} ({line(mime, 60)})", data, "output") for mime, data in other),
        )

    def _tool(self, tool: ToolUse, level: int, key: Key) -> Row:
        result = ("Why it failed", tool.text, "error") if tool.state == "error" else ("Result", tool.text, "output")
        parts = self._parts(("Arguments", tool.arguments, "code"), result)
        label = line(tool.arguments, LABEL_CHARACTERS)
        return self._row("tool", level, key, tool.state, id=tool.tool, label=label, seconds=tool.seconds, parts=parts)

    def _check(self, check: Check, level: int) -> Row:
        state = {"refuse": "refused", "allow": "ok"}.get(check.verdict, check.verdict)
        parts = self._parts(("Reason", check.reason, "prose"))
        return self._row("check", level, ("check",), state, label=check_line(check), parts=parts)

    def _note(self, node: Node, index: int, note: str, level: int, when: float) -> Iterator[Row]:
        summary = self._moments.summaries.get((node.id, index), "")
        parts = self._parts(("Note", note, "prose"), ("What stands for the older messages", summary, "prose"))
        yield self._row("note", level, ("note",), "ok", label=line(note, LABEL_CHARACTERS), began=when, parts=parts)

    def _parts(self, *parts: tuple[str, str, str] | None) -> list[Part]:
        """Enter texts into the table; what is empty has no part."""
        found = []
        for title, text, look in filter(None, parts):
            if text:
                found.append((harmless(title), self._texts.add(harmless(text, code=look == "code")), look))
        return found

    def _row(self, kind: str, level: int, key: Key, state: str, **rest: Any) -> Row:
        """Return a row: what it is, where, how it went, when, what it used, and what it says."""
        own, adds = rest.get("own"), rest.get("adds")
        return [
            kind,
            level,
            harmless(rest.get("id", "")),
            self._texts.add(harmless(rest.get("label", ""), code=kind == "cell")),
            harmless(state),
            self._texts.add(harmless(rest.get("model", ""))),
            _seconds(rest.get("began", self._moments.began.get(key))),
            _seconds(self._moments.ended.get(key)),
            _seconds(rest.get("seconds")),
            _usage(own),
            0 if adds == own else _usage(adds) or [0],
            rest.get("parts", []),
            rest.get("facts", []),
        ]


def data(tree: Tree, moments: Moments) -> Iterable[str]:
    """Yield lines of JSON (UTF-8 can hold them): the run, its rows, then the texts and pictures they refer to."""
    for piece in Rows(tree, moments).lines():
        yield json.dumps(piece, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _node_facts(node: Node) -> list[tuple[str, str]]:
    about = node.context.get("description", "")
    facts = {
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


def _seconds(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)


def _usage(usage: Usage | None) -> list[float] | int:
    """Return usage as numbers in the order of the columns, without zeros at the end."""
    if usage is None or usage == Usage():
        return 0
    numbers = [getattr(usage, name) for name in USAGE]
    while numbers and not numbers[-1]:
        numbers.pop()
    return [number if math.isfinite(number) else 0 for number in numbers]


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
