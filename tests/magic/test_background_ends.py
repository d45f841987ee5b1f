"""Where background runs end: with their kernel, in a terminal, in a program; and in two notebooks at once."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from rlm_kernel import find, runs
from tests.conftest import kernels_of
from tests.magic.background import ENDED, VALUE, Cells, Slow, ask, waiting
from tests.magic.vocabulary import SECONDS, notebook
from tests.providers.fake_servers import FakeServer, Hang


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
        if not now:
            assert not list(Path(tempfile.gettempdir()).glob(f"rlm-{pid}-*")), "the input is removed too"
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


def test_a_program_that_runs_notebooks_waits_and_shows_the_tree_in_a_later_cell(tmp_path: Path) -> None:
    slow = Slow()
    slow.gate.set()
    with FakeServer(slow) as server:
        sources = ("%load_ext rlm_magic\nbook = 'x'", ask(server, "-c book --result found"), "found.result()")
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        NotebookClient(book, kernel_name="python3", timeout=SECONDS).execute()
    assert "THE BUTLER" in book.cells[2].outputs[0]["data"]["text/html"]


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
            "import sys; sys.stdout.write(f'then {verdict}\\n');",
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
