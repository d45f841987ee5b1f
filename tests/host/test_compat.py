"""``compat="rlms"``: messages, labels and limits as in the harness of that library, for models trained in it.

The expected messages are written out here; where the library itself is installed beside us (see
`tests/benchmarks`), its own functions have to give the same.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel import wire
from rlm_kernel.events.values import Message
from rlm_kernel.host import parse, prompts
from rlm_kernel.host.options.context import ContextOptions
from rlm_kernel.host.options.loop import LoopOptions
from rlm_kernel.host.prompts import CellRecord, Scene, ToolDoc, Turn
from rlm_kernel.host.prompts.rlms import last_error
from tests.kernel.vocabulary import kernel

PEER = Path(__file__).resolve().parents[2] / ".venv-rlms" / "bin" / "python"
BOOK = wire.Loaded(None, "str", 1_234_567, "characters", "a str of 1,234,567 characters", "It begins: Call me")
SCENE = Scene("Who did it?", BOOK, 30)


@dataclass(frozen=True, kw_only=True)
class Some(LoopOptions, ContextOptions):
    """The options that shape prompts, as ``compat="rlms"`` sets them."""

    compat: str | None = "rlms"
    fences: tuple[str, ...] = ("repl",)
    preview: bool = False


def opening(scene: Scene = SCENE, **options: Any) -> list[Message]:
    return prompts.of(Some(**options)).opening(scene)


def heard(*records: CellRecord, **turn: Any) -> list[Message]:
    fields: dict[str, Any] = {"problem": None, "iteration": 1, "iterations": 30, **turn}
    return prompts.of(Some()).observation(Turn(records, **fields))


def record(stdout: str = "", variables: dict[str, str] | None = None, **outputs: str) -> CellRecord:
    made = CellRecord("error" if "error" in outputs else "ok", wire.CellReport(variables=variables or {}))
    for kind, text in {"stdout": stdout, **outputs}.items():
        made.add(kind, {"text/plain": text})
    return made


class TestOpening:
    def test_it_is_four_messages_with_a_prologue_and_three_without(self) -> None:
        assert [m.role for m in opening()] == ["system", "user", "user"]
        messages = opening(user_prologue="Be brief.")
        assert [m.role for m in messages] == ["system", "user", "user", "user"]
        assert messages[2].content == "Be brief."
        assert len(opening(replace(SCENE, depth=1), user_prologue="Be brief.")) == 3

    def test_the_question_stands_before_what_the_context_is(self) -> None:
        start = "Answer the following: Who did it?\n\nYour context is a str of 1234567 total characters. "
        assert opening()[1].content.startswith(start)
        assert opening(replace(SCENE, question=""))[1].content.startswith("Your context is a str of 1234567 total")

    @pytest.mark.parametrize(
        ("kind", "length", "unit", "description", "size"),
        [
            ("list", 3, "items", "a list of 3 items, all str, 1,200 characters in total", "1200 total characters"),
            ("dict", 2, "keys", "a dict of 2 files, 50 characters in total; the largest: a 40", "50 total characters"),
            ("list", 4, "items", "a list of 4 chat messages, 70 characters", "70 total characters"),
            ("list", 3, "items", "a list of 3 items, all str, 400 characters on average", "3 total items"),
            ("DataFrame", 9, "rows", "a DataFrame of 9 rows", "9 total rows"),
        ],
    )
    def test_the_size_is_in_characters_where_it_is_known(
        self, kind: str, length: int, unit: str, description: str, size: str
    ) -> None:
        scene = replace(SCENE, context=wire.Loaded(None, kind, length, unit, description))
        assert f"Your context is a {kind} of {size}." in opening(scene)[1].content

    def test_the_first_turn_is_guarded_and_counted(self) -> None:
        guard, _, count = opening()[-1].content.partition("\n\n")
        assert "no final answer in this turn" in guard
        assert count == "Turn 1/30:"

    def test_there_is_no_preview_unless_it_is_asked_for(self) -> None:
        assert "Call me" not in "".join(m.content for m in opening())
        assert "Call me" in "".join(m.content for m in opening(preview=True))

    def test_the_system_prompt_is_true_of_this_dialect(self) -> None:
        text = opening()[0].content
        assert "20,000 characters" in text
        assert "```repl```" in text
        for name in ("llm_query(", "llm_query_batched(", "rlm_query(", "rlm_query_batched(", "SHOW_VARS()", "`answer`"):
            assert name in text
        assert "no further level" in text
        assert "no further level" not in opening(replace(SCENE, recursion=True))[0].content
        assert "$" not in text
        assert "\n\n\n" not in text
        assert "llm_query" not in "".join(m.content for m in opening(sub_calls=False))

    def test_tools_are_a_section_of_the_system_prompt(self) -> None:
        scene = replace(SCENE, tools=(ToolDoc("K", "a value of type int."), ToolDoc("f", "`f(x)`. Does.")))
        section = (
            "\n\n6. Custom tools and data available in the REPL:\n- `K`: a value of type int.\n- `f`: `f(x)`. Does.\n\n"
        )
        assert section in opening(scene)[0].content

    def test_a_system_prompt_made_for_the_library_is_formatted_as_there(self) -> None:
        own = 'Set `{{"content": ""}}`.{custom_tools_section} End.'
        scene = replace(SCENE, tools=(ToolDoc("K", "a value of type int."),))
        tools = "\n6. Custom tools and data available in the REPL:\n- `K`: a value of type int."
        assert opening(scene, system_prompt=own)[0].content == f'Set `{{"content": ""}}`.{tools} End.'
        assert opening(SCENE, system_prompt=own)[0].content == 'Set `{"content": ""}`. End.'

    @pytest.mark.parametrize(
        "own", ["{x} {custom_tools_section}", "{0}{custom_tools_section}", "}{custom_tools_section}"]
    )
    def test_a_system_prompt_with_braces_of_its_own_is_left_alone(self, own: str) -> None:
        assert opening(system_prompt=own)[0].content == own.replace("{custom_tools_section}", "")


class TestObservation:
    def test_outputs_are_one_message_and_the_turn_is_another(self) -> None:
        assert heard(record("hi\n", {"x": "int", "f": "DataFrame", "y": "dict"})) == [
            Message("user", "REPL output:\n\nhi\n\n\nREPL variables: ['answer', 'context_0', 'context', 'x', 'y']\n"),
            Message("user", "Turn 2/30:"),
        ]

    def test_several_blocks_are_numbered_in_one_message(self) -> None:
        variables = "REPL variables: ['answer', 'context_0', 'context']\n"
        assert heard(record("a\n"), record()) == [
            Message("user", f"REPL output (block 1):\n\na\n\n\n{variables}\n\nREPL output (block 2):\n{variables}"),
            Message("user", "Turn 2/30:"),
        ]

    def test_the_value_of_a_last_expression_is_not_shown(self) -> None:
        shown, _ = heard(record(execute_result="42"))
        assert "42" not in shown.content

    def test_stderr_and_the_error_follow_what_was_printed(self) -> None:
        error = "ZeroDivisionError: division by zero"
        traceback = f"ZeroDivisionError      Traceback (most recent call last)\nCell In[1]\n\n{error}"
        shown, _ = heard(record("out\n", stderr="err\n", error=traceback))
        assert shown.content.startswith(
            "REPL output:\n\nout\n\n\n\nerr\n\nZeroDivisionError: division by zero\n\nREPL var"
        )

    def test_a_block_is_cut_at_20_000_characters_and_its_head_is_kept(self) -> None:
        shown, _ = heard(record("x" * 20_100))
        rest = len("\n") + 20_100 + len("\n\nREPL variables: ['answer', 'context_0', 'context']\n") - 20_000
        assert shown.content == "REPL output:\n\n" + "x" * 19_999 + f"... + [{rest} chars...]"

    def test_each_block_is_cut_for_itself(self) -> None:
        shown, _ = heard(record("x" * 30_000), record("y" * 30_000))
        assert shown.content.count("x") == shown.content.count("y") == 19_999

    def test_a_block_that_left_nothing_says_so(self) -> None:
        shown, _ = heard(CellRecord())
        assert shown.content == "REPL output:\nNo output"

    def test_a_reply_without_a_block_brings_the_next_turn_alone(self) -> None:
        assert heard() == [Message("user", "Turn 2/30:")]

    def test_contexts_and_histories_are_noted(self) -> None:
        shown, turn = heard(record(), contexts=2, histories=1)
        assert "['answer', 'context_0', 'context', 'context_1', 'history_0', 'history']" in shown.content
        assert turn.content == (
            "Turn 2/30:\n\nNote: You have 2 contexts available (context_0 through context_1).\n\n"
            "Note: You have 1 prior conversation history available in the `history` variable."
        )
        assert "(history_0 through history_2)" in heard(histories=3)[0].content

    def test_what_went_wrong_is_a_note_of_the_turn(self) -> None:
        (turn,) = heard(problem="Nothing was run.", notes=["Not accepted."])
        assert turn.content == "Turn 2/30:\n\nNote: Nothing was run.\n\nNote: Not accepted."

    def test_a_restart_is_told_with_the_errors(self) -> None:
        died = CellRecord("died", restart="it used too much memory", lost={"a": "int"})
        shown, _ = heard(died)
        assert "The kernel died." in shown.content
        assert "restarted because it used too much memory. Variables lost: a (int)." in shown.content

    def test_after_the_last_turn_there_is_no_further_number(self) -> None:
        assert [m.content[:12] for m in heard(record(), iteration=30)] == ["REPL output:"]


class TestTheEnd:
    def test_the_last_request_comes_from_the_user(self) -> None:
        """In the original it is the assistant's, which providers refuse or continue."""
        (message,) = prompts.of(Some()).last_resort(SCENE)
        assert message.role == "user"

    def test_compaction_keeps_two_messages_and_adds_two(self) -> None:
        begin = opening(user_prologue="Be brief.")
        messages = prompts.of(Some()).compacted(begin, "So far: X.")
        assert messages[:2] == begin[:2]
        assert messages[2] == Message("assistant", "So far: X.")
        assert [m.role for m in messages[3:]] == ["user"]


