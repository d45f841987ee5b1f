"""A kernel that stays, continued by hand between two questions, and handed back."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from rlm_kernel import RLM, ReplError, RLMError, ScriptedModel, replay
from rlm_kernel.events.types import Note
from tests.host.script import cell, done, events_of, heard

SECONDS = 30
FIRST = [cell("kept = [1]; other = 'x'; gone = 5"), done("1")]


def test_what_a_person_changes_the_next_question_finds_and_its_model_is_told() -> None:
    root = ScriptedModel([*FIRST, done("[kept, new]")])
    with RLM(root) as rlm:
        first = rlm.completion("first", context="c")
        out = rlm.repl.execute("kept.append(2)\nnew = len(context)\ndel gone\nprint('\\x1b[31mred')\nkept")
        assert (out, repr(out), out.status) == ("red\n[1, 2]", str(out), "ok")
        assert rlm.repl.names()["new"] == "int"
        assert rlm.last is not None
        assert rlm.last.repl["kept"] == [1, 2], "the last run has the same kernel"
        second = rlm.completion("second")
    assert second.answer == [[1, 2], 1]
    told = heard(root)
    assert (
        "The user has run 1 cell in this REPL since your last one. Changed: kept (list), new (int). Gone: gone." in told
    )
    (note,) = events_of(second, Note)
    assert note.text.startswith("Run by hand: kept.append(2)\nnew = len(context)")
    assert note.text.endswith("red\n[1, 2]")
    assert events_of(first, Note) == []
    assert [len(turn.cells) for turn in second.tree.root.iterations] == [1], "it is no cell of the model's"


def test_before_the_first_question_too() -> None:
    root = ScriptedModel([done("ready")])
    with RLM(root, setup_code="given = 3") as rlm:
        assert rlm.repl.execute("ready = given + 1").status == "ok"
        assert rlm.completion("first", context="c").answer == 4
    assert "Changed: ready (int)." in heard(root)


def test_where_nothing_was_done_nothing_is_said() -> None:
    root = ScriptedModel([*FIRST, done("kept")])
    with RLM(root) as rlm:
        rlm.completion("first", context="c")
        rlm.repl.show("kept")
        second = rlm.completion("second", context="d")
    assert "since your last" not in heard(root)
    assert events_of(second, Note) == []


def test_models_of_rlms_are_told_in_a_note() -> None:
    root = ScriptedModel([*FIRST, done("kept")])
    with RLM(root, compat="rlms") as rlm:
        rlm.completion("first", context="c")
        rlm.repl.execute("kept = 3")
        assert rlm.completion("second").answer == 3
    assert "Note: The user has run 1 cell in this REPL since your last one. Changed: kept (int)." in heard(root)


def test_a_completion_that_goes_on_is_told_with_its_next_turn() -> None:
    root = ScriptedModel([cell("x = 1"), "not known", cell("y = x"), done("y")])
    with RLM(root, max_iterations=1) as rlm:
        rlm.completion("q", context="c")
        rlm.repl.execute("x = 7")
        second = rlm.go_on(max_iterations=4)
    assert second.answer == 7
    assert "Changed: x (int)." in heard(root)
    assert [note.text for note in events_of(second, Note)] == ["Run by hand: x = 7"]


def test_an_error_an_endless_loop_and_a_dead_kernel_are_told() -> None:
    root = ScriptedModel([*FIRST, done("[context, 'kept' in globals()]")])
    with RLM(root, cell_seconds=1) as rlm:
        rlm.completion("first", context="c")
        failed = rlm.repl.execute("1 / 0")
        assert failed.status == "error"
        assert failed.endswith("ZeroDivisionError: division by zero")
        assert rlm.repl.execute("while True: pass").status == "timeout"
        assert rlm.repl["kept"] == [1]
        died = rlm.repl.execute("import os; os._exit(3)")
        assert died.status == "died"
        assert "The kernel was restarted: its process ended with status 3. Variables are lost, inputs loaded" in died
        assert rlm.repl["context"] == "c"
        assert rlm.completion("second").answer == ["c", False]
    assert "The user has run 3 cells in this REPL since your last one. Gone: kept, other, gone." in heard(root)


def test_by_hand_a_cell_can_be_stopped_and_the_next_runs() -> None:
    root = ScriptedModel([*FIRST, done("kept")])
    with RLM(root) as rlm:
        rlm.completion("first", context="c")
        begun, main = threading.Event(), threading.get_ident()

        def stop() -> None:
            while "beat" not in rlm.repl:
                time.sleep(0.01)
            begun.set()
            signal.pthread_kill(main, signal.SIGINT)

        thread = threading.Thread(target=stop)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            rlm.repl.execute("beat = 1\nwhile True: beat += 1")
        thread.join()
        assert begun.is_set()
        assert rlm.repl.execute("kept") == "[1]"
        assert rlm.completion("second").answer == [1]
    assert "The user has run 2 cells in this REPL since your last one. Changed: beat (int)." in heard(root)
    assert rlm.last is not None
    assert rlm.last.completion is not None
    assert "It was stopped." in events_of(rlm.last.completion, Note)[0].text


def test_a_question_that_was_stopped_leaves_a_kernel_that_is_free() -> None:
    root = ScriptedModel([cell("kept = [1]\nbeat = 0\nwhile True: beat += 1"), done("kept")])
    with RLM(root, cell_seconds=1000) as rlm:
        run = rlm.start("first", context="c")
        while not (run.repl.is_live and "beat" in run.repl):
            time.sleep(0.01)
        run.cancel()
        assert run.result().stop_reason == "cancelled"
        assert rlm.repl.execute("kept.append(2); kept") == "[1, 2]"
        assert rlm.completion("second").answer == [1, 2]


def test_a_replay_does_without_the_persons_cells_and_says_where_that_differs() -> None:
    root = ScriptedModel([*FIRST, done("[kept, 'new' in globals()]")])
    with RLM(root) as rlm:
        rlm.completion("first", context="c")
        rlm.repl.execute("kept.append(2); new = 1")
        run = rlm.completion("second").run_dir
    again = replay(run).start()
    with pytest.raises(RLMError, match=r"The replay came to '\[\[1\], False\]'"):
        again.result()
    assert again.completion is not None
    assert again.completion.tree.answer == "[[1, 2], True]", "it shows the journal"
    assert "Run by hand: kept.append(2); new = 1" in again.completion.tree.root.notes


def test_hundreds_of_variables_are_not_taken_for_gone() -> None:
    root = ScriptedModel([cell("for n in range(300): globals()[f'v{n}'] = n"), done("1"), done("one_more")])
    with RLM(root) as rlm:
        rlm.completion("first", context="c")
        rlm.repl.execute("one_more = 1")
        assert rlm.completion("second").answer == 1
    assert "since your last one. Changed: one_more (int).\n" in heard(root)


def test_a_call_by_hand_is_asked_of_nobody() -> None:
    asked: list[Any] = []
    with RLM(ScriptedModel([done("1")]), sub_model=lambda m: asked.append(m) or "x") as rlm:
        rlm.completion("first", context="c")
        assert "Nobody answers calls between two completions." in rlm.repl.execute("llm_query('hello')")
    assert asked == []


@pytest.mark.parametrize("code", ["", "  \n", 3])
def test_no_code_is_refused(code: Any) -> None:
    with RLM(ScriptedModel([])) as rlm, pytest.raises(ReplError, match="There is no code"):
        rlm.repl.execute(code)


def test_a_repl_that_is_at_work_can_be_read_and_not_changed() -> None:
    reached, gate = threading.Event(), threading.Event()

    def sub(messages: Any) -> str:
        reached.set()
        assert gate.wait(SECONDS)
        return "sub"

    with RLM(ScriptedModel([cell("x = 5; llm_query('wait')"), done("x")]), sub_model=sub) as rlm:
        run = rlm.start("q", context="c")
        assert reached.wait(SECONDS)
        for repl in (rlm.repl, run.repl):
            assert repl["x"] == 5
            with pytest.raises(ReplError, match=r"The REPL is at work. Its variables can be read"):
                repl.execute("x = 6")
        gate.set()
        assert run.result().answer == 5
        assert rlm.repl.execute("x += 1; x") == "6"


def test_a_closed_conversation_says_so() -> None:
    rlm = RLM(ScriptedModel([done("1")]))
    with pytest.raises(RLMError, match=r"Only an open conversation .* keeps a kernel"):
        rlm.repl  # noqa: B018
    with rlm:
        rlm.completion("q", context="c")
        repl, run = rlm.repl, rlm.last
    assert run is not None
    for ended in (repl, run.repl):
        assert not ended.is_live
        with pytest.raises(ReplError, match="its kernel has ended with it"):
            ended["x"]
    with pytest.raises(ReplError, match="its kernel has ended with it"):
        repl.execute("1")


async def test_in_async_code_it_is_awaited() -> None:
    root = ScriptedModel([*FIRST, done("kept")])
    async with RLM(root) as rlm:
        await rlm.acompletion("first", context="c")
        assert await rlm.repl.aexecute("kept = 2; kept") == "2"
        with pytest.raises(ReplError, match="Await repl"):
            rlm.repl.execute("1")
        assert await asyncio.to_thread(rlm.repl.execute, "kept += 1; kept") == "3"
        assert (await rlm.acompletion("second")).answer == 3


def connect(file: Path) -> BlockingKernelClient:
    """A client of Jupyter's own."""
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels()
    client.wait_for_ready(timeout=SECONDS)
    return client


