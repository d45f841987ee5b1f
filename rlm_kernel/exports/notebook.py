"""A run as a notebook that opens and re-runs in the RLM kernel, cell by cell.

The code is the model's own, whole; its outputs are those that the kernel sent, but only as plain text and as PNG and
JPEG pictures: HTML and JavaScript that a model made must not run in the reader's browser. What the model says is
Markdown in which only emphasis, lists and headings have an effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import OptionError
from rlm_kernel.events.tree import Cell, Iteration, Output, Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.exports import markup
from rlm_kernel.exports.calls import Folded
from rlm_kernel.sinks.text import by_hand, measures, state, totals, turn_name, words

if TYPE_CHECKING:
    from nbformat import NotebookNode

KERNEL = {"name": "rlm", "display_name": "RLM", "language": "python"}
"""As in ``share/jupyter/kernels/rlm/kernel.json``."""

SETUP = "%load_ext rlm_magic\n%rlm_names {run}"
"""The first cell: the REPL's names, answered by the journal."""
WARNING = (
    "The first cell gives this notebook the run's input, and functions that its journal answers: nothing is asked or "
    "paid. The others are {whose} code: run them only if you would run it with your rights."
)

_IMAGES = ("image/png", "image/jpeg")
_RUN = re.compile(r"\w[\w.-]*", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"[A-Za-z_][\w.]*(?::|$)")
_USUAL = re.compile(r"[\w.]*(?:Error|Exception|Interrupt|Exit|Warning|StopIteration|Group)\s*(?::|$)")


def to_notebook(events: Iterable[Event], *, characters: int | None = 10_000, calls: int = 100) -> NotebookNode:
    """Return a run as a notebook (nbformat 4.5), the same for the same events.

    A cell that failed has the tag ``raises-exception``, so that running all cells goes on behind it. The metadata
    has the run's id and how it ended in ``rlm_kernel``, and each code cell its iteration, status and seconds.

    Parameters
    ----------
    events
        The run's events, in order; any prefix of them will do.
    characters
        What is shown of the answer, and of each of the model's texts; how much was left out stands at its end. ``None``
        for all. Of what stands in a folded sub-call, a fifth of it; less where there are many. Code and outputs are
        whole.
    calls
        How many sub-calls of one cell are listed; the rest is counted.

    Raises
    ------
    OptionError
        nbformat is not installed.
    """
    try:
        from nbformat import v4
    except ImportError:
        raise OptionError("A notebook needs the package nbformat. Install it: pip install nbformat") from None

    tree = fold(events)
    folded = Folded.of(tree, characters, calls)
    make: Any = v4
    made = make.new_notebook(metadata=_metadata(tree))
    for number, (source, meta, outputs) in enumerate(_cells(tree, characters, folded)):
        text, name = markup.encodable(source), f"cell-{number}"
        if outputs is None:
            made.cells.append(make.new_markdown_cell(text, id=name, metadata=meta))
        else:
            index = meta["rlm_kernel"]["cell"]
            content = [output for each in outputs for output in _output(each, index, make)]
            made.cells.append(make.new_code_cell(text, id=name, metadata=meta, outputs=content, execution_count=index))
    return made  # type: ignore[no-any-return]


def to_ipynb(events: Iterable[Event]) -> str:
    """Return a run's notebook as the text of an ``.ipynb`` file.

    Raises
    ------
    OptionError
        nbformat is not installed.
    """
    made = to_notebook(events)
    import nbformat

    writes: Any = nbformat.writes
    return str(writes(made)) + "\n"


def _metadata(tree: Tree) -> dict[str, Any]:
    about = {"run": markup.encodable(tree.run), "stop_reason": tree.stop_reason, "started": tree.started}
    return {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}, "rlm_kernel": about}


