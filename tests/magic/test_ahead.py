"""Before a run, in a real notebook kernel: the line of past runs, and the question above a threshold."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from rlm_kernel.events.values import Usage
from tests.estimate.past import wrote
from tests.magic.vocabulary import SECONDS, Notebook, Ran, notebook
from tests.providers.fake_servers import FakeServer

MODEL = "openai/gpt-5-mini"
DONE = "```repl\nanswer['content'] = len(context)\nanswer['ready'] = True\n```"
CALLS, EACH = 40, Usage.of_call(100_000, 0)
"""A past run, at $0.25 for a million tokens: $1."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_RUNS_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def nb(runs: Path) -> Iterator[Notebook]:
    with notebook() as kernel:
        assert kernel.run("%load_ext rlm_magic\nbook = 'It was the butler.'").ok
        yield kernel


@pytest.fixture(autouse=True)
def _same_folder(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLM_RUNS_DIR", str(runs))


@pytest.fixture
def past(runs: Path) -> None:
    """Three dear runs, and no other."""
    for run_dir in runs.glob("2*"):
        shutil.rmtree(run_dir)
    for number in range(3):
        wrote(number, calls=CALLS, usage=EACH, options={"model": MODEL, "sub_model": None})


def journals() -> list[str]:
    return sorted(name for name in os.listdir(os.environ["RLM_RUNS_DIR"]) if not name.startswith("."))


def cell(server: FakeServer, line: str = "") -> str:
    return f"%%rlm --context book --into n --model {MODEL} --base-url {server.openai_url} {line}\nHow long is it?"


def answered(nb: Notebook, code: str, *answers: str) -> tuple[Ran, list[str]]:
    """Run a cell as a front end with an input box; return what it asked, too."""
    msg_id, asked = nb.client.execute(code, allow_stdin=True), []
    for answer in answers:
        asked.append(nb.client.get_stdin_msg(timeout=SECONDS)["content"]["prompt"])
        nb.client.input(answer)
    return nb.finish(msg_id), asked


def lines(ran: Ran) -> list[str]:
    return [data["text/plain"] for data in ran.displays if "past runs" in data.get("text/plain", "")]


def test_a_newcomer_sees_no_line(nb: Notebook) -> None:
    with FakeServer([DONE]) as server:
        ran = nb.run(cell(server))
    assert ran.ok, ran.trouble
    assert lines(ran) == []


def test_without_past_runs_the_question_says_that_the_cost_is_not_known(nb: Notebook) -> None:
    before = journals()
    with FakeServer([DONE]) as server:
        ran, (asked,) = answered(nb, cell(server, "--ask-above 5"), "n")
        assert server.requests == []
    assert re.fullmatch(r"What this may cost is not known: .* estimate from\. Start it\? \[y/N\] ", asked)
    assert not ran.ok
    assert journals() == before


@pytest.mark.usefixtures("past")
class TestWithPastRuns:
    def test_one_line_stands_above_the_tree_and_stays_there(self, nb: Notebook) -> None:
        with FakeServer([DONE]) as server:
            ran = nb.run(cell(server))
        assert ran.ok, ran.trouble
        (line,) = lines(ran)
        assert line.startswith("18 bytes of text, about 4 tokens; past runs like this: 40 calls, $1.00, 9 s (3 runs)")
        shown = [m["content"]["data"] for m in ran.messages if m["msg_type"] == "display_data"]
        assert shown[0]["text/plain"] == line
        assert shown[0]["text/html"].startswith("<div style=")

    @pytest.mark.parametrize("how", ["--quiet", "off"])
    def test_there_is_none_where_it_is_not_wanted(self, nb: Notebook, how: str) -> None:
        if how == "off":
            nb.run("%config RLMMagics.show_estimate = False")
        try:
            with FakeServer([DONE]) as server:
                ran = nb.run(cell(server, "" if how == "off" else how))
            assert ran.ok, ran.trouble
            assert lines(ran) == []
            assert "past runs" not in ran.stream("stdout")
        finally:
            nb.run("%config RLMMagics.show_estimate = None")

    def test_with_other_models_there_is_none(self, nb: Notebook) -> None:
        with FakeServer([DONE]) as server:
            ran = nb.run(cell(server).replace(MODEL, "openai/another"))
        assert ran.ok, ran.trouble
        assert lines(ran) == []

    def test_yes_lets_it_begin(self, nb: Notebook) -> None:
        with FakeServer([DONE]) as server:
            ran, asked = answered(nb, cell(server, "--ask-above 0.5"), "perhaps", "y")
            assert len(server.requests) == 1
        assert ran.ok, ran.trouble
        assert asked == [
            "This may cost $1.00 by 3 past runs, above your $0.50. Start it? [y/N] ",
            "Please answer with y or n: ",
        ]
        assert nb.value("n") == "18"

    @pytest.mark.parametrize("answer", ["n", ""])
    def test_no_ends_it_in_one_line(self, nb: Notebook, answer: str) -> None:
        before = journals()
        nb.run("n = 'unchanged'")
        with FakeServer([DONE]) as server:
            ran, _ = answered(nb, cell(server, "--quiet --ask-above 0.5"), answer)
            assert server.requests == []
        assert not ran.ok, "an error, so that Run All stops"
        assert ran.trouble.strip().endswith("Not started, as you said; nothing was asked and nothing paid.")
        assert "Traceback" not in ran.trouble
        assert (nb.value("n"), journals()) == ("'unchanged'", before)

    def test_the_stop_button_is_no(self, nb: Notebook) -> None:
        before = journals()
        with FakeServer([DONE]) as server:
            msg_id = nb.client.execute(cell(server, "--ask-above 0.5"), allow_stdin=True)
            nb.client.get_stdin_msg(timeout=SECONDS)
            nb.manager.interrupt_kernel()
            ran = nb.finish(msg_id)
            assert server.requests == []
        assert "Not started" in ran.trouble
        assert "Traceback" not in ran.trouble
        assert journals() == before

    def test_configured_it_holds_for_all_cells_and_the_line_goes_first(self, nb: Notebook) -> None:
        nb.run("%config RLMMagics.ask_above = 0.5")
        try:
            assert "ask_above" in nb.run("%rlm_config").displays[-1]["text/plain"]
            with FakeServer([DONE, DONE]) as server:
                _, asked = answered(nb, cell(server), "n")
                assert len(asked) == 1
                assert nb.run(cell(server, "--ask-above 100")).ok
                limited = nb.run(cell(server, "--max-cost 0.5"))
                assert limited.ok, "it cannot cost more"
        finally:
            nb.run("%config RLMMagics.ask_above = None")

    def test_where_nobody_can_be_asked_it_is_refused_in_one_line(self, nb: Notebook) -> None:
        before = journals()
        with FakeServer([DONE]) as server:
            ran = nb.run(cell(server, "--ask-above 0.5"))
            assert server.requests == []
        assert not ran.ok
        assert "Nobody can be asked here, so nothing was started. Raise --ask-above" in ran.trouble
        assert "Traceback" not in ran.trouble
        assert journals() == before

    def test_a_session_is_asked_too_and_is_there_for_the_next_question(self, nb: Notebook) -> None:
        with FakeServer([DONE, DONE]) as server:
            line = "--session moby --ask-above 0.5"
            ran, asked = answered(nb, cell(server, line), "n")
            assert (ran.ok, len(asked), server.requests) == (False, 1, [])
            assert nb.run(cell(server, "--session moby")).ok
            again, asked = answered(nb, cell(server, line).replace("--context book ", ""), "y")
            assert again.ok, again.trouble
            assert len(asked) == 1
        assert nb.run("%rlm_close moby").ok

    def test_an_estimate_asks_nobody(self, nb: Notebook) -> None:
        before = journals()
        with FakeServer([]) as server:
            ran = nb.run(cell(server, "--estimate"))
            assert server.requests == []
        assert ran.ok, ran.trouble
        assert ran.stream("stdout").startswith("18 bytes of text, about 4 tokens; past runs like this: ")
        assert journals() == before

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("--ask-above -1", "ask_above=-1.0: expected US dollars"),
            ("--ask-above nan", "ask_above=nan: expected US dollars"),
            ("--ask-above much", "invalid float value: 'much'"),
            ("--ask-above 1 --resume last", "--ask-above needs a new run"),
            ("--ask-above 1 --replay last", "--ask-above needs a new run"),
            ("--estimate --resume last", "--estimate needs a new run"),
            ("--estimate --session x", "--estimate needs a new run"),
            ("--ask-above 0 --context nothing", "there is no variable of that name"),
            ("--estimate --context nothing", "there is no variable of that name"),
        ],
    )
    def test_a_mistake_is_one_line(self, nb: Notebook, line: str, message: str) -> None:
        with FakeServer([]) as server:
            ran = nb.run(cell(server, line))
        assert not ran.ok
        assert message in ran.trouble
        assert "Traceback" not in ran.trouble

    def test_nbclient_is_refused_and_not_kept_waiting(self, tmp_path: Path) -> None:
        with FakeServer([DONE]) as server:
            code = cell(server, "--ask-above 0.5")
            cells = [nbformat.v4.new_code_cell("%load_ext rlm_magic\nbook = 'x'"), nbformat.v4.new_code_cell(code)]
            page = nbformat.v4.new_notebook(cells=cells)
            with pytest.raises(CellExecutionError, match="Nobody can be asked here"):
                NotebookClient(page, timeout=SECONDS, kernel_name="python3").execute(cwd=str(tmp_path))
            assert server.requests == []
