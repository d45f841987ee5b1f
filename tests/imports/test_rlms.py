"""Logs of `rlms`: real ones, our own in its format, and what a log cannot say."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, RLMError, ScriptedModel, imports, journal
from rlm_kernel.events import types as events
from rlm_kernel.events.codec import from_json, to_json
from rlm_kernel.events.tree import Node, Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.dialogues import turns
from rlm_kernel.exports.viewer import to_viewer
from tests.events import stories
from tests.exports.test_viewer import a_run
from tests.host.script import cell, done
from tests.imports import LOGS, PEER, WRITER
from tests.sinks import hostile

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(*rows: Any) -> Path:
        path = tmp_path / "log.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return path

    return written


@pytest.fixture(scope="module", params=["kept", "written now"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two logs of the library's own: those that are kept, and some that it writes now, where it is installed."""
    if request.param == "kept":
        return LOGS
    if not PEER.exists():
        pytest.skip("rlms is not installed in .venv-rlms; the logs that are kept are the check")
    made = tmp_path_factory.mktemp("rlms")
    subprocess.run([PEER, WRITER, made], check=True, capture_output=True)
    for name, kept in (("one", "rlms"), ("two", "rlms_two_completions")):
        next(made.glob(f"{name}_*")).rename(made / f"{kept}.jsonl")
    return made


class TestARealLog:
    @pytest.fixture
    def stream(self, folder: Path) -> list[Event]:
        return imports.read(folder / "rlms.jsonl")

    def test_question_answer_and_context(self, stream: list[Event]) -> None:
        tree = fold(stream)
        assert (tree.question, tree.answer) == ("Who keeps bees, and where?", "Agnes Holloway, at Skarholm")
        assert (tree.state, tree.stop_reason, tree.root.model) == ("ok", "answered", "gpt-5-mini")
        assert tree.root.context["description"] == "a str of 80 characters"

    def test_cells_and_outputs(self, stream: list[Event]) -> None:
        cells = [cell for turn in fold(stream).root.iterations for cell in turn.cells]
        assert [cell.status for cell in cells] == ["ok", "ok", "error", "ok"]
        assert cells[0].outputs[0].text == "80\nThe keeper Agnes Hol\n"
        assert "NameError: name 'nobody' is not defined" in cells[2].outputs[0].text
        assert cells[0].code == "print(len(context))\nprint(context[:20])"

    def test_plain_calls_and_a_child_with_its_own(self, stream: list[Event]) -> None:
        plain, child = fold(stream).root.calls
        assert (plain.kind, plain.text, plain.usage) == ("llm", "Skarholm", Usage(1, 120, 7, unpriced=1))
        assert (child.kind, child.text, len(child.iterations)) == ("rlm", "Agnes Holloway", 2)
        (below,) = child.calls
        assert (below.id, below.text) == ("0.2.1", "Agnes Holloway")
        assert child.usage == Usage(2, 240, 14, unpriced=2)  # of three calls, without the plain one

    def test_what_the_root_used_is_not_known(self, stream: list[Event]) -> None:
        tree = fold(stream)
        assert tree.root.usage == Usage(3, unreported=3, unpriced=3)
        assert any("does not say what the root model used" in note for note in tree.root.notes)

    def test_every_turn_has_the_messages_that_were_sent(self, folder: Path, stream: list[Event]) -> None:
        lines = [json.loads(line) for line in (folder / "rlms.jsonl").read_text(encoding="utf-8").splitlines()][1:]
        sent = [[(m.role, m.content) for m in turn.messages] for turn in turns(stream)["0"]]
        assert sent == [[(m["role"], m["content"]) for m in line["prompt"]] for line in lines]

    def test_a_childs_turns_are_told_apart(self, stream: list[Event]) -> None:
        """Its prompts are one list in the library, so that each holds what was said after it too."""
        first, second = turns(stream)["0.2"]
        assert [m.role for m in first.messages] == ["system", "user", "user"]
        assert second.messages[: len(first.messages)] == first.messages
        assert second.messages[len(first.messages)].content == first.text

    def test_times_are_those_of_the_log(self, folder: Path, stream: list[Event]) -> None:
        lines = [json.loads(line) for line in (folder / "rlms.jsonl").read_text(encoding="utf-8").splitlines()][1:]
        tree = fold(stream)
        spent = [turn.seconds + sum(cell.seconds or 0 for cell in turn.cells) for turn in tree.root.iterations]  # type: ignore[operator]
        assert spent == pytest.approx([line["iteration_time"] for line in lines])
        asked = [event.time for event in stream if isinstance(event, events.ModelRequested) and event.node == "0"]
        assert asked == sorted(asked)
        assert tree.root.calls[1].started >= tree.root.calls[0].started >= tree.started > 0

    def test_it_can_be_a_journal(self, stream: list[Event]) -> None:
        assert [from_json(to_json(event)) for event in stream] == stream
        assert [event.seq for event in stream] == list(range(len(stream)))

    def test_nothing_of_the_clients_options_is_taken(self, write: Write) -> None:
        header = {"type": "metadata", "root_model": "m", "backend_kwargs": {"default_headers": {"x": "a-secret"}}}
        assert "a-secret" not in str(imports.read(write(header)))


