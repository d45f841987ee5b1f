"""A reader stops one call while the run goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from tests.host.script import cell, done, heard

TRY = """try:
    print(llm_query("slow"))
except Exception as error:
    print(type(error).__name__, error)"""


class Slow:
    """A model that never answers what is slow, and says when it was asked."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    async def __call__(self, messages: Any) -> str:
        if "slow" in messages[-1]["content"]:
            self.asked.set()
            await asyncio.sleep(100)
        return "quick"


def follow(run: Any, slow: Slow, call: str) -> list[Event]:
    """Follow a run to its end, and stop a call when the slow model has been asked."""
    run.start()

    def stop() -> None:
        assert slow.asked.wait(30)
        run.cancel_call(call)

    thread = threading.Thread(target=stop)
    thread.start()
    seen = list(run)
    thread.join()
    return seen


def test_a_stopped_call_fails_for_its_cell_and_the_run_goes_on() -> None:
    root = ScriptedModel([cell(TRY), done("llm_query('quick')")])
    slow = Slow()
    run = RLM(root, sub_model=slow).stream("Go on?")
    seen = follow(run, slow, "0.1")
    completion = run.result()
    assert completion.answer == "quick"
    assert "LLMCallError The call was stopped." in heard(root)
    finished = next(event for event in seen if isinstance(event, events.CallFinished))
    assert (finished.status, finished.text) == ("cancelled", "The call was stopped.")
    assert completion.tree.root.calls[0].state == "cancelled"


def test_one_slot_of_a_batch_is_stopped_and_the_others_are_answered() -> None:
    root = ScriptedModel([cell("print(llm_query_batched(['a', 'slow', 'c']))"), done("1")])
    slow = Slow()
    run = RLM(root, sub_model=slow).stream("Go on?")
    follow(run, slow, "0.2")
    assert run.result().stop_reason == "answered"
    assert "['quick', 'Error: The call was stopped.', 'quick']" in heard(root)


def test_a_stopped_child_ends_with_its_kernel_and_its_calls() -> None:
    root = ScriptedModel([cell(TRY.replace('llm_query("slow")', 'rlm_query("below")')), done("'past it'")])
    child, slow = ScriptedModel([cell("print(llm_query('slow'))")]), Slow()
    run = RLM(root, child_model=child, sub_model=slow, max_depth=2).stream("Go on?")
    seen = follow(run, slow, "0.1")
    assert run.result().answer == "past it"
    assert "LLMCallError The call was stopped." in heard(root)
    below = next(event for event in seen if isinstance(event, events.CallFinished))
    assert (below.call, below.status) == ("0.1.1", "cancelled")
    ended = next(event for event in seen if isinstance(event, events.NodeFinished) and event.node == "0.1")
    assert ended.stop_reason == "cancelled"


def test_what_has_ended_or_never_was_can_be_stopped_to_no_effect() -> None:
    run = RLM(ScriptedModel([cell("print(llm_query('quick'))"), done("1")]), sub_model=Slow()).stream("Go on?")
    run.cancel_call("0.1")
    for event in run.start():
        run.cancel_call("0.77")
        if isinstance(event, events.CallFinished):
            run.cancel_call("0.1")
    assert run.result().stop_reason == "answered"
    run.cancel_call("0.1")