@pytest.mark.parametrize(
    ("traceback", "error"),
    [
        ("KeyError   Traceback (most recent call last)\n\nKeyError: 'a'", "KeyError: 'a'"),
        ("ValueError   Traceback (most recent call last)\n\nValueError: a\nb: c", "ValueError: a\nb: c"),
        (
            "A  Traceback (most recent call last)\n\nA: 1\n\nDuring\n\nB  Traceback (most recent call last)\n\nB: 2",
            "B: 2",
        ),
        ("  Cell In[2], line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n", "SyntaxError: invalid syntax"),
        ("An exception has occurred, use %tb to see the full traceback.\n\nSystemExit: bye\n", "SystemExit: bye"),
        ("anything", "anything"),
        ("", ""),
    ],
)
def test_of_a_traceback_only_type_and_message_are_shown(traceback: str, error: str) -> None:
    assert last_error(traceback) == error


CELLS = [
    ["print('hi')"],
    ["x = 1\ny = 'a'\nz = None\ns = {1}\nf = lambda: 1\n_h = 2\n3"],
    ["import sys\nprint('out')\nprint('err', file=sys.stderr)"],
    ["1/0"],
    ["print('before')\nraise ValueError('a\\nb: c')"],
    ["t = (1,)\nb = True\nl = [x]\nd = {}", "print('x' * 30_000)", "print(len(context))"],
    ["print('y' * 19_000 + 'z' * 2_000, end='')"],
    ["context = 5"],
    ["print(context)\nprint('```')"],
]
TURNS = [(0, 1, 0), (1, 1, 0), (4, 2, 1), (29, 3, 2)]
REPLIES = ["```repl\nprint(1)\n```", "Text\n```repl\na\n\nb\n```\nmore\n```repl\nc\n```\n", "```python\nx\n```", "none"]
INPUTS: list[Any] = ["some text", "", ["a", "bc"], {"a": "xyz", "b": "12"}]

