"""``%%rlm --background`` in a real notebook kernel: the tree goes on growing in its own cell while others run."""

from __future__ import annotations

import pytest

from tests.magic.background import ENDED, VALUE, Cells, Slow, ask
from tests.magic.vocabulary import SECONDS, notebook
from tests.providers.fake_servers import FakeServer, Hang, Status

SAY_WHEN_IT_WAITS = """
import sys, threading, time, traceback
def look():
    stack = []
    while not ("result" in stack and stack[-1] == "wait"):
        time.sleep(0.01)
        frames = traceback.extract_stack(sys._current_frames()[threading.main_thread().ident])
        stack = [frame.name for frame in frames]
    print("here", flush=True)
threading.Thread(target=look).start()
"""


def test_the_cell_returns_at_once_and_its_tree_grows_and_its_name_is_filled_while_others_run(cells: Cells) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        cell = cells.run(ask(server, "--context book --into verdict --result found"))
        assert cells[cell].ok, cells[cell].trouble
        assert "running" in cells.page(cell)
        assert slow.asked.wait(SECONDS)
        other = cells.run("print(6 * 7)")
        assert cells[other].stream("stdout") == "42\n"
        assert cells.value("'verdict' in globals()") == "False", "an older value would be taken for the answer"
        assert cells.value("(found.done, found.completion, 'running' in repr(found))") == "(False, None, True)"
        assert cells.nb.complete("%rlm_stop ") == [cells.value("found.id").strip("'")]
        assert "--background" in cells.nb.complete("%%rlm --ba")
        reader = cells.run("for event in found: pass")
        assert "The events of this run are being read already" in cells[reader].trouble, "by the tree"
        listed = cells.run("%rlm_runs 1")
        assert "running" in cells[listed].displays[-1]["text/plain"]
        slow.gate.set()
        cells.until(lambda: "THE BUTLER" in cells.page(cell))
    cells.run(ENDED)
    assert cells.value("(verdict, found.answer, found.stop_reason)") == "('THE BUTLER', 'THE BUTLER', 'answered')"
    assert cells[other].displays == []
    assert "answered" in cells.page(cell)
    assert len(cells[cell].widgets) == 1
    assert cells[cell].trouble == ""


def test_waiting_for_the_result_in_a_later_cell(cells: Cells) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        cells.run(ask(server, "--context book --into verdict --result found"))
        waiting = cells.begin("done = found.result()\nprint(done.answer, verdict, found is done)")
        assert slow.asked.wait(SECONDS)
        slow.gate.set()
        cells.finish(waiting)
    assert cells[waiting].stream("stdout") == "THE BUTLER THE BUTLER True\n"


def test_a_run_that_fails_says_so_in_its_cell_and_fills_nothing(cells: Cells) -> None:
    with FakeServer([Status(401, "no such key")]) as server:
        cell = cells.run(ask(server, "--context book --into verdict --result found"))
        cells.until(lambda: "was not set" in cells[cell].stream("stderr"))
    said = cells[cell].stream("stderr")
    assert said.startswith("The run failed: ")
    assert said.count("\n") == 1
    assert "Its journal is" in said
    assert "Traceback" not in said
    assert "failed" in cells.page(cell)
    assert cells.value("('verdict' in globals(), found.done, found.completion.stop_reason)") == "(False, True, 'error')"


@pytest.mark.parametrize("how", ["%rlm_stop", "its button", ".cancel()"])
def test_a_run_is_stopped(cells: Cells, how: str) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        cell = cells.run(ask(server, "--context book --into verdict --result found"))
        assert slow.asked.wait(SECONDS)
        if how == "its button":
            cells.say(cells[cell].widgets[0], type="stop", node=None)
        else:
            cells.run(how if how[0] == "%" else "found.cancel()")
        cells.until(lambda: "was not set" in cells[cell].stream("stderr"))
        slow.gate.set()
    assert "stopped</span>" in cells.page(cell)
    said = cells[cell].stream("stderr")
    assert said.startswith("The run was stopped. Its journal is")
    assert said.endswith("verdict was not set.\n")
    assert cells.value("('verdict' in globals(), found.completion.stop_reason)") == "(False, 'cancelled')"


def test_the_kernels_interrupt_is_not_for_a_run_of_another_cell(cells: Cells) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        cell = cells.run(ask(server))
        assert slow.asked.wait(SECONDS)
        other = cells.begin("print('here', flush=True)\nimport time\ntime.sleep(100)")
        cells.until(lambda: "here" in cells[other].stream("stdout"))
        cells.nb.manager.interrupt_kernel()
        cells.finish(other)
        assert "KeyboardInterrupt" in cells[other].trouble
        slow.gate.set()
        cells.until(lambda: "answered" in cells.page(cell))
    assert cells[cell].trouble == ""


