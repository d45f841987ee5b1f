"""``--background`` with the other options of the line: it works, or is refused before anything is paid."""

from __future__ import annotations

import pytest

from tests.magic.background import ENDED, VALUE, Cells, Slow, ask, waiting
from tests.magic.vocabulary import SECONDS
from tests.providers.fake_servers import FakeServer


def test_a_session_answers_one_question_at_a_time(cells: Cells) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        cell = cells.run(ask(server, "--context book --session a"))
        assert slow.asked.wait(SECONDS)
        requests = len(server.requests)
        for background in ("--background", ""):
            again = cells.run(ask(server, "--session a").replace("--background", background))
            assert "--session a is answering another question. Wait for it, stop it (%rlm_stop " in cells[again].trouble
            assert "Traceback" not in cells[again].trouble
        assert len(server.requests) == requests
        slow.gate.set()
        cells.until(lambda: "answered" in cells.page(cell))
        next_one = cells.run(ask(server, "--session a"))
        cells.until(lambda: "answered" in cells.page(next_one))

        slow.gate.clear()
        last = cells.run(ask(server, "--session a", "Another?"))
        cells.until(lambda: "running" in cells.page(last))
        closed = cells.run("%rlm_close a")
        assert cells[closed].ok, cells[closed].trouble
        cells.until(lambda: "The run was stopped" in cells[last].stream("stderr"))
        slow.gate.set()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%%rlm --background --vs-plain 2 --context book\nq", "--vs-plain compares when the run has ended."),
        ("%%rlm --background --context nothing\nq", "there is no variable of that name"),
        ("%%rlm --background --context book --model nobody/x\nq", "Unknown provider 'nobody'"),
        ("%%rlm --background --approve --session s --context book\nq", "--approve needs a run of its own"),
        ("%%rlm --background --into 2x --context book\nq", "expected a variable name"),
        ("%rlm --background --resume nothing", "There is no run 'nothing'"),
        ("%rlm_stop nothing", "There is no run 'nothing' in the background. There are: none."),
    ],
)
def test_a_mistake_is_one_line_and_the_older_value_stays(cells: Cells, line: str, message: str) -> None:
    cell = cells.run(line)
    assert not cells[cell].ok
    assert message in cells[cell].trouble
    assert "Traceback" not in cells[cell].trouble
    assert cells.value("verdict") == "'an older one'"
    assert cells.value("BACKGROUND.ids if 'BACKGROUND' in globals() else []") == "[]"


def test_quiet_prints_the_answer_in_its_cell(cells: Cells) -> None:
    slow = Slow()
    with FakeServer(slow) as server:
        cell = cells.run(ask(server, "--context book --quiet"))
        assert slow.asked.wait(SECONDS)
        other = cells.run("1")
        slow.gate.set()
        cells.until(lambda: cells[cell].stream("stdout"))
    assert cells[cell].stream("stdout") == "THE BUTLER\n"
    assert cells[cell].displays == []
    assert cells[other].stream("stdout") == ""


def test_a_run_is_resumed_and_replayed_in_the_background(cells: Cells) -> None:
    half = "```repl\nfirst = llm_query('one')\nsecond = llm_query('two')\n```"
    whole = "```repl\nanswer['content'] = first + second\nanswer['ready'] = True\n```"
    with FakeServer([half, "ONE", "TWO", whole]) as server:
        cell = cells.run(ask(server, "--context book --max-calls 1"))
        cells.until(lambda: "stopped by max_calls" in cells.page(cell))
        cells.run(ENDED)
        for line in ("--resume last --max-calls 5", "--replay last"):
            again = cells.run(f"%rlm --background {line} --into verdict")
            assert cells[again].ok, cells[again].trouble
            cells.until(lambda again=again: "answered" in cells.page(again))  # type: ignore[misc]
            cells.run(ENDED)
            assert cells.value("verdict") == "'ONETWO'"
        assert len(server.requests) == 4


def test_cells_are_approved_in_the_form_while_no_cell_runs(cells: Cells) -> None:
    with FakeServer([VALUE]) as server:
        cell = cells.run(ask(server, "--context book --into verdict --approve"))
        form = cells[cell].widgets[-1]
        assert form != cells[cell].widgets[0], "the tree's"
        cells.say(form, type="here")
        cells.until(lambda: waiting(cells, cell))
        assert cells.value("'verdict' in globals()") == "False"
        code = waiting(cells, cell)[0]["code"].replace("len(context)", "'changed'")
        cells.say(form, type="verdict", id=1, kind="run", code=code)
        cells.until(lambda: "answered" in cells.page(cell))
    cells.run(ENDED)
    assert cells.value("verdict") == "'changed'"
