"""The viewer's JSON lines: read here by the rules of the viewer, and held against a log that `rlms` itself wrote."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from rlm_kernel import RLM, ScriptedModel, journal
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.viewer import to_viewer
from tests.events import stories
from tests.host.script import cell, done
from tests.imports import LOGS, PEER, WRITER
from tests.sinks import hostile


class Viewer:
    """What the viewer makes of a file. It fails where the viewer's page would."""

    def __init__(self, text: str) -> None:
        rows = [_strict(line) for line in text.strip().split("\n") if line.strip()]
        self.config = next((row for row in rows if row["type"] == "metadata"), {})
        self.iterations = [row for row in rows if row["type"] != "metadata"]
        for iteration in self.iterations:
            self._iteration(iteration)
        self.blocks = [block for iteration in self.iterations for block in iteration["code_blocks"]]
        self.calls = [call for block in self.blocks for call in block["result"]["rlm_calls"]]
        finals = [iteration["final_answer"] for iteration in self.iterations if iteration["final_answer"]]
        self.answer = finals[-1] if finals else None
        self.has_errors = any(block["result"]["stderr"] for block in self.blocks)
        self.context = next((block["result"]["locals"].get("context") for block in self.blocks), None)

    def _iteration(self, row: dict[str, Any]) -> None:
        assert isinstance(row["prompt"], list)
        assert all(isinstance(message["content"], str) for message in row["prompt"])
        assert isinstance(row["response"], str)
        assert row["iteration_time"] is None or isinstance(row["iteration_time"], float)
        assert row["final_answer"] is None or isinstance(row["final_answer"], str)
        for block in row["code_blocks"]:
            result = block["result"]
            assert isinstance(block["code"], str)
            assert isinstance(result["stdout"], str)
            assert isinstance(result["stderr"], str)
            assert isinstance(result["locals"], dict)
            assert f"{result['execution_time']:.2f}"
            for call in result["rlm_calls"]:
                assert isinstance(call["prompt"], str)
                assert call["response"][:500] is not None
                assert f"{call['execution_time']:.2f}"
                assert {"prompt_tokens", "completion_tokens"} <= call.keys()

    @property
    def title(self) -> str:
        """The question, as it is looked for in the first prompt."""
        for message in self.iterations[0]["prompt"]:
            if message["role"] == "user" and 50 < len(message["content"]) < 500:
                return str(message["content"][:200])
        return "Context available in REPL environment"