def test_the_interrupt_of_a_cell_that_waits_for_the_run_stops_it(cells: Cells) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        cell = cells.run(ask(server, "--context book --into verdict --result found"))
        assert slow.asked.wait(SECONDS)
        waits = cells.begin(f"{SAY_WHEN_IT_WAITS}\nfound.result()")
        cells.until(lambda: "here" in cells[waits].stream("stdout"))
        cells.nb.manager.interrupt_kernel()
        cells.finish(waits)
        assert "KeyboardInterrupt" in cells[waits].trouble
        cells.until(lambda: "stopped</span>" in cells.page(cell))
        slow.gate.set()


def test_in_the_rlm_kernel_an_interrupt_ends_the_calls_of_its_cell_and_no_run_of_another() -> None:
    slow = Slow()
    with notebook("rlm") as nb, FakeServer(slow) as server, FakeServer([Hang()]) as other_server:
        cells = Cells(nb)
        cells.run("book = 'It was the butler.'")
        cell = cells.run(ask(server))
        assert slow.asked.wait(SECONDS)
        cells.run(f"%config RLMMagics.model = 'openai/any'\n%config RLMMagics.base_url = '{other_server.openai_url}'")
        other = cells.begin("llm_query('x')")
        assert other_server.waiting.wait(SECONDS)
        nb.manager.interrupt_kernel()
        cells.finish(other)
        assert not cells[other].ok
        assert "running" in cells.page(cell)
        slow.gate.set()
        cells.until(lambda: "answered" in cells.page(cell))
        assert "THE BUTLER" not in cells.page(other)
        cells.run(ENDED)
        assert cells.value("verdict") == "'THE BUTLER'"


def test_several_at_once_have_their_trees_in_their_own_cells(cells: Cells) -> None:
    first, second = Slow("ONE"), Slow("TWO")
    with FakeServer(first) as one, FakeServer(second) as two, FakeServer([VALUE]) as three:
        begun = [cells.run(ask(server, f"-c book -o {name}")) for server, name in ((one, "a"), (two, "b"))]
        assert first.asked.wait(SECONDS)
        assert second.asked.wait(SECONDS)
        foreground = cells.run(ask(three, "-c book -o c").replace("--background", ""))
        assert cells.value("c") == "18"
        for slow, cell, answer in ((second, begun[1], "TWO"), (first, begun[0], "ONE")):
            assert "running" in cells.page(cell)
            slow.gate.set()
            cells.until(lambda cell=cell: "answered" in cells.page(cell))  # type: ignore[misc]
            assert answer in cells.page(cell)
    cells.run(ENDED)
    assert cells.value("(a, b, c)") == "('ONE', 'TWO', 18)"
    assert [len(cells[cell].widgets) for cell in (*begun, foreground)] == [1, 1, 1]
    assert "ONE" not in cells.page(begun[1])


def test_a_cell_that_is_run_again_has_its_name_filled_by_the_newer_run(cells: Cells) -> None:
    old, new = Slow("OLD"), Slow("NEW")
    with FakeServer(old) as one, FakeServer(new) as two:
        first = cells.run(ask(one))
        second = cells.run(ask(two))
        new.gate.set()
        cells.until(lambda: "answered" in cells.page(second))
        old.gate.set()
        cells.until(lambda: "verdict was not set: a newer run has it" in cells[first].stream("stdout"))
    assert cells.value("verdict") == "'NEW'"
    assert "OLD" in cells.page(first)
    assert "NEW" in cells.page(second)


def test_a_question_that_is_answered_in_a_cell_is_newer_than_one_in_the_background(cells: Cells) -> None:
    old = Slow("OLD")
    with FakeServer(old) as one, FakeServer([VALUE]) as two:
        first = cells.run(ask(one))
        cells.run(ask(two).replace("--background", ""))
        old.gate.set()
        cells.until(lambda: "verdict was not set" in cells[first].stream("stdout"))
    assert cells.value("verdict") == "18"


def test_the_input_is_what_it_was_when_the_cell_ran(cells: Cells) -> None:
    cells.run("notes = ['one', 'two']")
    with FakeServer([VALUE]) as server:
        line = ask(server, "-c notes -o verdict", "How many are there").replace("%%", "%").replace("\n", " ")
        cell = cells.run(f"{line}\nnotes.clear()")
        cells.until(lambda: "answered" in cells.page(cell))
    cells.run(ENDED)
    assert cells.value("(verdict, notes)") == "(2, [])"
