"""Logs of fast-rlm, of today and of its first versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLMError, exports, imports
from rlm_kernel.events.codec import from_json, to_json
from rlm_kernel.events.tree import Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.dialogues import turns
from rlm_kernel.host import parse
from tests.imports import LOGS


@pytest.fixture(params=["fast_rlm", "fast_rlm_old"])
def stream(request: pytest.FixtureRequest) -> list[Event]:
    return imports.read(LOGS / f"{request.param}.jsonl")


@pytest.fixture
def tree() -> Tree:
    return fold(imports.read(LOGS / "fast_rlm.jsonl"))


def entries(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (LOGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_question_and_answer(tree: Tree) -> None:
    assert tree.question == "Which of the two chapters is longer, and by how many words?"
    assert tree.root.value == {"longer": 2, "words": 500}
    assert tree.answer == '{"longer": 2, "words": 500}'
    assert (tree.stop_reason, tree.root.context["description"]) == ("answered", "a str of 59 characters")


def test_steps_are_iterations_and_the_look_at_the_context_is_a_message(tree: Tree) -> None:
    assert [turn.index for turn in tree.root.iterations] == [1, 2, 3]
    cells = [turn.cells[0] for turn in tree.root.iterations]
    assert [cell.status for cell in cells] == ["error", "ok", "ok"]
    assert cells[0].outputs[0].text == "\nError: DELEGATION_REJECTED "
    assert cells[1].outputs == []
    assert cells[2].code == "FINAL({'longer': 2, 'words': 500})"
    (shown,) = turns(imports.read(LOGS / "fast_rlm.jsonl"))["0"][0].messages
    assert shown.content.startswith("Context type:  <class 'str'>")


def test_agents_that_ran_side_by_side_are_children_of_the_cell_that_called_them(tree: Tree) -> None:
    first, second, third = tree.root.iterations[0].cells[0].calls
    assert [call.text for call in (first, second, third)] == ["1200", "1700", ""]
    assert [call.question for call in (first, second)] == [
        "Count the words of chapter 1.",
        "Count the words of chapter 2.",
    ]
    assert (third.state, third.error) == ("error", "The log has no final result of it.")
    assert second.started < tree.started + 3.3
    assert second.started + (second.seconds or 0) < first.started + (first.seconds or 0)


def test_a_reply_without_code_has_no_cell(tree: Tree) -> None:
    first = tree.root.calls[0]
    assert [len(turn.cells) for turn in first.iterations] == [0, 1]
    assert first.iterations[0].text == "I should count."


def test_usage_and_times_are_those_of_the_log(tree: Tree) -> None:
    logged = [entry["usage"] for entry in entries("fast_rlm") if entry.get("step")]
    assert tree.usage.tokens == sum(used["total_tokens"] for used in logged)
    assert tree.usage.cost == pytest.approx(sum(used["cost"] for used in logged))
    assert tree.usage.cache_read_tokens == sum(used["cached_tokens"] for used in logged)
    assert (tree.usage.unreported, tree.usage.unpriced) == (0, 0)
    assert [turn.seconds for turn in tree.root.iterations] == pytest.approx([1.8, 0.7, 1.2])
    assert [turn.cells[0].seconds for turn in tree.root.iterations] == pytest.approx([3.9, 0.05, 0.05])
    assert tree.seconds == pytest.approx(9.502)


class TestOldLogs:
    @pytest.fixture
    def tree(self) -> Tree:
        return fold(imports.read(LOGS / "fast_rlm_old.jsonl"))

    def test_a_long_context_is_shown_by_its_beginning(self, tree: Tree) -> None:
        assert tree.question == f"{('The ledger of Skarholm. ' * 50)[:500]}…"
        assert tree.root.context["length"] == 1200

    def test_zeros_are_unknown(self, tree: Tree) -> None:
        assert tree.root.usage == Usage(1, unreported=1, unpriced=1)
        assert tree.root.calls[0].usage == Usage(1, 400, 10, unpriced=1)

    def test_a_run_without_a_final_result_has_failed(self, tree: Tree) -> None:
        assert (tree.state, tree.error) == ("error", "The log has no final result of it.")
        assert tree.root.calls[0].text == "Agnes"


def test_a_reply_holds_its_code_in_a_fence_that_the_code_cannot_close(stream: list[Event]) -> None:
    for node in fold(stream).root.walk():
        for turn in node.iterations:
            assert list(parse.cells(turn.text).code) == [cell.code for cell in turn.cells]


def test_it_can_be_a_journal_and_every_export(stream: list[Event]) -> None:
    assert [from_json(to_json(event)) for event in stream] == stream
    assert [event.seq for event in stream] == list(range(len(stream)))
    for name in exports.FORMATS:
        assert exports.export(stream, name)


def test_several_runs_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    path.write_text("".join((LOGS / f"{name}.jsonl").read_text() for name in ("fast_rlm", "fast_rlm_old")))
    with pytest.raises(RLMError, match="holds 2 completions"):
        imports.read(path)
    assert fold(imports.read(path, 2)).root.calls[0].text == "Agnes"


def test_agents_that_call_each_other_in_a_ring_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ring.jsonl"
    ring = [{"event_type": "agent_start", "run_id": a, "parent_run_id": b} for a, b in (("a", "b"), ("b", "a"))]
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in ring))
    with pytest.raises(RLMError, match="has no agent that was not called by another"):
        imports.read(path)


def test_values_of_other_kinds(tmp_path: Path) -> None:
    odd: dict[str, Any] = {"event_type": "execution_result", "run_id": "r", "step": 1, "time": [], "depth": "deep"}
    odd |= {"code": 7, "output": {"a": 1}, "usage": "none", "timestamps": [1], "reasoning": None, "hasError": "no"}
    path = tmp_path / "odd.jsonl"
    path.write_text(f"{json.dumps(odd)}\n{json.dumps({'event_type': 'later', 'run_id': 'r'})}\n{{}}\n")
    (turn,) = fold(imports.read(path)).root.iterations
    assert (turn.cells[0].code, turn.cells[0].outputs[0].text, turn.cells[0].status) == ("7", '{"a": 1}', "ok")
    assert turn.usage.unreported == 1