@pytest.mark.parametrize("sandbox", ["bubblewrap", "landlock", "process"])
def test_a_client_of_jupyters_works_in_the_same_kernel_and_the_next_question_says_so(sandbox: str) -> None:
    root = ScriptedModel([*FIRST, done("kept")])
    with RLM(root, sandbox=sandbox) as rlm:
        rlm.completion("first", context="c")
        client = connect(rlm.repl.connection_file)
        shown: list[str] = []
        reply = client.execute_interactive(
            "kept.append(3); print(kept)",
            timeout=SECONDS,
            output_hook=lambda msg: shown.append(msg["content"].get("text", "")),
        )
        assert reply["content"]["status"] == "ok"
        assert "[1, 3]\n" in shown
        completed: Any = client.complete("oth", reply=True, timeout=SECONDS)
        assert completed["content"]["matches"] == ["other"]
        client.stop_channels()
        second = rlm.completion("second")
    assert second.answer == [1, 3]
    assert "Changed since your last cell, by the user's hand or by what your cells had left running: kept" in heard(
        root
    )
    assert [note.text for note in events_of(second, Note)] == [
        "Run by another client of this kernel: kept.append(3); print(kept)"
    ]


def test_what_another_client_runs_during_a_run_is_in_its_journal() -> None:
    reached, gate = threading.Event(), threading.Event()

    def root(messages: Any) -> str:
        if len(messages) > 2:
            reached.set()
            assert gate.wait(SECONDS)
            return done("x")
        return cell("x = 1")

    run = RLM(root).start("q", context="c")
    assert reached.wait(SECONDS)
    client = connect(run.repl.connection_file)
    for number in range(103):
        client.execute_interactive(f"x = {number}", timeout=SECONDS)
    client.stop_channels()
    gate.set()
    completion = run.result()
    assert completion.answer == 102
    notes = [note.text for note in events_of(completion, Note)]
    assert notes == [f"Run by another client of this kernel: x = {number}" for number in range(100)], "not without end"


def test_the_console_of_jupyter_connects() -> None:
    with RLM(ScriptedModel([*FIRST, done("kept")])) as rlm:
        rlm.completion("first", context="c")
        file = str(rlm.repl.connection_file)
        command = [sys.executable, "-m", "jupyter_console", "--existing", file, "--simple-prompt"]
        ran = subprocess.run(
            command, input="kept.append('by hand'); print(kept)\n", capture_output=True, text=True, timeout=2 * SECONDS
        )
        assert "[1, 'by hand']" in ran.stdout, ran.stderr
        assert rlm.completion("second").answer == [1, "by hand"], "it has left the kernel alive"
