"""The dialect of `rlms` 0.1.3: its messages and limits, for models that were trained in its harness.

The same are: the roles, the number and the order of the messages; every label and count in them (``Turn 2/30:``,
``REPL output (block 1):``, the list of variables, the mark of a cut); 20,000 characters of each block; that only what
is printed is shown. The prose is ours, and says what is true here. Two things differ on purpose. The last request, when
the turns are used up, comes from the user, since providers refuse or continue a last message of the assistant's. And
where a reply could not be run, or an answer was not accepted, a note in the turn's message says why, in the form of
the notes on several contexts: the original is silent, and its models lose turns by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlm_kernel import wire
from rlm_kernel.events.values import Message
from rlm_kernel.host.prompts.record import ENDINGS, CellRecord
from rlm_kernel.host.prompts.texts import fenced, fill, listed, paragraphs, schema_text
from rlm_kernel.host.prompts.values import PromptOptions, Scene, Turn

OUTPUT_CHARACTERS = 20_000
CHARACTERS_PER_TOKEN = 4
SIMPLE_TYPES = {"str", "int", "float", "bool", "list", "dict", "tuple", "Counter", "OrderedDict", "defaultdict"}
"""Types of the variables that are listed: the last three are dicts."""

_HEADER = re.compile(r"^(\w+) +Traceback \(most recent call last\)$", re.MULTILINE)
_TOTAL = re.compile(r"([\d,]+) characters(?! on average| \()")


@dataclass(frozen=True)
class Rlms:
    """The messages of `rlms`.

    Attributes
    ----------
    options
        ``system_prompt`` is one of its own, so it is formatted as there: ``{custom_tools_section}`` becomes the tools
        and doubled braces single ones. One that cannot be formatted is left as it is.
    """

    options: PromptOptions

    def opening(self, scene: Scene) -> list[Message]:
        """Return the system prompt, what the context is, the caller's prologue, and the first turn's number."""
        prologue = self.options.user_prologue if not scene.depth else None
        first = f"{fill('rlms', 'guard')}\n\n{_turn(0, scene.iterations, scene.contexts, scene.histories)}"
        return [
            Message("system", self._system(scene)),
            Message("user", self._metadata(scene)),
            *([Message("user", prologue)] if prologue else []),
            Message("user", paragraphs(first, *(f"Note: {note}" for note in scene.notes))),
        ]

    def observation(self, turn: Turn) -> list[Message]:
        """Return all outputs in one message, if any block ran, and the next turn's number in another."""
        messages = []
        several = len(turn.records) > 1
        blocks = [
            f"REPL output (block {number}):\n{_output(record, turn)}"
            if several
            else f"REPL output:\n{_output(record, turn)}"
            for number, record in enumerate(turn.records, 1)
        ]
        if blocks:
            messages.append(Message("user", "\n\n".join(blocks)))
        notes = [*([turn.problem] if turn.problem else []), *turn.notes]
        if turn.iteration < turn.iterations or notes or not blocks:
            text = _turn(turn.iteration, turn.iterations, turn.contexts, turn.histories)
            messages.append(Message("user", paragraphs(text, *(f"Note: {note}" for note in notes))))
        return messages

    def last_resort(self, scene: Scene) -> list[Message]:
        """Return the request for an answer when the turns are used up."""
        if scene.answer_schema is None:
            return [Message("user", fill("rlms", "last_resort"))]
        return [Message("user", paragraphs(fill("rlms", "last_resort_typed"), schema_text(scene.answer_schema)))]

    def summarize(self) -> Message:
        """Return the request for a summary."""
        return Message("user", fill("rlms", "summarize"))

    def compacted(self, opening: Sequence[Message], summary: str) -> list[Message]:
        """Return the system prompt and what the context is, the summary, and the request to go on."""
        said = summary.strip() or "(I wrote no summary.)"
        return [*opening[:2], Message("assistant", said), Message("user", fill("rlms", "compacted"))]

    def _system(self, scene: Scene) -> str:
        lines = "\n".join(f"- `{tool.name}`: {tool.text}" for tool in scene.tools)
        tools = "\n" + fill("rlms", "tool_section", tools=lines) if lines else ""
        own = self.options.system_prompt
        if own is not None:
            return _formatted(own, tools)
        calls = ""
        if self.options.sub_calls:
            recursion = fill("rlms", "recursion" if scene.recursion else "no_recursion")
            calls = fill("rlms", "calls", recursion=recursion, sub_characters=f"{scene.sub_window_characters:,}") + "\n"
        return fill(
            "rlms",
            "system",
            calls=calls,
            tools="\n" + tools if tools else "",
            longer="`llm_query`" if self.options.sub_calls else "variables",
            advice=fill("rlms", "orchestrate" if self.options.sub_calls else "alone"),
        )

    def _metadata(self, scene: Scene) -> str:
        """Return the question, if there is one, and what the context is."""
        context = scene.context
        about = f"Your context is a {context.type} of {_size(context)}."
        if self.options.sub_calls:
            tokens = f"{scene.sub_window_characters // CHARACTERS_PER_TOKEN:,}"
            about = f"{about} {fill('rlms', 'capacity', tokens=tokens)}"
        question = f"Answer the following: {scene.question}" if scene.question else None
        preview = fenced(context.preview, "text") if self.options.preview and context.preview else None
        typed = None
        if scene.answer_schema is not None:
            typed = paragraphs(fill("rlms", "answer_type"), schema_text(scene.answer_schema))
        return paragraphs(question, about, preview, typed)


