"""The ``rlm`` command, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.providers.fake_servers import FakeServer


def rlm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rlm_kernel", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=50)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("It was the butler.")
    return path


ANSWER = "```repl\nanswer['content'] = context.split()[-1]\nanswer['ready'] = True\n```"


def test_ask_answers_over_a_file_with_any_compatible_server(book: Path) -> None:
    with FakeServer([ANSWER]) as server:
        done = rlm("ask", "Who was it?", str(book), "--model", "openai/any", "--base-url", server.openai_url)
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (0, "butler.")
    assert "Traceback" not in done.stderr


def test_ask_says_which_limit_stopped_it(book: Path) -> None:
    with FakeServer(["```repl\nanswer['content'] = 'maybe'\n```"]) as server:
        done = rlm(
            "ask", "Who?", str(book), "--max-iterations", "1", "-m", "openai/any", "--base-url", server.openai_url
        )
    assert (done.returncode, done.stdout.strip().splitlines()[-1]) == (1, "maybe")
    assert "stopped by max_iterations; journal:" in done.stderr


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
    spec = json.loads(listed.stdout)["kernelspecs"]["rlm"]["spec"]
    assert spec["display_name"] == "RLM"
    assert "rlm_magic" in spec["argv"]