SCRIPT = """
import json, sys
from rlm.core.types import CodeBlock, QueryMetadata, RLMIteration
from rlm.environments.local_repl import LocalREPL
from rlm.utils.parsing import find_code_blocks, format_iteration
from rlm.utils.prompts import RLM_SYSTEM_PROMPT, build_rlm_system_prompt, build_user_prompt

given = json.load(sys.stdin)
repl = LocalREPL(context_payload="hello world")
turns = []
for cells in given["cells"]:
    blocks = [CodeBlock(code=code, result=repl.execute_code(code)) for code in cells]
    turns.append(format_iteration(RLMIteration(prompt="p", response="r", code_blocks=blocks))[1:])
numbers = [build_user_prompt("q", *turn, max_iterations=30) for turn in given["turns"]]
metadata = map(QueryMetadata, given["inputs"])
openings = [build_rlm_system_prompt(RLM_SYSTEM_PROMPT, data, None, "Who?")[1] for data in metadata]
blocks = [find_code_blocks(reply) for reply in given["replies"]]
print(json.dumps({"turns": turns, "numbers": numbers, "openings": openings, "blocks": blocks}))
"""


@pytest.fixture(scope="module")
def peer() -> dict[str, Any]:
    """What the library itself says."""
    if not PEER.exists():
        pytest.skip("rlms is not installed in .venv-rlms; the messages written out above are the check")
    given = json.dumps({"cells": CELLS, "turns": TURNS, "inputs": INPUTS, "replies": REPLIES})
    done = subprocess.run([PEER, "-c", SCRIPT], input=given, capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


class TestBesideTheLibrary:
    async def test_the_same_cells_give_the_same_messages(self, peer: dict[str, Any]) -> None:
        async with kernel() as session:
            (session.inputs / "context_0").write_text("hello world", encoding="utf-8")
            await session.load(wire.Load("context_0", "context_0", "text"))
            for cells, expected in zip(CELLS, peer["turns"], strict=True):
                records = []
                for code in cells:
                    made = CellRecord()
                    result = await session.execute(code, made.add)
                    made.status, made.report = result.status, result.report
                    records.append(made)
                shown, _ = heard(*records)
                assert [{"role": shown.role, "content": shown.content}] == expected

    def test_the_turns_are_numbered_alike(self, peer: dict[str, Any]) -> None:
        for (done, contexts, histories), expected in zip(TURNS, peer["numbers"], strict=True):
            if done:
                message = heard(iteration=done, contexts=contexts, histories=histories)[-1]
                assert {"role": message.role, "content": message.content} == expected
            else:
                ours, theirs = opening()[-1].content, expected["content"]
                assert ours.partition("\n\n")[2] == theirs.partition("\n\n")[2]

    async def test_the_input_is_described_alike(self, peer: dict[str, Any]) -> None:
        async with kernel() as session:
            for number, (value, expected) in enumerate(zip(INPUTS, peer["openings"], strict=True)):
                name = f"context_{number}"
                text = value if isinstance(value, str) else json.dumps(value)
                (session.inputs / name).write_text(text, encoding="utf-8")
                loaded = await session.load(wire.Load(name, name, "text" if isinstance(value, str) else "json"))
                message = opening(Scene("Who?", loaded, 30))[1]
                known = expected["content"].partition("total characters.")[0]
                assert message.role == expected["role"]
                assert message.content.startswith(f"{known}total characters.")

    def test_the_same_blocks_are_found(self, peer: dict[str, Any]) -> None:
        for reply, expected in zip(REPLIES, peer["blocks"], strict=True):
            assert list(parse.cells(reply, ("repl",)).code) == expected