class TestSeveralCompletions:
    def test_one_has_to_be_chosen(self, folder: Path) -> None:
        path = folder / "rlms_two_completions.jsonl"
        with pytest.raises(RLMError, match=r"holds 2 completions. Choose one with completion=1 to 2\."):
            imports.read(path)
        assert fold(imports.read(path, 1)).question == "Who is it?"
        assert fold(imports.read(path, completion=2)).question == "Who is never named?"
        with pytest.raises(RLMError, match="there is no completion=3"):
            imports.read(path, 3)

    def test_all_of_them(self, folder: Path) -> None:
        first, second = map(fold, imports.read_all(folder / "rlms_two_completions.jsonl"))
        assert first.run != second.run
        assert (first.stop_reason, second.stop_reason) == ("answered", "max_iterations")
        assert second.answer == "It is not to be found."
        assert [len(turn.cells) for turn in second.root.iterations] == [1, 1, 1, 0]

    def test_last_words_are_marked(self, folder: Path) -> None:
        stream = imports.read(folder / "rlms_two_completions.jsonl", 2)
        asked = [event.last for event in stream if isinstance(event, events.ModelRequested)]
        assert asked == [False, False, False, True]


def told(tree: Tree) -> Any:
    """What a log of `rlms` can say of a run."""

    def node(one: Node) -> Any:
        cells = [
            [(cell.code, texts(cell.outputs), cell.status, [node(call) for call in cell.calls]) for cell in turn.cells]
            for turn in one.iterations
        ]
        said = [turn.text for turn in one.iterations]
        return one.id, one.kind, one.question, one.model, one.state, one.text, one.error, one.usage, said, cells

    def texts(outputs: list[Any]) -> Any:
        wrong = ("stderr", "error")
        return (
            "".join(output.text for output in outputs if output.kind not in wrong),
            "".join(output.text for output in outputs if output.kind in wrong),
        )

    return tree.run, tree.question, tree.answer, tree.stop_reason, tree.root.context, tree.usage, node(tree.root)


class TestThereAndBack:
    """A run of ours, written for the viewer and read again, says the same."""

    async def test_a_real_run(self, tmp_path: Path) -> None:
        stream = await a_run()
        path = tmp_path / "run.jsonl"
        path.write_text(to_viewer(stream), encoding="utf-8")
        again = imports.read(path)
        assert told(fold(again)) == told(fold(stream))
        assert _sent(again) == _sent(stream)

    async def test_it_is_written_as_it_was_read(self, tmp_path: Path) -> None:
        path = tmp_path / "run.jsonl"
        path.write_text(to_viewer(await a_run()), encoding="utf-8")
        first = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        again = [json.loads(line) for line in to_viewer(imports.read(path)).splitlines()]
        assert [row.get("response") for row in again] == [row.get("response") for row in first]
        assert [row.get("prompt") for row in again] == [row.get("prompt") for row in first]

    def test_a_story_with_a_child_and_a_failed_call(self, tmp_path: Path) -> None:
        path = tmp_path / "run.jsonl"
        path.write_text(to_viewer(stories.mystery()), encoding="utf-8")
        there, back = told(fold(stories.mystery())), told(fold(imports.read(path)))
        assert back[:4] == there[:4]
        assert back[-1] == there[-1]

    @pytest.mark.parametrize("options", [{"compat": "rlms"}, {"user_prologue": "Be brief."}, {}])
    async def test_summaries(self, options: dict[str, Any], tmp_path: Path) -> None:
        said = [cell(f"print('{n}' * 3000)") for n in range(4)]
        root = ScriptedModel([*said, "I found 0, 1, 2 and 3.", cell("print(5)"), done("'done'")])
        completion = await RLM(root, context_window=4000, compaction=0.85, **options).acompletion("q", "c")
        again, stream = self.there_and_back(completion, tmp_path)
        assert _sent(again) == _sent(stream)
        (compacted,) = [event for event in again if isinstance(event, events.Compacted)]
        assert "I found 0, 1, 2 and 3." in compacted.summary

    async def test_replies_that_were_not_kept_whole(self, tmp_path: Path) -> None:
        root = ScriptedModel([cell("x = 1") + "\nIt prints 7.\n" + cell("x = 7"), cell("print(x)"), done("x")])
        again, stream = self.there_and_back(await RLM(root, cells="first").acompletion("q", "c"), tmp_path)
        assert _sent(again) == _sent(stream)
        assert not [event for event in again if isinstance(event, events.Compacted)]
        assert "It prints 7." in fold(again).root.iterations[0].text

    def there_and_back(self, completion: Completion, folder: Path) -> tuple[list[Event], list[Event]]:
        stream = list(journal.read(completion.run_dir))
        path = folder / "run.jsonl"
        path.write_text(to_viewer(stream), encoding="utf-8")
        return imports.read(path), stream

    @pytest.mark.parametrize("name", hostile.TEXTS)
    def test_hostile_texts(self, name: str, tmp_path: Path) -> None:
        path = tmp_path / "run.jsonl"
        path.write_text(to_viewer(hostile.run(hostile.TEXTS[name])), encoding="utf-8")
        stream = imports.read(path)
        assert fold(stream).root.iterations[0].text
        assert [from_json(to_json(event)) for event in stream] == stream


