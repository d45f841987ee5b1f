"""``%%rlm`` in a real notebook kernel, against a model server on loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_kernel.arguments import HELP
from rlm_kernel.host.folder import sweep
from tests.conftest import kernels_of, still_there
from tests.magic.vocabulary import Notebook, notebook
from tests.providers.fake_servers import FakeServer, Hang

LOOK = "I look first.\n```repl\nprint(context[:40])\n```"
SHOUT = "```repl\nanswer['content'] = llm_query(context)\nanswer['ready'] = True\n```"
VALUE = "```repl\nanswer['content'] = {'length': len(context)}\nanswer['ready'] = True\n```"


@pytest.fixture(scope="module")
def _module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))  # "last" is nobody else's
        with notebook() as kernel:
            assert kernel.run("%load_ext rlm_magic").ok
            yield kernel


@pytest.fixture
def nb(_module: Notebook, monkeypatch: pytest.MonkeyPatch) -> Notebook:
    _module.run("book = 'It was the butler.'; empty = ''; number = 3")
    return _module


def ask(server: FakeServer, line: str = "--context book --into verdict", cell: str = "Who was it?") -> str:
    return f"%%rlm {line} --model openai/any --base-url {server.openai_url}\n{cell}"


def test_a_question_is_answered_with_its_tree_in_the_output(nb: Notebook) -> None:
    with FakeServer([LOOK, SHOUT, "IT WAS THE BUTLER."]) as server:
        ran = nb.run(ask(server))
    assert ran.ok, ran.trouble
    assert nb.value("verdict") == "'IT WAS THE BUTLER.'"
    last = ran.displays[-1]
    assert "IT WAS THE BUTLER." in last["text/html"]
    assert "<details" in last["text/html"]
    assert "<script" not in last["text/html"]
    assert last["text/plain"].startswith("IT WAS THE BUTLER.")
    shown = [m for m in ran.messages if m["msg_type"] == "display_data"]
    assert (len(shown), len(ran.widgets)) == (2, 1), "the widget, and one output that is updated in place"


def test_the_output_updates_while_the_run_goes_on(nb: Notebook) -> None:
    with FakeServer([LOOK, "```repl\nimport time\ntime.sleep(1)\n```", VALUE]) as server:
        ran = nb.run(ask(server))
    pages = [bundle["text/html"] for bundle in ran.displays]
    assert any("running" in page and "I look first." in page for page in pages[:-1])
    assert nb.value("verdict") == "{'length': 18}"


def test_without_anywidget_there_is_the_one_output(nb: Notebook) -> None:
    nb.run("import sys; kept = sys.modules.pop('rlm_magic.widget', None); sys.modules['rlm_magic.widget'] = None")
    try:
        with FakeServer([VALUE]) as server:
            ran = nb.run(ask(server))
    finally:
        nb.run("del sys.modules['rlm_magic.widget']")
    assert ran.ok, ran.trouble
    assert ran.widgets == []
    assert "answered" in ran.displays[-1]["text/html"]


def test_the_root_hears_the_question_and_never_the_whole_input(nb: Notebook) -> None:
    with FakeServer([VALUE]) as server:
        nb.run("long = 'x' * 1000 + book + 'x' * 1000")
        nb.run(ask(server, "--context long"))
        heard = "".join(message["content"] for message in server.requests[0].body["messages"])
    assert "Who was it?" in heard
    assert "butler" not in heard


def test_the_line_form_asks_too(nb: Notebook) -> None:
    with FakeServer([VALUE]) as server:
        ran = nb.run(f"%rlm -c book -o verdict -m openai/any --base-url {server.openai_url} Say how long it is.")
        assert "Say how long it is." in server.requests[0].prompt
    assert ran.ok, ran.trouble
    assert nb.value("verdict['length']") == "18"


def test_quiet_prints_the_answer_only(nb: Notebook) -> None:
    with FakeServer([VALUE]) as server:
        ran = nb.run(ask(server, "--context book --quiet"))
    assert ran.stream("stdout").strip() == "{'length': 18}"
    assert ran.displays == []


def test_files_folders_and_globs_are_contexts(nb: Notebook, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("aaa")
    (tmp_path / "b.txt").write_text("bb")
    for context, expected in ((tmp_path / "a.txt", 3), (tmp_path, 2), (tmp_path / "*.txt", 2)):
        with FakeServer([VALUE]) as server:
            ran = nb.run(ask(server, f"--context {context} --into verdict"))
        assert ran.ok, ran.trouble
        assert nb.value("verdict['length']") == str(expected)


def test_limits_on_the_line_bind(nb: Notebook) -> None:
    code = "```repl\nanswer['content'] = 0\nfor i in range(9):\n    llm_query(f'x{i}'); answer['content'] += 1\n```"
    with FakeServer([code, *["y"] * 9]) as server:
        ran = nb.run(ask(server, "--context book --into verdict --max-calls 2 --max-iterations 5 --depth 1"))
    assert "stopped by max_calls" in ran.displays[-1]["text/html"]
    assert nb.value("verdict") == "2"


def test_configured_defaults_apply_and_the_line_overrides_them(nb: Notebook) -> None:
    with FakeServer(["```repl\npass\n```", "```repl\npass\n```", "no idea"]) as server:
        nb.run(f"%config RLMMagics.base_url = '{server.openai_url}'")
        nb.run("%config RLMMagics.model = 'openai/any'")
        nb.run("%config RLMMagics.max_iterations = 1")
        try:
            ran = nb.run("%%rlm --context book --max-iterations 2\nWho?")
        finally:
            for name in ("base_url", "model", "max_iterations"):
                nb.run(f"%config RLMMagics.{name} = None")
    assert "stopped by max_iterations" in ran.displays[-1]["text/html"]
    assert "The limit max_iterations=2" in ran.displays[-1]["text/html"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%rlm --context nothing\nq", "there is no variable of that name, and no file"),
        (f"%%rlm --context {'long' * 100}\nq", "there is no variable of that name, and no file"),
        ("%%rlm --context empty\nq", "The context is an empty str"),
        ("%%rlm --context number\nq", "A context of type int cannot cross"),
        ("%%rlm --context book --model nobody/x\nq", "Unknown provider 'nobody'"),
        ("%%rlm --context book --model openai/gpt-5-mini\nq", "OPENAI_API_KEY"),
        ("%%rlm --context book --modle x\nq", "unrecognized arguments: --modle"),
        ("%%rlm --context book --max-calls many\nq", "invalid int value: 'many'"),
        ("%%rlm --context book --max-calls -3\nq", "max_calls=-3"),
        ("%%rlm --context book --sandbox jail\nq", "Unknown sandbox 'jail'"),
        ("%%rlm --context book --into 2x\nq", "expected a variable name"),
        ("%%rlm --context book --into class\nq", "expected a variable name"),
        ("%%rlm --context book\n  ", "Write the question in the cell"),
        ("%%rlm --context\nq", "expected one argument"),
        ("%%rlm --context 'book\nq", "No closing quotation"),
        ("%%rlm --context book -m openai/any --base-url http://127.0.0.1:9/v1\nq", "openai/any"),
    ],
)
def test_a_mistake_is_one_line_and_no_traceback(nb: Notebook, cell: str, message: str) -> None:
    ran = nb.run(cell)
    assert not ran.ok
    assert message in ran.trouble
    assert "Traceback" not in ran.trouble
    assert "rlm_magic" not in ran.trouble
    assert "rlm_kernel/" not in ran.trouble


def test_the_stop_button_ends_the_run_cleanly_and_keeps_what_there_is(nb: Notebook) -> None:
    keep = "```repl\nanswer['content'] = 'so far'\n```"
    for second in ("```repl\nimport time\ntime.sleep(100)\n```", "```repl\nwhile True: llm_query('x')\n```", Hang()):
        with FakeServer([keep, second, Hang()]) as server:
            msg_id = nb.begin(ask(server))
            seen = []
            for msg in nb.messages(msg_id):
                seen.append(msg)
                if "Iteration 2" in str(msg["content"].get("data", {}).get("text/html")):
                    nb.manager.interrupt_kernel()
                    break
            ran = nb.finish(msg_id, seen)
        assert not ran.ok, "an error, so that Run All stops"
        assert "The run was stopped; its journal is" in ran.trouble
        assert "Traceback" not in ran.trouble
        assert "stopped</span>" in ran.displays[-1]["text/html"]
        assert nb.value("verdict") == "'so far'"


def test_tab_completes_options_and_variables(nb: Notebook) -> None:
    assert "--context" in nb.complete("%%rlm --con")
    limits = sorted(name for name in HELP if name.startswith("max_") and name != "max_depth")
    assert nb.complete("%%rlm --max-") == [f"--{name.replace('_', '-')}" for name in limits]
    assert nb.complete("%%rlm --context book --sandbox ") == ["bubblewrap", "landlock", "process"]
    assert "book" in nb.complete("%%rlm --context bo")
    assert "book" in nb.complete("%rlm --quiet --context ")
    assert "--into" in nb.complete("%%rlm --context book --in")


def test_help_lists_the_options(nb: Notebook) -> None:
    reply = nb.client.inspect("%%rlm", 5, reply=True, timeout=20)
    text = reply["content"]["data"]["text/plain"]
    assert "--max-calls" in text
    assert "a variable, a file, a folder or a glob" in text


def test_loading_the_extension_twice_changes_nothing(nb: Notebook) -> None:
    assert nb.run("%reload_ext rlm_magic").ok
    with FakeServer([VALUE]) as server:
        assert nb.run(ask(server)).ok


def test_the_rlm_kernel_has_the_magic_loaded() -> None:
    with notebook("rlm") as kernel, FakeServer([VALUE]) as server:
        kernel.run("book = 'It was the butler.'")
        ran = kernel.run(ask(server))
        assert ran.ok, ran.trouble
        assert kernel.value("verdict") == "{'length': 18}"


def test_a_notebook_kernel_that_is_killed_leaves_no_kernel_and_no_input_behind() -> None:
    with notebook() as kernel, FakeServer(["```repl\nimport time\ntime.sleep(100)\n```"]) as server:
        kernel.run("%load_ext rlm_magic\nbook = 'x'")
        msg_id = kernel.begin(ask(server))
        for msg in kernel.messages(msg_id):
            if "time.sleep" in str(msg["content"].get("data", {}).get("text/html")):
                break
        pid = kernel.manager.provisioner.pid  # type: ignore[union-attr]
        inside = kernels_of(pid)
        assert inside
        assert folders(pid)
        kernel.manager.shutdown_kernel(now=True)
    assert not still_there(inside)
    sweep(older_than=0)
    assert not folders(pid)


def folders(pid: int) -> list[Path]:
    """Private folders of a host process."""
    return list(Path(tempfile.gettempdir()).glob(f"rlm-{pid}-*"))


def test_a_run_that_a_limit_ended_is_resumed_and_replayed_from_the_line(nb: Notebook) -> None:
    half = "```repl\nfirst = llm_query('one')\nsecond = llm_query('two')\n```"
    whole = "```repl\nanswer['content'] = first + second\nanswer['ready'] = True\n```"
    with FakeServer([half, "ONE", "TWO", whole]) as server:
        assert nb.run(ask(server, "--context book --max-calls 1")).ok
        again = nb.run("%rlm --resume last --max-calls 5 --into verdict")
        assert again.ok, again.trouble
        assert len(server.requests) == 4
    assert nb.value("verdict") == "'ONETWO'"
    replayed = nb.run("%%rlm --replay last --into verdict_again\nWho was it?")
    assert replayed.ok, replayed.trouble
    assert nb.value("verdict_again") == "'ONETWO'"
    assert replayed.displays[-1]["text/plain"].startswith("ONETWO")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%rlm --resume nothing", "There is no run 'nothing'"),
        ("%rlm --replay last --resume last", "Give --resume or --replay, not both"),
        ("%rlm --replay last --vs-plain 2", "--vs-plain needs a new run"),
        ("%%rlm --replay last\nWho was it not?", "That run was asked something else: 'Who was it?'"),
    ],
)
def test_a_mistake_about_a_run_is_one_line(nb: Notebook, line: str, message: str) -> None:
    with FakeServer([VALUE]) as server:
        assert nb.run(ask(server)).ok
    ran = nb.run(line)
    assert not ran.ok
    assert message in ran.trouble
    assert "Traceback" not in ran.trouble


def test_plain_calls_stand_beside_the_answer(nb: Notebook) -> None:
    with FakeServer([VALUE, "18", "18", "17"]) as server:
        ran = nb.run(ask(server, "--context book --vs-plain 3"))
    assert ran.ok, ran.trouble
    assert len(server.requests) == 4
    assert "It was the butler." in server.requests[1].prompt
    table = ran.displays[-1]
    assert "<table" in table["text/html"]
    assert "plain" in table["text/plain"]
    assert "18" in table["text/plain"]
