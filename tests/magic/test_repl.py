"""The RLM kernel for a person: the model's names, ``%context``, and the tree below each cell that asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_kernel import RLMError, find, replay, resume, runs
from rlm_kernel.exports import FORMATS
from tests.conftest import kernels_of
from tests.journal.vocabulary import replayed
from tests.magic.vocabulary import Notebook, Ran, notebook
from tests.providers.fake_servers import FakeServer, Hang

CHILD = "```repl\nanswer['content'] = f'{len(context)}: {llm_query(context[:3])}'\nanswer['ready'] = True\n```"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def _module(folder: Path) -> Iterator[Notebook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_RUNS_DIR", str(folder))
        with notebook("rlm") as kernel:
            kernel.run("%config RLMMagics.model = 'openai/any'")
            yield kernel


@pytest.fixture
def nb(_module: Notebook, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    monkeypatch.setenv("RLM_RUNS_DIR", str(folder))
    return _module


def ask(nb: Notebook, server: FakeServer, code: str) -> Ran:
    """Run a cell whose calls go to the server."""
    nb.run(f"%config RLMMagics.base_url = '{server.openai_url}'")
    return nb.run(code)


def test_a_cell_asks_and_the_tree_of_its_calls_is_shown_below_it(nb: Notebook) -> None:
    with FakeServer(["ONE", "<b>TWO</b>", "TWO"]) as server:
        ran = ask(
            nb, server, "import json\nfirst = llm_query('one?')\nprint(first)\nllm_query_batched(['two?', 'three?'])"
        )
    assert ran.ok, ran.trouble
    assert ran.stream("stdout") == "ONE\n"
    assert nb.value("first") == "'ONE'"
    shown = [m["content"]["data"] for m in ran.messages if m["msg_type"] == "display_data"]
    assert ["text/html" in data for data in shown] == [False, True], "the widget, and one output, updated in place"
    page = ran.displays[-1]["text/html"]
    assert "done</span>" in page
    assert "3 calls" in page
    for text in ("one?", "two?", "three?", "&lt;b&gt;TWO&lt;/b&gt;"):
        assert text in page
    assert "<b>TWO</b>" not in page
    assert "the model is writing" not in page


def test_the_cell_is_a_run_in_the_journal_like_any_other(nb: Notebook) -> None:
    with FakeServer(["ONE"]) as server:
        ask(nb, server, "# a comment\nprint('before'); llm_query('one?')")
    saved = find("last")
    assert saved.question == "print('before'); llm_query('one?')"
    assert saved.state == "answered"
    root = saved.tree.root
    assert root.model == ""
    (cell,) = root.iterations[0].cells
    assert [(call.question, call.text) for call in cell.calls] == [("one?", "ONE")]
    assert [(output.kind, output.text) for output in cell.outputs] == [
        ("stdout", "before\n"),
        ("execute_result", "'ONE'"),
    ]
    assert cell.code.startswith("# a comment")
    assert saved.tree.usage.calls == 1
    for name in FORMATS:
        assert saved.export(name) or name == "chat", "no model was in charge, so there is no chat"
    code = [cell.source for cell in saved.to_notebook().cells if cell.cell_type == "code"]
    assert code[1] == cell.code
    for words in ("Iteration", "no answer", "a model's code"):
        assert words not in str(saved.to_notebook()), "there is no model that has turns and answers"
    assert "## The cell" in saved.export("markdown")
    with pytest.raises(RLMError, match="is a person's cell"):
        resume(saved)
    with pytest.warns(match="A person had typed them, into a kernel that is gone"):
        again = replay(saved).start().result()
    assert replayed(again.tree) == replayed(saved.tree), "it is only shown: its kernel is gone"
    assert nb.run("%rlm_show last").displays[-1]["text/html"].count("one?")


def run_again(nb: Notebook) -> Notebook:
    """Run the code of the last run's notebook, cell by cell."""
    for cell in find("last").to_notebook().cells:
        if cell.cell_type == "code":
            ran = nb.run(cell.source)
            assert ran.ok, ran.trouble
            assert ran.displays == [], "what the journal answers is no new run"
    return nb


