"""Widgets of runs that are written down, shown from a notebook's cell."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from IPython.display import display

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_magic.widget import CallTree
from tests.browser.test_export import many
from tests.events.stories import began, ended, mystery, numbered, turn
from tests.sinks import hostile

STORIES = {
    "hostile": lambda name: hostile.run(hostile.TEXTS[name]),
    "nothing": lambda: numbered(events.RunStarted(run="r", question="Is there anything?", options={}), *ended(None)),
    "long": lambda: numbered(*began(), *turn(1, "long " * 1_000_000), *ended("It was long.")),
    "many": many,
    "mystery": mystery,
}


def show(story: str, *about: Any, seconds: float = 0.0) -> None:
    """Tell a widget the events of a story, in so many seconds."""
    stream: list[Event] = STORIES[story](*about)  # type: ignore[operator]
    tree = CallTree(RLM(ScriptedModel([])).stream("never run"))
    display(tree)
    began_at = time.monotonic()
    for number, event in enumerate(stream):
        tree.apply(dataclasses.replace(event, time=time.time()))
        tree.update()
        time.sleep(max(0.0, began_at + seconds * number / len(stream) - time.monotonic()))
    tree.save()
