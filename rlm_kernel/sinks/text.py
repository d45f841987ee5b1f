"""Short texts for views: what a run, an iteration or a call says in one line."""

from __future__ import annotations

import re

from rlm_kernel.events.tree import Check, Iteration, Node, ToolUse, Tree

_FENCED = re.compile(r"^ {0,3}(`{3,}+|~{3,}+)[^\n]*\n.*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Return text without terminal colours, cursor movements and other control characters."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def words(reply: str) -> str:
    """Return a reply without its code: the cells show that."""
    return plain(_FENCED.sub("", reply)).strip()


def line(text: str, width: int) -> str:
    """Return text as one line of at most ``width`` characters."""
    flat = " ".join(plain(text[: 4 * width]).split())
    return flat if len(flat) <= width and len(text) <= 4 * width else f"{flat[: width - 1].rstrip()}…"


def first_line(code: str, width: int) -> str:
    """Return the first line of code that does something, or its first line at all."""
    rows = [row for row in code[:4000].split("\n") if row.strip()]
    return line(next((row for row in rows if not row.startswith(("#", "import ", "from "))), "".join(rows[:1])), width)


def seconds(value: float | None) -> str:
    """Return a duration; an unknown one is empty."""
    if value is None:
        return ""
    if value < 60:
        return f"{value:.1f} s" if value >= 0.1 else f"{value * 1000:.0f} ms"
    whole = round(value)
    return f"{whole // 60} min {whole % 60:02} s"


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def state(tree: Tree) -> str:
    """Return how the run stands, in a word or two."""
    if tree.state == "running":
        return "running"
    if by_hand(tree.root) and tree.stop_reason == "answered" and not tree.answer:
        return "done"
    return {"answered": "answered", "cancelled": "stopped", "error": "failed"}.get(
        tree.stop_reason or "", f"stopped by {tree.stop_reason}"
    )


def by_hand(node: Node) -> bool:
    """Whether a person has run the node's cells, and no model has said anything."""
    return not node.model and bool(node.iterations) and not any(turn.text for turn in node.iterations)


def totals(tree: Tree) -> str:
    """Return the run's totals: iterations, what the models used, time."""
    nodes = [node for node in tree.root.walk() if node.kind == "rlm"]
    turns = [turn for turn in tree.root.iterations if not by_hand(tree.root)]
    iterations = count(len(turns), "iteration") if turns or not tree.root.iterations else "by hand"
    children = [count(len(nodes) - 1, "child RLM")] if len(nodes) > 1 else []
    return " · ".join([iterations, *children, str(tree.usage), seconds(tree.seconds) or "0 s"])


def measures(item: Iteration | Node) -> str:
    """Return what an iteration or a call took: tokens, money and time, as far as they are known."""
    if getattr(item, "cached", False):
        return "cached"
    tokens = f"{item.usage.tokens:,} tokens" if item.usage.calls > item.usage.unreported else ""
    return " · ".join(filter(None, [tokens, money(item.usage.cost), seconds(item.seconds)]))


def turn_name(turn: Iteration) -> str:
    """Return what an iteration is called."""
    return "Last words" if turn.last else f"Iteration {turn.index}"


def money(dollars: float) -> str:
    """Return a price; nothing where it is nothing, or not known."""
    return f"${dollars:.4f}" if dollars else ""


def tool_line(tool: ToolUse) -> str:
    """Return a tool's call and what came of it, in one line."""
    result = "running" if tool.state == "running" else tool.text
    return f"{tool.tool} {line(tool.arguments, 60)} → {line(result, 80)}"


def check_line(check: Check) -> str:
    """Return a hook's verdict in one line."""
    return f"{check.when}: {check.verdict}" + (f" ({line(check.reason, 120)})" if check.reason else "")