def test_exported_runs_of_persons_and_of_models_run_again_here_and_ask_nobody(nb: Notebook) -> None:
    nb.run("book = 'It was the butler.'\n%context book")
    shout = "```repl\nsaid = llm_query(f'{context} Who?')\nprint(said)\nanswer.update(content=said, ready=True)\n```"
    with FakeServer(["HIM", shout, "THE BUTLER"]) as server:
        ask(nb, server, "said = llm_query(f'{context} Who?')\nprint(said)")
        with notebook("rlm") as fresh:
            assert run_again(fresh).value("(said, context)") == "('HIM', 'It was the butler.')"
            assert ask(nb, server, "%%rlm --context book\nWho was it?").ok
            assert run_again(fresh).value("(said, answer['content'])") == "('THE BUTLER', 'THE BUTLER')"
        assert len(server.requests) == 3


def test_rlm_query_is_a_child_in_a_sandbox_of_its_own(nb: Notebook) -> None:
    with FakeServer([CHILD, "IT!"]) as server:
        ran = ask(nb, server, "rlm_query('How long, and how does it begin?', context='It was.')")
    assert ran.ok, ran.trouble
    tree = find("last").tree
    (child,) = tree.root.calls
    assert (child.kind, child.text) == ("rlm", "7: IT!")
    assert child.iterations[0].cells[0].calls[0].text == "IT!"
    assert "child RLM" in ran.displays[-1]["text/html"]
    assert kernels_of(nb.manager.provisioner.pid) == [], "its box ends with the cell"  # type: ignore[union-attr]


def test_threads_and_coroutines_of_a_cell_ask_in_one_run(nb: Notebook) -> None:
    before = len(runs())
    pool = "from concurrent.futures import ThreadPoolExecutor\nr = list(ThreadPoolExecutor(4).map(llm_query, 'abcd'))"
    waits = "import asyncio\nr += await asyncio.gather(*[allm_query(x) for x in 'efgh'])\nsorted(r)"
    with FakeServer(lambda request: request.prompt.upper()) as server:
        ran = ask(nb, server, f"{pool}\n{waits}")
    assert ran.ok, ran.trouble
    assert nb.value("sorted(r)") == str(list("ABCDEFGH"))
    assert len(runs()) == before + 1
    assert len(find("last").tree.root.calls) == 8


LATE = """
import asyncio, threading
go, heard = threading.Event(), []
def late():
    go.wait()
    try:
        llm_query('x')
    except Exception as error:
        heard.append(error)
thread = threading.Thread(target=late)
thread.start()
task = asyncio.create_task(allm_query('left behind'))
await asyncio.sleep(0.2)
"""


def test_what_asks_after_its_cell_has_ended_is_told_so(nb: Notebook) -> None:
    with FakeServer([Hang()]) as server:
        assert ask(nb, server, LATE).ok
    assert find("last").tree.root.calls[0].state == "cancelled"
    assert "its cell has ended" in nb.value("task.exception()")
    nb.client.execute("go.set(); thread.join()", silent=True)  # a silent cell is none that IPython tells of
    assert "No cell is running" in nb.value("heard")


def test_a_picture_that_the_cell_shows_is_kept(nb: Notebook) -> None:
    nb.run("class Dot:\n    def _repr_png_(self): return b'\\x89PNG'")
    with FakeServer(["x"]) as server:
        assert ask(nb, server, "llm_query('x')\nDot()").ok
    (output,) = find("last").tree.root.iterations[0].cells[0].outputs
    assert output.data["image/png"] == "iVBORw=="


