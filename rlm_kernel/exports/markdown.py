"""A run as one Markdown page that reads well on GitHub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rlm_kernel.events.tree import Cell, Iteration, Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports import markup
from rlm_kernel.exports.calls import Folded
from rlm_kernel.sinks.text import by_hand, measures, money, state, totals, turn_name, words

_KINDS = {
    "stdout": "Output",
    "stderr": "Standard error",
    "error": "Error",
    "execute_result": "Result",
    "display_data": "Display",
}


def to_markdown(events: Iterable[Event], *, characters: int | None = 10_000, calls: int = 100) -> str:
    """Return a run as Markdown: question, answer, totals, models, then every iteration with its code and outputs.

    Parameters
    ----------
    events
        The run's events, in order; any prefix of them will do.
    characters
        What is shown of one text; how much was left out stands at its end. ``None`` for all. Of what stands in a
        folded sub-call, a fifth of it; less where there are many.
    calls
        How many sub-calls of one cell are listed; the rest is counted.
    """
    tree = fold(events)
    folded = Folded.of(tree, characters, calls)
    parts = [*_head(tree, characters)]
    for iteration in tree.root.iterations:
        title = "The cell" if by_hand(tree.root) else turn_name(iteration)
        parts += _iteration(title, iteration, characters, folded)
    parts += filter(None, [folded.strays(tree.root)])
    if tree.root.notes:
        parts += ["## Notes", "\n".join(f"- {markup.inline(note, 500)}" for note in tree.root.notes)]
    return "\n\n".join(parts) + "\n"


def _head(tree: Tree, characters: int | None) -> Iterator[str]:
    yield f"# {markup.inline(tree.question, 200) or 'A run without a question'}"
    if len(tree.question) > 200 or "\n" in tree.question:
        yield markup.fence(tree.question, "text", characters)
    yield f"**{state(tree)}** · {markup.inline(totals(tree), 300)} · run {markup.inline(tree.run)}"
    if context := tree.root.context.get("description"):
        yield f"Context: {markup.inline(str(context), 300)}"
    if tree.answer or not by_hand(tree.root):
        yield "## Answer"
        yield markup.fence(tree.answer, "text", characters) if tree.answer else "There is none."
    if tree.error:
        yield f"The run failed:\n\n{markup.fence(tree.error, 'text', characters)}"
    if usage := tree.usage_by_model():
        yield "## Models"
        rows = [_row(model, used) for model, used in usage.items()]
        yield "\n".join(["| model | calls | input tokens | output tokens | cost |", "|---|--:|--:|--:|--:|", *rows])


def _row(model: str, usage: Usage) -> str:
    tokens = [
        "unknown" if usage.unreported == usage.calls else f"{_least(usage.unreported)}{number:,}"
        for number in (usage.input_tokens, usage.output_tokens)
    ]
    cost = "unknown" if usage.unpriced == usage.calls else f"{_least(usage.unpriced)}{money(usage.cost) or '$0'}"
    return f"| {markup.inline(model) or 'unknown'} | {usage.calls:,} | {tokens[0]} | {tokens[1]} | {cost} |"


def _least(unknown: int) -> str:
    return "≥ " if unknown else ""


def _iteration(title: str, turn: Iteration, characters: int | None, folded: Folded) -> Iterator[str]:
    took = measures(turn)
    yield f"## {title}" + (f" · {took}" if took else "")
    if said := words(turn.text):
        yield markup.prose(said, characters)
    if not turn.replied:
        yield "The model had not replied."
    for cell in turn.cells:
        yield from _cell(cell, characters, folded)


def _cell(cell: Cell, characters: int | None, folded: Folded) -> Iterator[str]:
    yield markup.fence(cell.code, "python", characters)
    for output in cell.outputs:
        if output.text.strip():
            yield f"{_KINDS.get(output.kind, output.kind)}:\n\n{markup.fence(output.text.rstrip(), 'text', characters)}"
        elif output.data:
            yield f"Output: {', '.join(markup.inline(str(mime)) for mime in output.data)}"
    if cell.status not in ("ok", "error", None):
        yield f"The cell ended: {cell.status}."
    yield from filter(None, [folded.of_cell(cell)])
