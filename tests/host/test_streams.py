"""The doors into a run: awaited, streamed, started, told to a callback; and every way to stop one."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from functools import cache
from typing import Any

import pytest

from rlm_kernel import RLM, RLMError, ScriptedModel, journal
from rlm_kernel.events import types as events
from rlm_kernel.host import loop
from tests.host.script import cell, done, events_of


async def slow(messages: Any) -> str:
    await asyncio.sleep(30)
    return done("1")


def after_a_note(messages: list[dict[str, str]]) -> str:
    """Writes what there is, and then waits for a sub-call for ever."""
    if len(messages) == 2:
        return cell("answer['content'] = 'so far'")
    return cell("llm_query('wait')")


async def test_events_stream_in_order_while_the_run_goes_on() -> None:
    run = RLM(ScriptedModel([cell("print(1)"), done("2")])).stream("q", "c")
    seen = [event async for event in run]
    assert isinstance(seen[0], events.RunStarted)
    assert isinstance(seen[-1], events.RunFinished)
    assert [event.seq for event in seen] == list(range(len(seen)))
    assert run.completion is not None
    assert run.completion.answer == 2
    kept = [event for event in seen if not isinstance(event, events.TextDelta)]
    assert kept == list(journal.read(run.completion.run_dir))


async def test_leaving_the_stream_ends_the_run() -> None:
    run = RLM(slow).stream("q", "c")
    async for event in run:
        if isinstance(event, events.ModelRequested):
            break
    await asyncio.sleep(0)
    for _ in range(100):
        if run.completion is not None:
            break
        await asyncio.sleep(0.02)
    assert run.completion is not None
    assert run.completion.stop_reason == "cancelled"


async def test_a_failure_ends_the_stream_and_is_raised() -> None:
    run = RLM(ScriptedModel([RLMError("the model is down")])).stream("q", "c")
    with pytest.raises(RLMError, match="the model is down"):
        [event async for event in run]
    assert run.completion is not None
    assert run.completion.stop_reason == "error"


async def test_a_run_can_be_awaited_and_cancelled_from_another_task_and_gives_what_there_is() -> None:
    run = RLM(after_a_note, sub_model=slow).stream("q", "c")
    asyncio.get_running_loop().call_later(0.8, run.cancel)
    completion = await run
    assert (completion.answer, completion.stop_reason) == ("so far", "cancelled")
    assert isinstance(list(journal.read(completion.run_dir))[-1], events.RunFinished)


async def test_a_cancelled_task_is_cancelled_and_the_journal_is_whole() -> None:
    rlm = RLM(slow)
    task = asyncio.create_task(rlm.acompletion("q", "c"))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_started_run_is_cancelled_from_any_thread() -> None:
    run = RLM(after_a_note, sub_model=slow).start("q", "c")

    def cancel() -> None:
        if any(event.type == "cell_finished" for event in run):
            run.cancel()

    threading.Thread(target=cancel).start()
    completion = run.result()
    assert (completion.answer, completion.stop_reason) == ("so far", "cancelled")


def test_a_run_that_is_cancelled_before_it_began_ends_too() -> None:
    run = RLM(slow).stream("q", "c")
    run.cancel()
    assert asyncio.run(run.complete()).stop_reason == "cancelled"


async def test_sync_calls_work_inside_a_running_event_loop() -> None:
    assert RLM(ScriptedModel([done("context")])).completion("q", "c").answer == "c"


async def test_a_callback_hears_everything_and_its_errors_are_told_and_never_fatal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[str] = []

    def on_event(event: events.Event) -> None:
        heard.append(event.type)
        if isinstance(event, events.CellStarted):
            raise ValueError("a bug in the callback")

    with caplog.at_level(logging.ERROR, logger="rlm_kernel"):
        completion = await RLM(ScriptedModel([done("1")]), on_event=on_event).acompletion("q", "c")
    assert completion.answer == 1
    notes = [event.text for event in events_of(completion, events.Note)]
    assert notes == ["on_event raised ValueError on cell_started: a bug in the callback"]
    assert {"run_started", "cell_started", "cell_finished", "run_finished"} <= set(heard)
    assert "on_event raised" in caplog.text


def test_two_readers_of_a_started_run_both_end() -> None:
    run = RLM(ScriptedModel([done("1")])).start("q", "c")
    seen = list(run)
    assert isinstance(seen[-1], events.RunFinished)
    assert list(run) == []
    assert run.result().answer == 1


def test_all_threads_share_one_private_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    started = loop._started
    monkeypatch.setattr(loop, "_started", cache(started.__wrapped__))
    barrier, loops = threading.Barrier(8), []

    def first() -> None:
        barrier.wait()
        loops.append(loop.get())

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(loops)) == 1
    loops[0].call_soon_threadsafe(loops[0].stop)


class TestAsRlmsCallsIt:
    def test_only_a_prompt(self) -> None:
        completion = RLM(ScriptedModel([done("context")])).completion("the prompt is the input")
        assert completion.response == "the prompt is the input"

    def test_a_prompt_and_a_root_prompt(self) -> None:
        root = ScriptedModel([done("context")])
        completion = RLM(root).completion("the input", root_prompt="the question")
        assert completion.response == "the input"
        assert "<question>\nthe question\n</question>" in root.requests[0][1].content

    def test_its_result(self) -> None:
        started = time.monotonic()
        root = ScriptedModel([done("llm_query('a')")], name="demo/root")
        completion = RLM(root, sub_model=lambda m: "x").completion("q")
        assert 0 < completion.execution_time <= time.monotonic() - started + 1
        assert completion.root_model == "demo/root"
        summary = completion.usage_summary
        assert summary.model_usage_summaries["demo/root"].total_calls == 1
        assert summary.model_usage_summaries["demo/root"].total_input_tokens is None
        assert summary.to_dict()["total_cost"] is None

    def test_an_input_that_is_no_text(self) -> None:
        root = ScriptedModel([done("context[1]")])
        rlm = RLM(root)
        assert rlm.completion(["a", "b"]).response == "b"
        rlm.close()

    def test_after_a_ctrl_c_there_is_what_there_was(self) -> None:
        def interrupted(messages: list[dict[str, str]]) -> str:
            if len(messages) > 2:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            return cell("answer['content'] = 'so far'")

        rlm = RLM(interrupted)
        with pytest.raises(KeyboardInterrupt):
            rlm.completion("q", "c")
        assert rlm.last is not None
        assert rlm.last.completion is not None
        assert (rlm.last.completion.answer, rlm.last.completion.stop_reason) == ("so far", "cancelled")

    def test_both_forms_at_once_are_refused(self) -> None:
        with pytest.raises(RLMError, match="root_prompt="):
            RLM(ScriptedModel([])).completion("a", "b", root_prompt="c")
