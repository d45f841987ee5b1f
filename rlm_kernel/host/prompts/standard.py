"""The dialect of our own prompts, in four variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlm_kernel.events.values import Message
from rlm_kernel.host.prompts.record import ENDINGS, CellRecord
from rlm_kernel.host.prompts.texts import fenced, fill, listed, paragraphs, schema_text, short
from rlm_kernel.host.prompts.values import PromptOptions, Scene, ToolDoc, Turn

OUTPUT_CHARACTERS = 20_000
"""What a model sees of one cell's output."""

OUTPUTS = {"small_context": 4_000, "small_model": 2_000}
"""The same, where the model's own window is small."""

TAIL = 5
"""One part in so many of a cut output is its end, where an error stands."""

PLACEHOLDER = "{custom_tools_section}"
"""What stands for the tools in a caller's own system prompt."""


@dataclass(frozen=True)
class Standard:
    """Our own prompts: what the REPL has, told once; then outputs, each in a fence that none of its lines can end.

    Attributes
    ----------
    options
        ``prompt`` is the variant. ``system_prompt`` replaces its text: the tools are put where it has
        ``{custom_tools_section}``, and nothing else is touched.
    """

    options: PromptOptions

    def opening(self, scene: Scene) -> list[Message]:
        """Return the system prompt, and the question with what the input is."""
        messages = [Message("system", self._system(scene)), Message("user", self._first(scene))]
        if self.options.user_prologue and not scene.depth:
            messages.append(Message("user", self.options.user_prologue))
        return messages

    def observation(self, turn: Turn) -> list[Message]:
        """Return each cell's output, or why nothing ran, and the turn's number."""
        parts = [turn.problem] if turn.problem else []
        for number, record in enumerate(turn.records, 1):
            label = "Output:" if len(turn.records) == 1 else f"Output of cell {number}:"
            parts.append(f"{label}\n{self._output(record)}")
        parts += turn.notes
        variables = turn.records[-1].report.variables if turn.records and turn.records[-1].report else {}
        if variables:
            parts.append(f"Your variables: {listed(variables)}")
        if self.options.prompt == "small_model" and turn.records:
            parts.append(fill("small_model", "reminder"))
        return [Message("user", paragraphs(*parts, _number(turn)))]

    def last_resort(self, scene: Scene) -> list[Message]:
        """Return the request for an answer when the turns are used up."""
        if scene.answer_schema is None:
            return [Message("user", fill("standard", "last_resort"))]
        typed = paragraphs(fill("standard", "last_resort_typed"), schema_text(scene.answer_schema))
        return [Message("user", typed)]

    def summarize(self) -> Message:
        """Return the request for a summary."""
        return Message("user", fill("standard", "summarize"))

    def compacted(self, opening: Sequence[Message], summary: str) -> list[Message]:
        """Return the opening, the summary as the model's own words, and the request to go on."""
        said = summary.strip() or "(I wrote no summary.)"  # providers refuse empty messages
        return [*opening, Message("assistant", said), Message("user", fill("standard", "compacted"))]

    @property
    def _tag(self) -> str:
        return next((tag for tag in self.options.fences if tag), "")

    @property
    def _room(self) -> int:
        return OUTPUTS.get(self.options.prompt, OUTPUT_CHARACTERS)

    def _system(self, scene: Scene) -> str:
        tools = _tool_list(scene.tools)
        if self.options.system_prompt is not None:
            return self.options.system_prompt.replace(PLACEHOLDER, tools)
        if self.options.prompt == "small_model":
            llm = fill("small_model", "llm") + "\n" if self.options.sub_calls else ""
            tools = "\n" + fill("small_model", "tools", tools=tools) + "\n" if tools else ""
            return fill("small_model", "system", tag=self._tag, more=llm + tools)
        alone = "" if self.options.sub_calls else "_alone"
        return fill(
            "standard",
            "system",
            writing=self._writing(),
            names=self._names(scene, tools),
            work=fill("standard", f"work{alone}"),
            advice=paragraphs(self._advice(alone), self._example(alone)),
        )

    def _writing(self) -> str:
        kind = "first_cell" if self.options.cells == "first" else "all_cells"
        tagged = f"tagged `{self._tag}`" if self._tag else "without a tag"
        return fill("standard", kind, tag=self._tag, tagged=tagged, output_characters=f"{self._room:,}")

    def _names(self, scene: Scene, tools: str) -> str:
        lines = [fill("standard", "context")]
        if self.options.sub_calls:
            lines.append(fill("standard", "llm", sub_characters=f"{scene.sub_window_characters:,}"))
            lines.append(fill("standard", "rlm_child" if scene.recursion else "rlm_plain"))
            if len(scene.models) > 1:
                lines.append(fill("standard", "models", models=", ".join(f"`{name}`" for name in scene.models)))
        lines.append(fill("standard", "rest"))
        if tools:
            lines.append(fill("standard", "tools", tools=tools))
        return "\n".join(lines)

    def _advice(self, alone: str) -> str:
        if self.options.prompt == "cost_warning":
            return fill("standard", f"cost_warning{alone}")
        if self.options.prompt == "small_context":
            return fill("standard", "small_context", delegate="" if alone else " " + fill("standard", "delegate"))
        return ""

    def _example(self, alone: str) -> str:
        return fill("standard", f"example{alone}", tag=self._tag, answer=fill("standard", "answer", tag=self._tag))

    def _first(self, scene: Scene) -> str:
        """Return the question, what the input is, and the first turn's number."""
        question = fill("standard", "question", question=scene.question) if scene.question else None
        about = fill("standard", "input", description=scene.context.description)
        preview = scene.context.preview if self.options.preview else ""
        if preview:
            about = f"{about} {fill('standard', 'preview')}\n{fenced(preview, 'text')}"
        turn = fill("standard", "first_turn_preview" if preview else "first_turn", iterations=str(scene.iterations))
        return paragraphs(question, about, *_conversation(scene), *scene.notes, _answer_type(scene), turn)

    def _output(self, record: CellRecord) -> str:
        text = cut(record.text().rstrip(), self._room)
        notes = [ENDINGS[record.status]]
        if record.restart is not None:
            lost = (
                f"Your variables are lost: {listed(record.lost)}." if record.lost else "You had no variables to lose."
            )
            notes.append(f"The kernel was restarted because {record.restart}. {lost} `context` is loaded again.")
        if record.report is not None and record.report.restored:
            notes.append(f"Reserved names were put back: {short(', '.join(record.report.restored))}.")
        return "\n".join(filter(None, [fenced(text, "output") if text else "(the cell printed nothing)", *notes]))


