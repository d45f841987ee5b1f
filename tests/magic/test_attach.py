"""``%rlm_attach``: into the live kernel of a session, of a run in the background, and of a cell that runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.magic.vocabulary import SECONDS, Notebook, Ran, notebook
from tests.providers.fake_servers import FakeServer, Request

FIRST = "```repl\nn = [len(context)]\nanswer['content'] = n\nanswer['ready'] = True\n```"
AGAIN = "```repl\nanswer['content'] = n\nanswer['ready'] = True\n```"
BUSY = "```repl\nthis = 'box'\nllm_query('wait')\n```"


def rlm(server: FakeServer, line: str = "", question: str = "How long is it?") -> str:
    return f"%%rlm --into found --model openai/any --base-url {server.openai_url} {line}\n{question}"


def refused(ran: Ran) -> str:
    assert not ran.ok
    assert "Traceback" not in ran.trouble
    assert ran.trouble.startswith("UsageError: ")
    return ran.trouble


def test_a_session_is_stepped_into_continued_by_hand_and_handed_back() -> None:
    with notebook() as nb, FakeServer([FIRST, AGAIN]) as server:
        nb.run("%load_ext rlm_magic\nbook = 'It was the butler.'")
        assert "No run has a live kernel in this process. %%rlm --session NAME" in refused(nb.run("%rlm_attach"))
        assert nb.run(rlm(server, "--session a --context book")).ok
        assert "a" in nb.complete("%rlm_attach ")

        ran = nb.run("%rlm_attach a")
        assert ran.ok, ran.trouble
        (table,) = ran.displays
        assert "context    str\n" in table["text/plain"]
        assert "n          list" in table["text/plain"]
        assert "<bdi>n</bdi>" in table["text/html"]
        assert "repl['variable'] reads one" in ran.stream("stdout")
        assert "repl.execute('code') between two questions" in ran.stream("stdout")
        file = nb.value("str(repl.connection_file)").strip("'")
        assert f"jupyter console --existing {file}" in ran.stream("stdout")

        assert nb.value("(repl['n'], repl['context'])") == "([18], 'It was the butler.')"
        assert nb.value("repl.execute('n.append(2); n')") == "[18, 2]"
        assert nb.run(rlm(server, "--session a", "And now?")).ok
        assert nb.value("found") == "[18, 2]"

        assert nb.run("%rlm_attach --into other").ok, "the last one is meant"
        assert nb.value("other['n']") == "[18, 2]"
        missing = nb.run("other['nope']")
        assert missing.trouble == "ReplError: There is no variable 'nope'. repl.names() lists those there are."

        assert nb.run("%rlm_close").ok
        assert "its kernel has ended with it" in nb.run("repl['n']").trouble
        assert "No run has a live kernel in this process" in refused(nb.run("%rlm_attach"))


def test_a_run_that_is_over_says_how_to_get_at_its_names() -> None:
    with notebook() as nb, FakeServer([FIRST]) as server:
        nb.run("%load_ext rlm_magic\nimport rlm_kernel")
        assert nb.run(rlm(server, "--result all")).ok
        run = nb.value("all.run_dir.name").strip("'")
        said = refused(nb.run(f"%rlm_attach {run}"))
        for way in ("--session NAME", f"%rlm_names {run}", f"%rlm --resume {run}"):
            assert way in said
        assert "is over" in refused(nb.run(f"%rlm_attach {run[:-1]}"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "There is no run 'nonsense'"),
        ("--into 3x", "--into '3x': expected a variable name"),
        ("--into class", "--into 'class': expected a variable name"),
        ("one two", "unrecognized arguments: two"),
        ("--nod", "expected one argument"),
        ("a --node 0.3", "has no live kernel. Nodes that have one now: none"),
    ],
)
def test_bad_lines_are_refused(session: Notebook, line: str, message: str) -> None:
    assert message in refused(session.run(f"%rlm_attach {line}"))


@pytest.fixture(scope="module")
def session() -> Iterator[Notebook]:
    with notebook() as nb, FakeServer([FIRST]) as server:
        nb.run("%load_ext rlm_magic")
        assert nb.run(rlm(server, "--session a")).ok
        yield nb


class Gate:
    """A model's server whose sub-calls wait."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.turns = 0

    def __call__(self, request: Request) -> str:
        if request.prompt == "wait":
            self.reached.set()
            assert self.open.wait(SECONDS)
            return "waited"
        self.turns += 1
        return BUSY if self.turns == 1 else "```repl\nanswer['content'] = this\nanswer['ready'] = True\n```"


def test_a_run_in_the_background_is_stepped_into() -> None:
    gate = Gate()
    with notebook() as nb, FakeServer(gate) as server:
        nb.run("%load_ext rlm_magic\nfrom rlm_kernel import RLM")
        nb.run(f"run = RLM('openai/any', base_url={server.openai_url!r}).start('q', context='c')")
        assert gate.reached.wait(SECONDS)
        ran = nb.run("%rlm_attach")
        assert ran.ok, ran.trouble
        assert "execute" not in ran.stream("stdout"), "it is the run's own"
        assert nb.value("(repl['this'], run.repl['this'])") == "('box', 'box')"
        gate.open.set()
        assert nb.value("run.result().answer") == "'box'"


def test_a_cell_that_runs_is_stepped_into_from_a_subshell() -> None:
    gate = Gate()
    with notebook() as nb, FakeServer(gate) as server:
        nb.run("%load_ext rlm_magic")
        made = nb.client.session.msg("create_subshell_request")
        nb.client.control_channel.send(made)
        subshell = nb.client.get_control_msg(timeout=SECONDS)["content"]["subshell_id"]
        busy = nb.begin(rlm(server))
        assert gate.reached.wait(SECONDS)
        content = {
            "code": "%rlm_attach\nprint(repl['this'], repl.show('answer'))",
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
        }
        asked = nb.client.session.msg("execute_request", content)
        asked["header"]["subshell_id"] = subshell
        nb.client.shell_channel.send(asked)
        printed, deadline = "", time.monotonic() + SECONDS
        while "box" not in printed and time.monotonic() < deadline:
            msg = nb.client.get_iopub_msg(timeout=SECONDS)
            assert msg["msg_type"] != "error", msg["content"]["traceback"]
            printed += msg["content"].get("text", "") if msg["msg_type"] == "stream" else ""
        assert "box {'content': '', 'ready': False}" in printed
        assert not gate.open.is_set(), "the cell still runs"
        gate.open.set()
        assert nb.finish(busy).ok
        assert nb.value("found") == "'box'"