def _cells(
    tree: Tree, characters: int | None, folded: Folded
) -> Iterator[tuple[str, dict[str, Any], list[Output] | None]]:
    """Yield each cell: its source, its metadata, and its outputs if it is code."""
    own = by_hand(tree.root)
    yield _head(tree, characters), {}, None
    if _RUN.fullmatch(tree.run):
        yield WARNING.format(whose="a person's" if own else "a model's"), {}, None
        yield SETUP.format(run=tree.run), {"rlm_kernel": {"cell": None}}, []
    for turn in tree.root.iterations:
        if not own:
            yield _turn(turn, characters), {}, None
        for cell in turn.cells:
            yield cell.code, _cell_metadata(turn, cell), cell.outputs
            if below := folded.of_cell(cell):
                yield below, {}, None
    if strays := folded.strays(tree.root):
        yield strays, {}, None
    if tree.root.notes:
        yield "\n".join(["**Notes**", "", *(f"- {markup.inline(note, 500)}" for note in tree.root.notes)]), {}, None


def _head(tree: Tree, characters: int | None) -> str:
    long = len(tree.question) > 200 or "\n" in tree.question
    context = markup.inline(str(tree.root.context.get("description", "")), 300)
    models = [
        f"- {markup.inline(model) or 'a model without a name'}: {markup.inline(str(usage))}"
        for model, usage in tree.usage_by_model().items()
    ]
    parts = [
        f"# {markup.inline(tree.question, 200) or 'A run without a question'}",
        markup.block(tree.question, characters) if long else "",
        f"Context: {context}" if context else "",
        f"**{state(tree)}** · {markup.inline(totals(tree), 300)} · run {markup.inline(tree.run)}",
        "\n".join(models),
        markup.block(tree.answer, characters) if tree.answer else "" if by_hand(tree.root) else "There is no answer.",
        f"The run failed: {markup.block(tree.error, characters)}" if tree.error else "",
    ]
    return "\n\n".join(filter(None, parts))


def _turn(turn: Iteration, characters: int | None) -> str:
    took, said = measures(turn), words(turn.text)
    head = f"### {turn_name(turn)}" + (f" · {took}" if took else "")
    silent = "The model had not replied." if not turn.replied else "" if turn.cells else "It wrote no cell."
    return "\n\n".join(filter(None, [head, markup.prose(said, characters), silent]))


def _cell_metadata(turn: Iteration, cell: Cell) -> dict[str, Any]:
    about: dict[str, Any] = {
        "iteration": turn.index,
        "cell": cell.index,
        "status": cell.status,
        "seconds": cell.seconds,
    }
    if cell.calls:
        about["calls"] = len(cell.calls)
    return {"rlm_kernel": about} | ({} if cell.status in ("ok", None) else {"tags": ["raises-exception"]})


def _output(output: Output, index: int, make: Any) -> Iterator[Any]:
    """Yield an output as nbformat has it; one of which nothing may be shown is left out."""
    text = markup.encodable(output.text)
    if output.kind in ("stdout", "stderr"):
        yield make.new_output("stream", name=output.kind, text=text)
    elif output.kind == "error":
        name, value = _error(text)
        yield make.new_output("error", ename=name, evalue=value, traceback=text.split("\n"))
    elif bundle := _bundle(output, text):
        count = {"execution_count": index} if output.kind == "execute_result" else {}
        kind = "execute_result" if count else "display_data"
        yield make.new_output(kind, data=bundle, **count)


def _bundle(output: Output, text: str) -> dict[str, str]:
    images = {mime: output.data.get(mime) for mime in _IMAGES}
    shown = {mime: data for mime, data in images.items() if isinstance(data, str) and _BASE64.fullmatch(data)}
    return ({"text/plain": text} if text else {}) | shown


def _error(text: str) -> tuple[str, str]:
    """Return an error's name and what it says, from its traceback, whose last lines they are."""
    lines = _ANSI.sub("", text).rstrip().split("\n")
    named = [number for number, line in enumerate(lines) if _ERROR.match(line)]
    usual = [number for number in named if _USUAL.match(lines[number])]
    if not named:
        return "Error", lines[-1]
    name, _, said = "\n".join(lines[(usual or named)[-1] :]).partition(":")
    return name.strip(), said.strip()