def cut(text: str, room: int) -> str:
    """Cut out what is over ``room`` characters, and say how much; the beginning and the end stay."""
    if len(text) <= room:
        return text
    head, tail = room - room // TAIL, room // TAIL
    return f"{text[:head]}\n... {len(text) - room:,} more characters were cut off. It ends:\n{text[-tail:]}"


def _tool_list(tools: Sequence[ToolDoc]) -> str:
    return "\n".join(f"  - {_tool(tool)}" for tool in tools)


def _tool(tool: ToolDoc) -> str:
    names_itself = tool.text.startswith(f"`{tool.name}(")
    return tool.text if names_itself else f"`{tool.name}`: {tool.text}"


def _conversation(scene: Scene) -> list[str]:
    parts = []
    if scene.contexts > 1:
        parts.append(fill("standard", "contexts", contexts=str(scene.contexts), last=str(scene.contexts - 1)))
    if scene.histories:
        name = "histories" if scene.histories > 1 else "history"
        parts.append(fill("standard", name, last=str(scene.histories - 1)))
    return parts


def _answer_type(scene: Scene) -> str | None:
    if scene.answer_schema is None:
        return None
    return paragraphs(fill("standard", "answer_type"), schema_text(scene.answer_schema))


def _number(turn: Turn) -> str:
    """Return the number of the turn that comes."""
    left = turn.iterations - turn.iteration
    name = "next_turn" if left > 1 else "last_turn" if left == 1 else "no_turn"
    return fill("standard", name, iteration=str(turn.iteration + 1), iterations=str(turn.iterations))
