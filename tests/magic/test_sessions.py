"""``%%rlm --session NAME``: several questions in one live kernel."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.conftest import kernels_of, still_there
from tests.magic.vocabulary import Notebook, notebook
from tests.providers.fake_servers import FakeServer

COUNT = "```repl\nn = len(context)\nanswer['content'] = n\nanswer['ready'] = True\n```"
AGAIN = "```repl\nanswer['content'] = [n, len(context), context_0[:2]]\nanswer['ready'] = True\n```"


def ask(nb: Notebook, server: FakeServer, line: str, question: str = "How long is it?") -> str:
    ran = nb.run(f"%%rlm --into found --model openai/any --base-url {server.openai_url} {line}\n{question}")
    assert ran.ok, ran.trouble
    return nb.value("found")


def test_the_next_question_is_asked_in_the_same_kernel_until_it_is_closed() -> None:
    with notebook() as nb, FakeServer([COUNT, AGAIN, AGAIN, COUNT, COUNT, AGAIN]) as server:
        nb.run("%load_ext rlm_magic\nbook = 'It was the butler.'; note = 'No.'")
        assert ask(nb, server, "--session a --context book") == "18"
        assert ask(nb, server, "--session a", "And again?") == "[18, 18, 'It']"
        assert ask(nb, server, "--session a --context note", "And this?") == "[18, 3, 'It']"
        assert ask(nb, server, "--session b --context note") == "3"
        assert nb.complete("%rlm_close ") == ["a", "b"]

        for line, message in {
            "--session a --max-calls 3": "--session a began with max_calls=None, and goes on with it",
            "--session a --replay last": "--session asks the next question in its own kernel",
            "--session a --vs-plain 2": "--session asks the next question in its own kernel",
        }.items():
            ran = nb.run(f"%%rlm {line}\nq")
            assert not ran.ok
            assert message in ran.trouble
            assert "Traceback" not in ran.trouble

        assert nb.run("%rlm_close a").ok
        ran = nb.run("%rlm_close a")
        assert "There is no session 'a'. Open: b." in ran.trouble
        assert ask(nb, server, "--session a --context note --max-calls 3", "Anew?") == "3"
        assert nb.run("%rlm_close").ok
        assert "a" not in nb.complete("%rlm_close ")
        assert kernels_of(nb.manager.provisioner.pid) == []  # type: ignore[union-attr]


@pytest.mark.parametrize("now", [False, True], ids=["shut down", "killed"])
def test_sessions_end_with_the_notebooks_kernel(now: bool) -> None:
    with notebook() as nb, FakeServer([COUNT]) as server:
        nb.run("%load_ext rlm_magic\nbook = 'x'")
        ask(nb, server, "--session a --context book")
        pid = nb.manager.provisioner.pid  # type: ignore[union-attr]
        inside = kernels_of(pid)
        assert inside
        nb.manager.shutdown_kernel(now=now)
    assert not still_there(inside)
    if not now:
        assert not list(Path(tempfile.gettempdir()).glob(f"rlm-{pid}-*")), "the input is removed too"
