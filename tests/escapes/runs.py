"""Attempts on a whole run: cells that a root model, and its children's, would write; what the run then looks like."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rlm_kernel import RLM, Completion, ScriptedModel, journal
from rlm_kernel.events.tree import fold
from rlm_kernel.events.types import CallFinished, CellFinished, CellOutput, Event
from rlm_kernel.sinks import html
from tests.escapes.memory import HOST_GROWTH, Memory, growing
from tests.escapes.protocol import FORGER
from tests.escapes.vocabulary import WORDS, Scene, Try, differs, judged, tries_in
from tests.sinks.test_html import Page
from tests.sinks.test_terminal import shown

VIEW_CHARACTERS = 10_000_000
"""More than this in one page stops a browser."""
DISK_MB = 8
"""The disk of attempts that try to fill the host's by inputs."""
SMALL: dict[str, Any] = {"max_journal_mb": 16}
"""An option of attempts that try to fill it by the journal."""
JOURNAL_GROWTH = 32 << 20
"""Bytes that such a run may leave there, with what its own cells and outputs are."""
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
DONE = "answer['ready'] = True"
ANSWER = "answer['content'] = 'answered'\n" + DONE

Model = Callable[[list[dict[str, str]]], Any]


def reply(messages: list[dict[str, str]]) -> str:
    """Answer as a sub-model."""
    return "reply"


@dataclass(frozen=True)
class Ran:
    """A run that has ended."""

    completion: Completion
    root: ScriptedModel
    memory: Memory
    seconds: float

    @cached_property
    def events(self) -> list[Event]:
        """Its journal."""
        return list(journal.read(self.completion.run_dir))

    @cached_property
    def journal_bytes(self) -> int:
        """How long its journal is."""
        return (self.completion.run_dir / journal.EVENTS_FILE).stat().st_size

    @cached_property
    def printed(self) -> str:
        """What all cells printed, those of children too."""
        return "".join(str(e.data.get("text/plain", "")) for e in self.events if isinstance(e, CellOutput))

    @property
    def tries(self) -> list[Try]:
        """What `attacker.tried` said in its cells, which all have come to their ends."""
        statuses = [event.status for event in self.events if isinstance(event, CellFinished)]
        assert set(statuses) == {"ok"}, f"the attempt itself is broken: {statuses} {self.printed[-2000:]}"
        return tries_in(self.printed)

    @property
    def calls(self) -> list[CallFinished]:
        """Its sub-calls, as they ended."""
        return [event for event in self.events if isinstance(event, CallFinished)]

    def host(self) -> list[Try]:
        """Judge what the attempt cost the host, and whether the run came to its end."""
        size = self.journal_bytes
        return [
            judged("the host's memory", self.memory.beyond(HOST_GROWTH)),
            judged("the host's disk", f"a journal of {size >> 20} MB" if size > JOURNAL_GROWTH else None),
            judged("the journal goes on after the end", differs(self.events[-1].type, "run_finished")),
        ]


async def ask(scene: Scene, *cells: str, child: Sequence[str] | Model = (), **options: Any) -> Ran:
    """Run cells as a root model would, to an answer. ``child`` is what children do: cells, or a model."""
    root = ScriptedModel([written(cell) for cell in (*cells, DONE)])
    script = child if callable(child) else [written(cell) for cell in child]
    defaults = {"sub_model": reply, "child_model": ScriptedModel(script), "cell_seconds": 3.0}
    rlm = RLM(root, sandbox=scene.sandbox, max_iterations=len(cells) + 1, **defaults | options)
    started = time.monotonic()
    with growing() as memory:
        completion = await rlm.acompletion("a question", context="the input")
    return Ran(completion, root, memory, time.monotonic() - started)


async def attack(
    scene: Scene, cell: str, *, child: str = "", told: dict[str, Any] | None = None, **options: Any
) -> Ran:
    """Run a cell that has the attacker's and the forger's words, and children that have them too."""
    options.setdefault("max_depth", 2 if child else 1)
    return await ask(scene, words(**told or {}) + cell, child=lambda _: written(words() + child + ANSWER), **options)


def words(**told: Any) -> str:
    """Return the code of all words."""
    return f"{WORDS}{FORGER}host.update(json.loads({json.dumps(told)!r}))\n"


def written(cell: str) -> str:
    """Return a reply of a root model with a cell in it."""
    return f"```repl\n{cell}\n```"


def views(completion: Completion) -> list[Try]:
    """Look at everything that shows a run."""
    events = list(journal.read(completion.run_dir))
    page = html.render(fold(events))
    strange: object = None
    try:
        strange = CONTROLS.findall(Page(page).text)
    except AssertionError as error:
        strange = f"the page is broken: {error}"
    bundle = completion._repr_mimebundle_()
    return [
        judged("the page", strange),
        judged("the page's length", len(page) if len(page) > VIEW_CHARACTERS else None),
        judged("the plain text", CONTROLS.findall(bundle["text/plain"])),
        judged("the terminal", CONTROLS.findall(shown(events))),
        judged("the journal ends early", events[-1].type != "run_finished" and events[-1]),
    ]
