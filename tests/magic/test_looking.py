"""``%rlm_runs``, ``%rlm_show``, ``%rlm_config``, ``%rlm_models`` and what ``--result`` gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.magic.vocabulary import Notebook, notebook
from tests.providers.fake_servers import FakeServer

SHOUT = "```repl\nanswer['content'] = llm_query(context)\nanswer['ready'] = True\n```"


@pytest.fixture(scope="module")
def nb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLM_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))
        patch.setenv("GROQ_API_KEY", "gsk-never-shown")
        patch.delenv("OPENAI_API_KEY", raising=False)
        with notebook() as kernel:
            assert kernel.run("%load_ext rlm_magic\nbook = 'It was the butler.'").ok
            assert kernel.run("%rlm_runs").displays[-1]["text/plain"] == "There are no runs yet."
            with FakeServer([SHOUT, "IT WAS <b>THE</b> BUTLER."]) as server:
                line = f"--context book --result found --model openai/any --base-url {server.openai_url}"
                assert kernel.run(f"%%rlm {line}\nWho <i>was</i> it?").ok
            yield kernel


def test_the_whole_result_is_a_variable(nb: Notebook) -> None:
    assert nb.value("(found.answer, found.stop_reason)") == "('IT WAS <b>THE</b> BUTLER.', 'answered')"
    assert nb.value("found.tree.root.iterations[0].cells[0].calls[0].text") == "'IT WAS <b>THE</b> BUTLER.'"
    assert nb.value("sorted(found._repr_mimebundle_())") == "['text/html', 'text/plain']"
    made = "found.to_notebook(); import nbformat; nbformat.validate(made)"
    assert nb.run(f"made = {made}").ok
    assert nb.value("made == found.saved.to_notebook()") == "True"
    assert "llm_query(context)" in nb.value("[cell.source for cell in made.cells if cell.cell_type == 'code'][1]")


def test_the_runs_are_listed_and_one_is_shown(nb: Notebook) -> None:
    run = nb.value("found.run_dir.name").strip("'")
    listed = nb.run("%rlm_runs").displays[-1]
    assert run in listed["text/plain"]
    assert "answered" in listed["text/plain"]
    assert "Who &lt;i&gt;was&lt;/i&gt; it?" in listed["text/html"]
    for name in ("last", run, run[:-1], ""):
        shown = nb.run(f"%rlm_show {name}").displays[-1]
        assert "<details" in shown["text/html"]
        assert shown["text/plain"].startswith("IT WAS <b>THE</b> BUTLER.")


def test_what_is_set_says_where_it_comes_from(nb: Notebook) -> None:
    nb.run("%config RLMMagics.max_calls = 7")
    try:
        shown = nb.run("%rlm_config").displays[-1]["text/plain"]
    finally:
        nb.run("%config RLMMagics.max_calls = None")
    rows = {row.split()[0]: row for row in shown.splitlines()}
    assert "%config, in this session" in rows["max_calls"]
    assert " 7 " in rows["max_calls"]
    assert "RLM_RUNS_DIR" in rows["runs_dir"]
    assert "max_tokens" not in rows


def test_a_file_of_ipythons_is_named_as_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profile_default").mkdir()
    (tmp_path / "profile_default" / "ipython_config.py").write_text("c = get_config()\nc.RLMMagics.model = 'local/x'\n")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    with notebook() as kernel:
        shown = kernel.run("%load_ext rlm_magic\n%rlm_config").displays[-1]["text/plain"]
    assert "'local/x'" in shown
    assert "IPython's configuration" in shown


def test_models_say_whether_their_key_is_here_and_never_what_it_is(nb: Notebook) -> None:
    shown = nb.run("%rlm_models").displays[-1]
    rows = {row.lstrip("✓- ").split()[0]: row for row in shown["text/plain"].splitlines()}
    assert "its key is set" in rows["groq/..."]
    assert "set OPENAI_API_KEY" in rows["openai/..."]
    assert "no key is needed" in rows["policy/map-reduce"]
    assert "gsk-never-shown" not in str(shown)


def test_tab_completes_runs_and_models(nb: Notebook) -> None:
    run = nb.value("found.run_dir.name").strip("'")
    assert sorted(nb.complete("%rlm_show ")) == [run, "last"]
    assert "last" in nb.complete("%rlm_names la")
    assert "groq/" in nb.complete("%%rlm --model gr")
    assert nb.complete("%%rlm --model openai") == []
    assert "found" in nb.complete("%%rlm --result fo")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%rlm_show nothing", "There is no run 'nothing'"),
        ("%rlm_runs many", "expected a number of runs"),
        ("%rlm_config model=x", "%config RLMMagics.model"),
        ("%%rlm --context book --result 2x\nq", "--result '2x': expected a variable name"),
    ],
)
def test_a_mistake_is_one_line(nb: Notebook, line: str, message: str) -> None:
    ran = nb.run(line)
    assert not ran.ok
    assert message in ran.trouble
    assert "Traceback" not in ran.trouble
