"""The ``rlm`` command, as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import kernels_of, still_there
from tests.providers.fake_servers import FakeServer, Hang


def rlm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rlm_kernel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=50)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("It was the butler.")
    return path


ESCAPES = "```repl\nanswer.update(content='\\x1b]0;owned\\x07\\x1b[31mred', ready=True)\n```"
ANSWER = "```repl\nanswer['content'] = context.split()[-1]\nanswer['ready'] = True\n```"


def test_ask_answers_over_a_file_with_any_compatible_server(book: Path) -> None:
    with FakeServer([ANSWER]) as server:
        done = rlm("ask", "Who was it?", str(book), "--model", "openai/any", "--base-url", server.openai_url)
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (0, "butler.")
    assert "Traceback" not in done.stderr


def test_an_answer_cannot_command_the_terminal(book: Path) -> None:
    with FakeServer([ESCAPES]) as server:
        done = rlm("ask", "Who?", str(book), "-m=openai/any", "--base-url", server.openai_url)
    assert (done.returncode, done.stdout.strip()) == (0, "red")


def test_ask_says_which_limit_stopped_it(book: Path) -> None:
    with FakeServer(["```repl\nanswer['content'] = 'maybe'\n```"]) as server:
        done = rlm(
            "ask", "Who?", str(book), "--max-iterations", "1", "-m", "openai/any", "--base-url", server.openai_url
        )
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (1, "maybe")
    assert "stopped by max_iterations. Go on with: rlm resume" in done.stderr


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_ctrl_c_ends_the_run_cleanly(book: Path, quiet: list[str]) -> None:
    with FakeServer(["```repl\nanswer['content'] = 'so far'\n```", Hang()]) as server:
        options = ["-m=openai/any", "--base-url", server.openai_url, *quiet]
        command = [sys.executable, "-m", "rlm_kernel", "ask", "Who?", str(book), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert server.waiting.wait(30)
        kernels = kernels_of(process.pid)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert quiet or output.strip() == "so far"
    assert kernels
    assert not still_there(kernels)
    assert not list(Path(tempfile.gettempdir()).glob(f"rlm-{process.pid}-*"))


def approving(book: Path, said: str, script: list[str]) -> subprocess.CompletedProcess[str]:
    """Ask with ``--approve``, and answer its questions."""
    with FakeServer(script) as server:
        options = ["-m=openai/any", "--base-url", server.openai_url, "--approve"]
        command = [sys.executable, "-m", "rlm_kernel", "ask", "Who?", str(book), *options]
        return subprocess.run(command, input=said, capture_output=True, text=True, timeout=50)


def test_each_cell_is_approved_by_who_sits_there(book: Path) -> None:
    bad = "```repl\nprint('\x1b]0;owned\x07' + 'it ran')\n```"
    done = approving(book, "what?\ns\nnot like that\nr\n", [bad, ANSWER])
    assert (done.returncode, done.stdout.strip()) == (0, "butler.")
    assert "Cell 1\nprint('' + 'it ran')\n[r]un, [e]dit, [s]kip, s[t]op: Please answer" in done.stderr
    assert "Cell 2\nanswer['content']" in done.stderr
    assert "\x1b]0" not in done.stderr
    stopped = approving(book, "t\n", [ANSWER])
    assert (stopped.returncode, stopped.stdout.strip()) == (130, "")
    nobody = approving(book, "", [ANSWER])
    assert nobody.returncode == 130


def test_the_magic_works_in_a_terminal(tmp_path: Path, book: Path) -> None:
    with FakeServer([ANSWER]) as server:
        script = tmp_path / "ask.ipy"
        line = f"%rlm -c {book} -o who -m openai/any --base-url {server.openai_url} Who was it"
        script.write_text(f"%load_ext rlm_magic\n{line}\nprint(who)\n")
        command = [sys.executable, "-m", "IPython", "--no-banner", str(script)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert done.stdout.strip().splitlines()[-1] == "butler."
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "q", "no/such/file"], "'no/such/file' does not exist, and nothing matches it"),
        (["ask", "q", "BOOK", "--model", "openai/gpt-5-mini"], "OPENAI_API_KEY"),
        (["ask", "q", "BOOK", "--model", "nobody/x"], "Unknown provider 'nobody'"),
        (["ask", "q", "BOOK", "--sandbox", "jail"], "Unknown sandbox 'jail'"),
        (["ask", " ", "BOOK"], "The question is empty"),
        (["models", "install", "nonsense"], "nonsense"),
    ],
)
def test_a_mistake_is_one_line_and_status_1(book: Path, arguments: list[str], message: str) -> None:
    done = rlm(*[str(book) if a == "BOOK" else a for a in arguments])
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2


def test_an_unknown_option_is_status_2(book: Path) -> None:
    done = rlm("ask", "q", str(book), "--max-callz", "3")
    assert done.returncode == 2
    assert "unrecognized arguments: --max-callz" in done.stderr


@pytest.mark.local
def test_doctor_says_what_works_and_finds_keys_by_name_only() -> None:
    done = rlm("doctor", OPENAI_API_KEY="sk-planted-secret")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a kernel in bubblewrap ran a cell" in done.stdout
    assert "OPENAI_API_KEY is set" in done.stdout
    assert "ANTHROPIC_API_KEY is not set" in done.stdout
    assert "the RLM kernel is installed: RLM" in done.stdout
    assert "planted-secret" not in done.stdout + done.stderr


def test_the_rlm_kernel_is_installed_with_the_package_and_loads_the_magic() -> None:
    listed = subprocess.run(
        [sys.executable, "-m", "jupyter", "kernelspec", "list", "--json"], capture_output=True, text=True, check=True
    )
    installed = json.loads(listed.stdout)["kernelspecs"]["rlm"]
    assert installed["spec"]["display_name"] == "RLM"
    assert "rlm_magic.repl" in installed["spec"]["argv"]
    for logo in ("logo-svg.svg", "logo-32x32.png", "logo-64x64.png"):
        assert Path(installed["resource_dir"], logo).is_file()


@pytest.fixture
def answered(book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run on disk; its id."""
    monkeypatch.setenv("RLM_RUNS_DIR", str(tmp_path / "runs"))
    with FakeServer(
        ["```repl\nword = llm_query('one')\n```", "ONE", "```repl\nanswer['content'] = word\n```"]
    ) as server:
        rlm(
            "ask", "Who?", str(book), "--max-iterations", "2", "-q", "-m", "openai/any", "--base-url", server.openai_url
        )
    (run,) = (path.name for path in (tmp_path / "runs").iterdir() if not path.name.startswith("."))
    return run