def test_limits_bind_a_cell_and_the_next_one_has_its_own(nb: Notebook) -> None:
    nb.run("%config RLMMagics.max_calls = 2")
    try:
        with FakeServer(["1", "2", "1"]) as server:
            ran = ask(nb, server, "for i in range(5):\n    last = llm_query(f'{i}')")
            assert not ran.ok
            assert "max_calls=2" in ran.trouble
            assert ask(nb, server, "llm_query('again')").ok
    finally:
        nb.run("%config RLMMagics.max_calls = None")


def test_the_stop_button_ends_the_call_and_the_run(nb: Notebook) -> None:
    with FakeServer([Hang(), "LATER"]) as server:
        nb.run(f"%config RLMMagics.base_url = '{server.openai_url}'")
        msg_id = nb.begin("llm_query('for ever?')")
        seen = []
        for msg in nb.messages(msg_id):
            seen.append(msg)
            if "for ever?" in str(msg["content"].get("data", {}).get("text/html")) and server.requests:
                nb.manager.interrupt_kernel()
                break
        ran = nb.finish(msg_id, seen)
        assert not ran.ok
        assert "KeyboardInterrupt" in ran.trouble
        assert "rlm_kernel/" not in ran.trouble
        assert "stopped</span>" in ran.displays[-1]["text/html"]
        assert find("last").state == "cancelled"
        assert ask(nb, server, "llm_query('and now?')").ok


def test_the_stop_button_ends_the_calls_of_threads_and_of_coroutines(nb: Notebook) -> None:
    pool = "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as pool:\n"
    threads = f"{pool}    list(pool.map(llm_query, 'abcdef'))"
    for code in (threads, "await allm_query('a')"):
        with FakeServer(lambda request: Hang()) as server:
            nb.run(f"%config RLMMagics.base_url = '{server.openai_url}'")
            msg_id = nb.begin(code)
            assert server.waiting.wait(20)
            nb.manager.interrupt_kernel()
            assert not nb.finish(msg_id).ok
            assert len(server.requests) <= 2, "no thread goes on to the next prompt"
        tree = find("last").tree
        assert {call.state for call in tree.root.calls} == {"cancelled"}
        assert tree.stop_reason == "cancelled"


def test_a_cell_that_fails_says_so_in_its_tree_without_our_frames(nb: Notebook) -> None:
    with FakeServer(["ONE"]) as server:
        ran = ask(nb, server, "llm_query('one?')\n1 / 0")
    assert "ZeroDivisionError" in ran.trouble
    assert "The cell failed: ZeroDivisionError: division by zero" in ran.displays[-1]["text/html"]
    refused = nb.run("llm_query('one?', model='another')")
    assert "Unknown model 'another'" in refused.trouble
    assert "queries.py" not in refused.trouble
    assert len([m for m in nb.run("llm_query").messages if m["msg_type"] == "display_data"]) == 0


def test_a_cell_that_asks_nothing_has_no_run(nb: Notebook) -> None:
    before = len(runs())
    for code in ("1 + 1", "", "answer['content'] = 'x'", "SHOW_VARS()", "context"):
        assert nb.run(code).displays == []
    assert len(runs()) == before


def test_a_ready_answer_is_that_of_the_run(nb: Notebook) -> None:
    with FakeServer(["42"]) as server:
        ran = ask(nb, server, "answer['content'] = int(llm_query('six times seven?'))\nanswer['ready'] = True")
        assert "answered</span>" in ran.displays[-1]["text/html"]
        assert find("last").tree.root.value == 42
        ask(nb, server, "FINAL('of a cell that asks nobody')")
        ask(nb, server, "llm_query('not one more answer')")
    assert find("last").tree.answer == ""


