"""``rlm ask --estimate`` and ``--ask-above``, with a terminal, a pipe and nothing at its standard input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_kernel.events.values import Usage
from tests.estimate.past import wrote
from tests.providers.fake_servers import FakeServer

MODEL = "openai/gpt-5-mini"
ANSWER = "```repl\nanswer['content'] = context.split()[-1]\nanswer['ready'] = True\n```"
SECONDS = 50


@pytest.fixture
def book(tmp_path: Path) -> Path:
    for number in range(3):
        wrote(number, calls=40, usage=Usage.of_call(100_000, 0), options={"model": MODEL, "sub_model": None})
    path = tmp_path / "book.txt"
    path.write_text("It was the butler.")
    return path


def command(server: FakeServer, book: Path, *more: str) -> list[str]:
    options = ["-m", MODEL, "--base-url", server.openai_url, *more]
    return [sys.executable, "-m", "rlm_kernel", "ask", "Who was it?", str(book), *options]


def at_a_terminal(words: list[str], typed: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard input is a terminal, with what somebody has typed there."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, typed.encode())
        return subprocess.run(words, stdin=theirs, capture_output=True, text=True, timeout=SECONDS, check=False)
    finally:
        os.close(ours)
        os.close(theirs)


def journals() -> int:
    return len([name for name in os.listdir(os.environ["RLM_RUNS_DIR"]) if not name.startswith(".")])


def test_an_estimate_is_printed_and_nobody_asked(book: Path) -> None:
    with FakeServer([]) as server:
        done = subprocess.run(
            command(server, book, "--estimate"), capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert server.requests == []
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "18 bytes of text, about 4 tokens; past runs like this: 40 calls, $1.00, 9 s (3 runs)\n"
    assert journals() == 3


def test_yes_lets_it_begin(book: Path) -> None:
    with FakeServer([ANSWER]) as server:
        done = at_a_terminal(command(server, book, "--ask-above", "0.5"), "y\n")
    assert (done.returncode, done.stdout.strip()) == (0, "butler.")
    assert "This may cost $1.00 by 3 past runs, above your $0.50. Start it? [y/N] " in done.stderr


@pytest.mark.parametrize("typed", ["n\n", "\n", "\x04"], ids=["n", "enter", "end of input"])
def test_no_is_one_line_and_leaves_nothing(book: Path, typed: str) -> None:
    with FakeServer([ANSWER]) as server:
        done = at_a_terminal(command(server, book, "--ask-above", "0.5"), typed)
        assert server.requests == []
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was" in done.stderr
    assert "Traceback" not in done.stderr
    assert journals() == 3


@pytest.mark.parametrize("given", [subprocess.DEVNULL, subprocess.PIPE], ids=["nothing", "a pipe"])
def test_where_there_is_no_terminal_it_is_refused_and_does_not_wait(book: Path, given: int) -> None:
    with FakeServer([ANSWER]) as server:
        process = subprocess.Popen(
            command(server, book, "--ask-above", "0.5"), stdin=given, stderr=subprocess.PIPE, text=True
        )
        assert process.wait(SECONDS) == 1, "with the pipe still open"
        assert server.requests == []
        _, errors = process.communicate()
    assert errors == (
        "rlm: This may cost $1.00 by 3 past runs, above your $0.50. Nobody can be asked here, so nothing was started. "
        "Raise --ask-above or leave it out, or let --max-cost 0.5 end the run there.\n"
    )
    assert journals() == 3


def test_a_configuration_may_say_it(book: Path, tmp_path: Path) -> None:
    (tmp_path / "rlm.toml").write_text("ask_above = 0.5\n")
    with FakeServer([ANSWER, ANSWER]) as server:
        config = ["--config", str(tmp_path / "rlm.toml")]
        refused = subprocess.run(
            command(server, book, *config), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS
        )
        assert "Nobody can be asked here" in refused.stderr
        done = subprocess.run(
            command(server, book, *config, "--ask-above", "2"), capture_output=True, text=True, timeout=SECONDS
        )
    assert (done.returncode, done.stdout.strip()) == (0, "butler.")


@pytest.mark.parametrize(
    ("config", "arguments", "message"),
    [
        ("ask_above = 'much'", [], "ask_above='much': expected US dollars, 0 or more"),
        ("", ["--ask-above", "-1"], "ask_above=-1.0: expected US dollars, 0 or more"),
        ("", ["--ask-above", "1", "--max-calls", "-3"], "max_calls=-3"),
        ("", ["--estimate", "--model", "nobody/x"], "Unknown provider 'nobody'"),
    ],
)
def test_a_mistake_is_one_line(book: Path, tmp_path: Path, config: str, arguments: list[str], message: str) -> None:
    (tmp_path / "rlm.toml").write_text(config)
    with FakeServer([]) as server:
        words = command(server, book, "--config", str(tmp_path / "rlm.toml"), *arguments)
        done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert message in done.stderr


def test_the_magic_in_a_terminals_ipython_asks_too(book: Path, tmp_path: Path) -> None:
    with FakeServer([ANSWER]) as server:
        line = f"%rlm -c {book} -o who -m {MODEL} --base-url {server.openai_url} --ask-above 0.5 Who"
        script = tmp_path / "ask.ipy"
        script.write_text(f"%load_ext rlm_magic\n{line}\nprint(who)\n")
        words = [sys.executable, "-m", "IPython", "--no-banner", str(script)]
        done = at_a_terminal(words, "y\n")
        assert done.stdout.strip().splitlines()[-1].endswith("butler."), done.stderr
        assert "[y/N]" in done.stdout
        nobody = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)
    assert "Nobody can be asked here" in nobody.stdout + nobody.stderr
    assert "Traceback" not in nobody.stdout + nobody.stderr