def test_runs_are_listed_shown_exported_compared_and_pruned(answered: str, tmp_path: Path) -> None:
    assert answered in rlm("runs").stdout
    facts = json.loads(rlm("runs", "--json").stdout)
    assert (facts["run"], facts["state"], facts["question"]) == (answered, "max_iterations", "Who?")
    assert "Who?" in rlm("show", "last").stdout
    for name, sign in (("html", "<!doctype html>"), ("markdown", "Who?"), ("notebook", '"nbformat"'), ("chat", "role")):
        done = rlm("export", answered[:12], "--format", name, "-o", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert sign in (tmp_path / name).read_text().lower() or sign in (tmp_path / name).read_text()
    viewer = rlm("export", "last", "-f", "viewer", "-o", "-").stdout
    (tmp_path / "log.jsonl").write_text(viewer)
    imported = rlm("import", str(tmp_path / "log.jsonl"))
    assert imported.returncode == 0, imported.stderr
    assert "Who?" in rlm("compare", answered, imported.stdout.strip()).stdout
    assert "1 runs would be removed" in rlm("prune", "--keep", "1", "--dry-run").stdout
    assert "1 runs were removed" in rlm("prune", "--keep", "1").stdout
    assert len(rlm("runs").stdout.splitlines()) == 1


def test_a_run_goes_on_again_and_otherwise_from_the_command_line(answered: str, book: Path) -> None:
    with FakeServer(["```repl\nanswer['content'] = word + '!'\nanswer['ready'] = True\n```"] * 2) as server:
        address = ["--base-url", server.openai_url]
        resumed = rlm("resume", answered, "--max-iterations", "5", *address)
        assert (resumed.returncode, resumed.stdout.strip()) == (0, "ONE!"), resumed.stderr
        forked = rlm("fork", answered, "--turn", "1", "--question", "And now?", "-q", *address)
        assert (forked.returncode, forked.stdout.strip()) == (0, "ONE!"), forked.stderr
        assert len(server.requests) == 2
    replayed = rlm("replay", answered, "-q")
    assert (replayed.returncode, replayed.stdout.strip()) == (0, "ONE!"), replayed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume", "nothing"], "There is no run 'nothing'"),
        (["fork", "last", "--turn", "9"], "has 2 turns"),
        (["export", "last", "-f", "pdf"], "Unknown format 'pdf'. Formats: notebook, html"),
        (["export", "last", "-o", "no/such/place"], "cannot be written"),
        (["import", "book.txt"], "cannot be read"),
        (["prune"], "Say what may go"),
        (["compare", "last"], ""),
    ],
)
def test_a_mistake_about_runs_is_one_line(answered: str, arguments: list[str], message: str) -> None:
    done = rlm(*arguments)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1
