"""``%%rlm --background`` in a real notebook kernel: the tree goes on growing in its own cell while others run."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from rlm_kernel import find, runs
from tests.conftest import kernels_of
from tests.magic.vocabulary import SECONDS, Notebook, Ran, notebook
from tests.providers.fake_servers import FakeServer, Hang, Request, Status
from tests.providers.items import Item

ASK = "```repl\nreply = llm_query('slow ' + str(context))\n```"
DONE = "```repl\nanswer['content'] = reply\nanswer['ready'] = True\n```"
VALUE = "```repl\nanswer['content'] = len(context)\nanswer['ready'] = True\n```"
ENDED = "from rlm_magic.background import BACKGROUND\nwhile BACKGROUND.ids: pass"
"""A cell that waits until all runs in the background have ended, and have filled their names."""


class Cells:
    """Cells of a notebook, and all that belongs to each, also what comes when it has ended."""

    def __init__(self, nb: Notebook) -> None:
        self.nb = nb
        self._seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._replies: dict[str, dict[str, Any]] = {}

    def run(self, code: str) -> str:
        """Run a cell to its end; return its id."""
        return self.finish(self.begin(code))

    def begin(self, code: str) -> str:
        return self.nb.begin(code)

    def finish(self, cell: str) -> str:
        while cell not in self._replies:
            reply = self.nb.client.get_shell_msg(timeout=SECONDS)
            self._replies[reply["parent_header"]["msg_id"]] = reply["content"]
        self.until(lambda: any(m["content"].get("execution_state") == "idle" for m in self._seen[cell]))
        return cell

    def until(self, there: Callable[[], Any]) -> None:
        """Read what the kernel says until something is there."""
        deadline = time.monotonic() + SECONDS
        while not there():
            assert time.monotonic() < deadline, {cell: len(seen) for cell, seen in self._seen.items()}
            self._read()

    def _read(self) -> None:
        message = self.nb.client.get_iopub_msg(timeout=SECONDS)
        self._seen[message["parent_header"].get("msg_id", "")].append(message)

    def __getitem__(self, cell: str) -> Ran:
        return Ran(self._replies.get(cell, {"status": "running"}), self._seen[cell])

    def page(self, cell: str) -> str:
        """The tree as HTML, as it stands now."""
        return str(self[cell].displays[-1]["text/html"])

    def value(self, expression: str) -> str:
        cell = self.run(f"print(repr({expression}))")
        assert self[cell].ok, self[cell].trouble
        return self[cell].stream("stdout").strip()

    def say(self, model: str, **content: Any) -> None:
        """Send what a widget's front end would say."""
        data = {"method": "custom", "content": content}
        message = self.nb.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        self.nb.client.shell_channel.send(message)


@pytest.fixture(scope="module")
def _module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))
        with notebook() as kernel:
            assert kernel.run("%load_ext rlm_magic").ok
            yield kernel


@pytest.fixture
def cells(_module: Notebook) -> Iterator[Cells]:
    _module.run("book = 'It was the butler.'; verdict = 'an older one'")
    yield Cells(_module)
    _module.run("%rlm_stop")
    _module.run(ENDED)


def ask(server: FakeServer, line: str = "--context book --into verdict", question: str = "Who was it?") -> str:
    return f"%%rlm --background {line} --model openai/any --base-url {server.openai_url}\n{question}"


class Slow:
    """A server's script: the root asks, and its call waits until it may be answered."""

    def __init__(self, answer: str = "THE BUTLER") -> None:
        self.gate = threading.Event()
        self.asked = threading.Event()
        self._answer = answer

    def __call__(self, request: Request) -> Item:
        messages = request.body["messages"]
        if len(messages) == 1:
            self.asked.set()
            return self._answer if self.gate.wait(SECONDS) else Hang()
        return DONE if any(message["role"] == "assistant" for message in messages) else ASK


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
        cells.run(ask(server, "--context book --result found"))
        waiting = cells.begin("print(found.result().answer)")
        assert slow.asked.wait(SECONDS)
        slow.gate.set()
        cells.finish(waiting)
    assert cells[waiting].stream("stdout") == "THE BUTLER\n"


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
        cells.until(lambda: "stopped</span>" in cells.page(cell))
        slow.gate.set()
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


def test_a_program_that_runs_notebooks_waits_and_shows_the_tree_in_a_later_cell(tmp_path: Path) -> None:
    slow = Slow()
    slow.gate.set()
    with FakeServer(slow) as server:
        sources = ("%load_ext rlm_magic\nbook = 'x'", ask(server, "-c book --result found"), "found.result()")
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        NotebookClient(book, kernel_name="python3", timeout=SECONDS).execute()
    assert "THE BUTLER" in book.cells[2].outputs[0]["data"]["text/html"]


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
        cells.until(lambda: "verdict was not set: a newer run has taken the name" in cells[first].stream("stdout"))
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