def _strict(line: str) -> dict[str, Any]:
    """Read JSON as a browser does, which knows no NaN."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    row: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return row


async def a_run(**options: Any) -> list[Event]:
    """A real run with a failing cell, a plain call, a call that fails, and a child."""

    def reply(messages: list[dict[str, str]]) -> str:
        said = sum(message["role"] == "assistant" for message in messages)
        if "Do what `context` asks" in messages[1]["content"]:
            return done("llm_query('name her')")
        return [
            cell("print(context)\n1 / 0"),
            cell("got = llm_query_batched(['who?', 'fail'])\nwho = rlm_query('Who keeps bees?')\nprint(got[0], who)"),
            done("who"),
        ][said]

    def sub(messages: list[dict[str, str]]) -> str:
        if messages[-1]["content"] == "fail":
            raise ValueError("no")
        return "Agnes"

    rlm = RLM(reply, sub_model=sub, max_depth=2, **options)
    completion = await rlm.acompletion("Who keeps bees on the island of Skarholm?", "The keeper keeps bees.")
    return list(journal.read(completion.run_dir))


class TestARealRun:
    async def test_the_viewer_shows_it(self) -> None:
        stream = await a_run()
        viewer = Viewer(to_viewer(stream))
        assert len(viewer.iterations) == 3
        assert viewer.answer == "Agnes"
        assert viewer.has_errors
        assert "Who keeps bees on the island of Skarholm?" in viewer.title
        assert viewer.context
        assert "22 characters" in viewer.context
        assert viewer.blocks[0]["code"] == "print(context)\n1 / 0"
        assert viewer.blocks[0]["result"]["stdout"] == "The keeper keeps bees.\n"
        assert "ZeroDivisionError" in viewer.blocks[0]["result"]["stderr"]

    async def test_its_calls_and_its_child(self) -> None:
        who, failed, child = Viewer(to_viewer(await a_run())).calls
        assert (who["prompt"], who["response"]) == ("who?", "Agnes")
        assert failed["response"].startswith("Error: ")
        assert "no" in failed["error"]
        assert "error" not in who
        assert child["response"] == "Agnes"
        below = child["metadata"]
        assert below["run_metadata"]["root_model"] == child["root_model"]
        Viewer("\n".join(map(json.dumps, below["iterations"])))
        assert below["iterations"][0]["final_answer"] == "Agnes"

    async def test_every_prompt_is_whole(self) -> None:
        root = ScriptedModel([cell("print(1)"), done("2")])
        completion = await RLM(root).acompletion("q", "c")
        viewer = Viewer(to_viewer(journal.read(completion.run_dir)))
        asked = [[(m.role, m.content) for m in messages] for messages in root.requests]
        assert [[(m["role"], m["content"]) for m in row["prompt"]] for row in viewer.iterations] == asked

    async def test_its_first_line_is_the_configuration_without_secrets(self) -> None:
        stream = await a_run(api_key="sk-a-secret-key", max_iterations=7)
        text = to_viewer(stream)
        config = Viewer(text).config
        assert (config["max_depth"], config["max_iterations"], config["other_backends"]) == (2, 7, None)
        assert isinstance(config["backend_kwargs"], dict)
        assert isinstance(config["environment_kwargs"], dict)
        assert "sk-a-secret-key" not in text

    async def test_last_words_are_an_iteration_without_cells(self) -> None:
        root = ScriptedModel([cell("print('here')"), "It is here."])
        completion = await RLM(root, max_iterations=1).acompletion("q", "c")
        first, last = Viewer(to_viewer(journal.read(completion.run_dir))).iterations
        assert (first["final_answer"], last["final_answer"]) == (None, "It is here.")
        assert first["response"] == cell("print('here')")
        assert [len(row["code_blocks"]) for row in (first, last)] == [1, 0]


@pytest.fixture(scope="module", params=["kept", "written now"])
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A log of the library's own: the one that is kept, and one that it writes now, where it is installed."""
    file = LOGS / "rlms.jsonl"
    if request.param == "written now":
        if not PEER.exists():
            pytest.skip("rlms is not installed in .venv-rlms; the log that is kept is the check")
        folder = tmp_path_factory.mktemp("rlms")
        subprocess.run([PEER, WRITER, folder], check=True, capture_output=True)
        (file,) = folder.glob("one_*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


class TestBesideALogOfTheLibrary:
    """What `RLMLogger` writes has no key that ours has not, in the same places."""

    async def test_ours_has_every_key_of_theirs(self, theirs: list[dict[str, Any]]) -> None:
        ours = [json.loads(line) for line in to_viewer(await a_run()).splitlines()]
        assert _shape(theirs).keys() <= _shape(ours).keys()

    async def test_and_the_same_kinds_of_values(self, theirs: list[dict[str, Any]]) -> None:
        ours, others = _shape([json.loads(line) for line in to_viewer(await a_run()).splitlines()]), _shape(theirs)
        assert {place: ours[place] & kinds for place, kinds in others.items() if not ours[place] & kinds} == {}


def _shape(value: Any, place: str = "") -> dict[str, set[str]]:
    """The kinds of values at each place; models' names and what variables hold are no part of it."""
    kind = {int: "number", float: "number"}.get(type(value), type(value).__name__)
    found: dict[str, set[str]] = {place: {kind}}
    inside: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        of_models = place.endswith("model_usage_summaries")
        free = place.endswith((".locals", "_kwargs"))
        inside = [("*" if of_models else key, item) for key, item in value.items() if not free]
    elif isinstance(value, list):
        inside = [(f"[{item.get('type', '')}]" if isinstance(item, dict) else "[]", item) for item in value]
    for name, item in inside:
        for where, kinds in _shape(item, f"{place}.{name}").items():
            found.setdefault(where, set()).update(kinds)
    return found


def test_tokens_that_are_not_known_are_null_and_the_sum_is_of_the_known() -> None:
    calls = [
        *stories.call(1, "p", "r", usage=Usage.of_call(None, None)),
        *stories.call(2, "p", "r", usage=Usage.of_call(10, 1, cost=0.5)),
    ]
    stream = stories.numbered(*stories.began(), *stories.turn(1, "w", *stories.cell("c", *calls)), *stories.ended("a"))
    unknown, known = Viewer(to_viewer(stream)).calls
    assert (unknown["prompt_tokens"], unknown["completion_tokens"]) == (None, None)
    assert "total_cost" not in unknown["usage_summary"]
    assert (known["prompt_tokens"], known["usage_summary"]["total_cost"]) == (10, 0.5)


def test_calls_of_no_known_cell_are_not_lost() -> None:
    stray = stories.call(1, "from a thread", "r", index=None)
    stream = stories.numbered(*stories.began(), *stories.turn(1, "w", *stories.cell("c")), *stray, *stories.ended("a"))
    assert [call["prompt"] for call in Viewer(to_viewer(stream)).calls] == ["from a thread"]


def test_times_that_are_not_known_are_null() -> None:
    said = events.ModelReplied(iteration=1, text="w", usage=Usage(), seconds=0.0)
    stream: list[Event] = [*stories.began(), events.ModelRequested(iteration=1, messages=()), said]
    first, iteration = [json.loads(line) for line in to_viewer(stream).splitlines()]
    assert (first["timestamp"], iteration["timestamp"]) == (None, None)


@pytest.mark.parametrize("name", hostile.TEXTS)
def test_hostile_texts_break_no_line(name: str) -> None:
    text = to_viewer(hostile.run(hostile.TEXTS[name]))
    text.encode()
    assert len(text.splitlines()) == len(text.strip().split("\n")) == 3
    assert len(Viewer(text).iterations) == 2


def test_any_prefix_of_a_run_can_be_viewed() -> None:
    whole = stories.mystery()
    for length in range(len(whole)):
        Viewer(to_viewer(whole[:length]))