def _turn(done: int, turns: int, contexts: int, histories: int) -> str:
    """Return the number of the next turn, and which numbered names the REPL has."""
    notes = []
    if contexts > 1:
        notes.append(f"Note: You have {contexts} contexts available (context_0 through context_{contexts - 1}).")
    if histories == 1:
        notes.append("Note: You have 1 prior conversation history available in the `history` variable.")
    elif histories > 1:
        names = f"history_0 through history_{histories - 1}"
        notes.append(f"Note: You have {histories} prior conversation histories available ({names}).")
    return paragraphs(f"Turn {min(done + 1, turns)}/{turns}:", *notes)


def _output(record: CellRecord, turn: Turn) -> str:
    """Return what a block printed, what went wrong, and which simple variables there are, cut as there."""
    errors = "".join(f"\n{last_error(text)}" for kind, text in record.output if kind == "error")
    stderr = "\n".join(filter(None, [record.text("stderr") + errors, *_events(record)]))
    names = list(_names(record, turn))
    parts = [f"\n{text}" for text in (record.text("stdout", "display_data"), stderr) if text]
    if names:
        parts.append(f"REPL variables: {names}\n")
    text = "\n\n".join(parts) or "No output"
    if len(text) <= OUTPUT_CHARACTERS:
        return text
    return f"{text[:OUTPUT_CHARACTERS]}... + [{len(text) - OUTPUT_CHARACTERS} chars...]"


def _events(record: CellRecord) -> Iterator[str]:
    """Say what happened to the cell that the original has no words for."""
    yield ENDINGS[record.status]
    if record.restart is not None:
        lost = f" Variables lost: {listed(record.lost)}." if record.lost else ""
        yield f"The REPL was restarted because {record.restart}.{lost} `context` is loaded again."


def _names(record: CellRecord, turn: Turn) -> Iterator[str]:
    """Name the variables in the order in which they come to be: `answer`, inputs, histories, the model's own."""
    if record.report is None:
        return
    yield "answer"
    for name, count in (("context", turn.contexts), ("history", turn.histories)):
        if count:
            yield from (f"{name}_0", name)
            yield from (f"{name}_{number}" for number in range(1, count))
    yield from (name for name, kind in record.report.variables.items() if kind in SIMPLE_TYPES)


def last_error(traceback: str) -> str:
    """Return type and message of the exception that ends a traceback of IPython's."""
    text = traceback.rstrip("\n")
    headers = list(_HEADER.finditer(text))
    if headers:
        place = text.find(f"\n{headers[-1][1]}:", headers[-1].end())
        if place >= 0:
            return text[place + 1 :]
    return text.rpartition("\n")[2]


def _size(context: wire.Loaded) -> str:
    """Say how many characters an input has in all, where that is known, else how many items."""
    total = _TOTAL.search(context.description)
    if context.unit == "characters" or total is None:
        return f"{context.length} total {context.unit}"
    return f"{total[1].replace(',', '')} total characters"


def _formatted(prompt: str, tools: str) -> str:
    try:
        return prompt.format(custom_tools_section=tools)
    except (LookupError, ValueError, AttributeError):  # braces that are the prompt's own
        return prompt.replace("{custom_tools_section}", tools)