def _sent(stream: list[Event]) -> Any:
    return {node: [(turn.messages, turn.text) for turn in said] for node, said in turns(stream).items()}


ITERATION: dict[str, Any] = {
    "type": "iteration",
    "iteration": 1,
    "timestamp": "2026-01-12T10:20:30",
    "prompt": [{"role": "user", "content": "q"}],
    "response": "r",
    "code_blocks": [],
    "final_answer": "a",
    "iteration_time": 2.5,
}


def block(**result: Any) -> dict[str, Any]:
    return {"code": "c", "result": {"stdout": "", "stderr": "", "locals": {}, "execution_time": 0.5, **result}}


class TestWhatALogMayHold:
    def one(self, write: Write, **changes: Any) -> Tree:
        return fold(imports.read(write({"type": "metadata", "root_model": "m"}, ITERATION | changes)))

    def test_a_final_answer_of_two_parts(self, write: Write) -> None:
        assert self.one(write, final_answer=["FINAL", "the answer"]).answer == "the answer"

    def test_no_final_answer_is_an_error_that_says_so(self, write: Write) -> None:
        tree = self.one(write, final_answer=None)
        assert (tree.state, tree.error, tree.answer) == ("error", "The log ends without an answer.", "")

    @pytest.mark.parametrize("prompt", ["q", None, {"role": "user"}, [{"role": "tool", "content": [1]}, 7]])
    def test_prompts_of_any_kind(self, write: Write, prompt: Any) -> None:
        assert self.one(write, prompt=prompt).answer == "a"

    @pytest.mark.parametrize(
        ("stderr", "status"),
        [
            ("", "ok"),
            ("UserWarning: slow\n  warn()", "ok"),
            ("\nValueError: no", "error"),
            ("Traceback:\nasyncio.TimeoutError", "error"),
            ("KeyboardInterrupt", "error"),
        ],
    )
    def test_how_a_cell_ended(self, write: Write, stderr: str, status: str) -> None:
        tree = self.one(write, code_blocks=[block(stderr=stderr)])
        assert tree.root.iterations[0].cells[0].status == status

    @pytest.mark.parametrize(
        ("call", "state"),
        [
            ({"response": "", "error": "rate limit"}, "error"),
            ({"response": "Error: Child RLM completion failed", "usage_summary": {}}, "error"),
            (
                {
                    "response": "Error: is what the page says",
                    "usage_summary": {"model_usage_summaries": {"m": {"total_calls": 1}}},
                },
                "ok",
            ),
        ],
    )
    def test_a_text_that_begins_with_error_is_a_failure_only_where_no_model_said_it(
        self, write: Write, call: dict[str, Any], state: str
    ) -> None:
        (made,) = self.one(write, code_blocks=[block(rlm_calls=[call])]).root.calls
        assert made.state == state

    def test_durations_and_counts_that_are_none(self, write: Write) -> None:
        odd = {
            "iteration_time": "long",
            "timestamp": 7e300,
            "code_blocks": [block(execution_time=None, rlm_calls="none", stdout=None)],
        }
        tree = self.one(write, **odd)
        assert (tree.root.iterations[0].seconds, tree.root.iterations[0].cells[0].seconds) == (0.0, 0.0)

    def test_a_log_without_its_first_line(self, write: Write) -> None:
        assert fold(imports.read(write(ITERATION))).answer == "a"

    def test_the_first_line_alone(self, write: Write) -> None:
        tree = fold(imports.read(write({"type": "metadata", "root_model": "m", "timestamp": "2026-01-12T10:20:30"})))
        assert (tree.state, tree.root.model, len(tree.root.iterations)) == ("error", "m", 0)

    def test_a_childs_total_is_split_only_where_its_calls_can_be_told_apart(self, write: Write) -> None:
        def total(calls: int) -> Usage:
            summary = {"model_usage_summaries": {"m": {"total_calls": calls, "total_input_tokens": 10 * calls}}}
            plain = {"response": "r", "usage_summary": {"model_usage_summaries": {"m": {"total_calls": 1}}}}
            inside = [ITERATION | {"code_blocks": [block(rlm_calls=[plain])]}, ITERATION]
            child = {"response": "a", "usage_summary": summary, "metadata": {"iterations": inside}}
            return self.one(write, code_blocks=[block(rlm_calls=[child])]).root.calls[0].usage

        assert total(2).input_tokens == 20
        assert total(3).input_tokens == 30
        assert total(7) == Usage(2, unreported=2, unpriced=2)