def waiting(cells: Cells, cell: str) -> list[dict[str, Any]]:
    """The cells that a form was told to show."""
    told = [m["content"] for m in cells[cell].messages if m["msg_type"] == "comm_msg"]
    forms = [content["data"].get("state", {}) for content in told if content["comm_id"] == cells[cell].widgets[-1]]
    return [state["cell"] for state in forms if state.get("cell")]


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


@pytest.mark.parametrize("now", [False, True], ids=["shut down", "killed"])
@pytest.mark.parametrize("approve", ["", "--approve"], ids=["asking", "waiting for a person"])
def test_runs_end_with_the_notebooks_kernel_and_can_be_resumed(now: bool, approve: str) -> None:
    slow = Slow()
    with notebook() as nb, FakeServer(slow) as server:
        cells = Cells(nb)
        cells.run("%load_ext rlm_magic\nbook = 'It was the butler.'")
        cell = cells.run(ask(server, f"--context book {approve}"))
        if approve:
            cells.until(lambda: waiting(cells, cell))
        else:
            assert slow.asked.wait(SECONDS)
        pid = nb.manager.provisioner.pid  # type: ignore[union-attr]
        inside = kernels_of(pid)
        assert inside
        nb.manager.shutdown_kernel(now=now)
        slow.gate.set()
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and [row for row in inside if row in kernels_of(1)]:
            pass
        assert not [row for row in inside if row in kernels_of(1)]
        saved = find("last")
        assert saved.state == ("interrupted" if now else "cancelled")
        if approve:  # it has to be given again
            return
        with notebook() as again:
            again.run("%load_ext rlm_magic")
            ran = again.run(f"%rlm --resume last --into verdict --base-url {server.openai_url}")
            assert ran.ok, ran.trouble
            assert again.value("verdict") == "'THE BUTLER'"


def test_two_notebooks_write_to_the_same_folder_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_RUNS_DIR", str(tmp_path))
    first, second = Slow("ONE"), Slow("TWO")
    with notebook() as a, notebook() as b, FakeServer(first) as one, FakeServer(second) as two:
        books = [(Cells(a), first, one, "ONE"), (Cells(b), second, two, "TWO")]
        begun = []
        for cells, slow, server, _ in books:
            cells.run("%load_ext rlm_magic\nbook = 'It was the butler.'")
            begun.append(cells.run(ask(server)))
            assert slow.asked.wait(SECONDS)
        for cells, *_ in books:
            shown = cells[cells.run("%rlm_runs")].displays[-1]["text/plain"]
            assert shown.count("running") == 2
        for cell, (cells, slow, _, answer) in zip(begun, books, strict=True):
            slow.gate.set()
            cells.until(lambda cells=cells, cell=cell: "answered" in cells.page(cell))  # type: ignore[misc]
            cells.run(ENDED)
            assert cells.value("verdict") == repr(answer)
    assert sorted(saved.tree.answer for saved in runs(tmp_path)) == ["ONE", "TWO"]


def test_in_a_terminal_it_says_when_it_begins_and_when_it_has_ended(tmp_path: Path) -> None:
    with FakeServer([VALUE]) as server:
        line = ask(server, "-c book -o verdict --result found", "How long is it").replace("%%", "%").replace("\n", " ")
        lines = [
            "%load_ext rlm_magic",
            "book = 'It was the butler.'",
            f"%rlm --approve {line.removeprefix('%rlm ')}",
            line,
            "print('meanwhile', 'verdict' in globals())",
            "found.result()\nwhile 'verdict' not in globals(): pass",
            "print('then', verdict)",
        ]
        script = tmp_path / "cells.py"
        script.write_text(f"""
from IPython.terminal.interactiveshell import TerminalInteractiveShell
shell = TerminalInteractiveShell.instance()
for cell in {lines!r}:
    shell.run_cell(cell)
""")
        ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert "--approve with --background needs the form of a notebook" in ran.stdout + ran.stderr
    said = [line for line in ran.stdout.splitlines() if line.startswith(("The run", "meanwhile", "then"))]
    assert re.fullmatch(r"The run (\S+) goes on. %rlm_show \1 shows its tree, %rlm_stop \1 stops it.", said[0])
    assert said[1] == "meanwhile False"
    assert sorted(said[2:]) == [f"The run {said[0].split()[2]}: 18", "then 18"]


def test_a_program_that_ends_does_not_wait_for_the_answer(tmp_path: Path) -> None:
    with FakeServer(lambda request: Hang()) as server:
        script = tmp_path / "cells.py"
        script.write_text(f"""
from IPython.terminal.interactiveshell import TerminalInteractiveShell
shell = TerminalInteractiveShell.instance()
shell.run_cell("%load_ext rlm_magic")
shell.run_cell({ask(server, "-o verdict")!r})
""")
        ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert "The run was stopped. Its journal is" in ran.stderr
    assert "verdict was not set." in ran.stderr
    assert find("last").state == "cancelled"