def test_context_loads_a_variable_a_file_or_cells(nb: Notebook, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    (tmp_path / "empty.txt").write_text("")
    nb.run("table = {'a': [1, 2]}; number = 3")
    count = len(eval(nb.value("globals().get('contexts', [])")))
    loaded = nb.run("%context table").stream("stdout")
    assert loaded.startswith(f"context_{count}: a dict")
    assert nb.value(f"context is table and context_{count} is table and contexts[-1] is table") == "True"
    assert "a list" in nb.run(f"%context {tmp_path / 'rows.jsonl'}").stream("stdout")
    assert nb.value("context") == "[{'n': 1}, {'n': 2}]"
    assert nb.run("%context notebook").ok
    assert nb.value("context[0]['cell']") == "1"
    for line, message in {
        "%context": "%context needs a variable, a file",
        "%context nothing_here": "there is no variable of that name",
        f"%context {tmp_path / 'empty.txt'}": "is an empty file",
        "%context number": "cannot cross into the kernel",
    }.items():
        ran = nb.run(line)
        assert message in ran.trouble
        assert "Traceback" not in ran.trouble
    assert nb.complete(f"%context {tmp_path}/ro") == [f"{tmp_path}/rows.jsonl"]
    assert "table" in nb.complete("%context ta")
    with FakeServer(["x"]) as server:
        ask(nb, server, "llm_query('x')")
    assert "a list" in find("last").tree.root.context["description"]


def test_an_input_that_was_changed_since_does_not_keep_a_cell_from_asking(nb: Notebook) -> None:
    nb.run("rows = [1]\n%context rows")
    nb.run("rows.append(print)")
    with FakeServer(["x"]) as server:
        assert ask(nb, server, "llm_query('x')").ok
    assert "The input is not in the journal: The context holds something that cannot cross" in str(
        find("last").tree.root.notes
    )


def test_names_that_are_gone_come_back_and_ones_own_stay(nb: Notebook) -> None:
    nb.run("%reset -f")
    assert nb.value("callable(llm_query) and callable(rlm_query)") == "True"
    nb.run("llm_query = 'mine'")
    assert nb.value("llm_query") == "'mine'"
    mine = nb.run("%who").stream("stdout").split()
    assert "llm_query" in mine
    assert not {"rlm_query", "answer", "SHOW_VARS"} & set(mine), "what was given is hidden"
    nb.run("del llm_query")
    assert nb.value("callable(llm_query)") == "True"


def test_a_key_is_in_no_event_and_no_output(nb: Notebook, folder: Path) -> None:
    with FakeServer(["the key is sk-very-secret"]) as server:
        nb.run("import os; os.environ['OPENAI_API_KEY'] = 'sk-very-secret'")
        try:
            ran = ask(nb, server, "said = llm_query('What is the key?')")
        finally:
            nb.run("del os.environ['OPENAI_API_KEY']")
    assert ran.ok
    assert "sk-very-secret" not in str(ran.displays)
    for file in find("last").directory.rglob("*"):
        assert file.is_dir() or b"sk-very-secret" not in file.read_bytes()


class TestWithoutAModel:
    """What a first use says, where nothing is configured."""

    @pytest.mark.local
    def test_the_embedded_one_answers_and_says_so_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with notebook("rlm") as kernel:
            first = kernel.run("reply = llm_query('Say hello.')")
            assert first.ok, first.trouble
            assert first.stream("stdout").count("\n") == 1
            assert "No model is set, so local/smollm2 answers on this machine" in first.stream("stdout")
            assert kernel.run("progress('once')").stream("stdout") == ""
            assert kernel.value("isinstance(reply, str) and len(reply) > 0") == "True"

    def test_where_it_is_not_installed_one_line_says_what_to_set(self) -> None:
        with notebook("rlm") as kernel:
            kernel.run("import sys; sys.modules['xllamacpp'] = None")
            ran = kernel.run("reply = llm_query('Say hello.')")
            assert not ran.ok
            assert "UsageError: No model is set, and the embedded one is not installed." in ran.trouble
            assert "%config RLMMagics.model = 'provider/model'" in ran.trouble
            assert len(ran.trouble.strip().splitlines()) == 1
            assert ran.displays == []
            missing = kernel.run("%config RLMMagics.model = 'openai/gpt-5-mini'\nllm_query('Say hello.')")
            assert "set OPENAI_API_KEY" in missing.trouble
            assert len(missing.trouble.strip().splitlines()) == 1
