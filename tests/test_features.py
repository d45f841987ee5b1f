"""``docs/features.md``: every row has a test that exists, or says why not; and tests that no other file has."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from rlm_kernel import RLM, OptionError, ScriptedModel
from rlm_kernel.arguments import from_file
from tests.host.script import cell, done

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "features.md"
HEAD = ["feature", "rlm-kernel", "AZ", "RP", "DS", "FR", "VF", "shown by"]
LINK = re.compile(r"\[(tests/[\w/]+\.py)::([\w:]+)\]\(\.\./(tests/[\w/]+\.py)\)")
LEAST_REASON = 40
"""Characters; a shorter one explains nothing."""


@dataclass(frozen=True)
class Row:
    """A feature, and what its last cell holds."""

    table: str
    feature: str
    ours: str
    shown: str


def rows() -> list[Row]:
    found, table = [], ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            table = line[3:]
        elif table and line.startswith("| ") and not line.startswith("| feature |"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert len(cells) == len(HEAD), f"{len(cells)} cells: {line}"
            assert all(cells), f"an empty cell: {line}"
            found.append(Row(table, cells[0], cells[1], cells[-1]))
    return found


@cache
def names_in(file: str) -> frozenset[str]:
    """The tests of a file, as pytest names them, without parameters."""
    names: set[str] = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                collect(node.body, f"{prefix}{node.name}::")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                names.add(prefix + node.name)

    collect(ast.parse((ROOT / file).read_text(encoding="utf-8")).body, "")
    return frozenset(names)


def test_the_tables_are_those_of_the_issue() -> None:
    tables = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| feature |")]
    assert len(tables) == len({row.table for row in rows()}) == 9
    assert set(tables) == {f"| {' | '.join(HEAD)} |"}
    assert len(rows()) >= 100


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.feature)
def test_each_row_names_a_test_that_exists_or_says_why_not(row: Row) -> None:
    links = LINK.findall(row.shown)
    rest = LINK.sub("", row.shown).strip(", ")
    if not links:
        assert not row.ours.startswith("Y"), "it is ours, so a test shows it"
        assert len(rest) >= LEAST_REASON, "no test, and no reason"
        return
    assert not rest, f"beside the tests: {rest}"
    for file, name, target in links:
        assert file == target
        assert name in names_in(file), f"{file} has no {name}"


def test_no_feature_has_two_rows() -> None:
    keys = [(row.table, row.feature.casefold()) for row in rows()]
    assert sorted(keys) == sorted(set(keys))


def test_what_is_no_test_is_found() -> None:
    """The check above would be worth nothing if it took any name for a test."""
    here = Path(__file__).relative_to(ROOT).as_posix()
    assert "test_what_is_no_test_is_found" in names_in(here)
    assert "TestShownHere::test_a_depth_of_zero_is_refused" in names_in(here)
    assert not {"rows", "TestShownHere", "test_a_depth_of_zero_is_refused"} & names_in(here)


class TestShownHere:
    async def test_names_that_begin_with_an_underscore_survive(self) -> None:
        root = ScriptedModel([cell("_kept = __also = 7"), done("_kept + __also")])
        assert (await RLM(root).acompletion("q", "c")).answer == 14

    def test_a_depth_of_zero_is_refused(self) -> None:
        with pytest.raises(OptionError, match="max_depth=0: expected a whole number of at least 1"):
            RLM(ScriptedModel([]), max_depth=0)

    @pytest.mark.parametrize("sandbox", ["bubblewrap", "landlock", "process"])
    async def test_a_history_near_the_window_is_summarized_in_every_sandbox(self, sandbox: str) -> None:
        said = "All of it is printed.\n" * 400
        root = ScriptedModel([said + cell("kept = 1"), "SUMMARY", done("[kept, history[0][0]['content'][:3]]")])
        rlm = RLM(root, sandbox=sandbox, context_window=3_000, compaction=0.7, preview=False)
        completion = await rlm.acompletion("q", "c")
        assert completion.answer == [1, "All"]
        last = "".join(message.content for message in root.requests[-1])
        assert "SUMMARY" in last
        assert said not in last

    async def test_children_summarize_too(self) -> None:
        def reply(messages: list[dict[str, str]]) -> str:
            if "replaced by a summary" in messages[-1]["content"]:
                return "SUMMARY"
            if "Do what `context` asks" not in messages[1]["content"]:
                return done("rlm_query('x')")
            told = any(message["content"] == "SUMMARY" for message in messages)
            return done("history[1]['content']") if told else "All of it is said.\n" * 500 + cell("1")

        rlm = RLM(reply, max_depth=2, context_window=3_000, compaction=0.7)
        assert (await rlm.acompletion("q", "c")).answer == "SUMMARY"

    def test_options_come_from_a_file_too(self, tmp_path: Path) -> None:
        file = tmp_path / "rlm.toml"
        file.write_text('max_calls = 7\n[sampling]\ntemperature = 0\n[models]\nfast = "ollama/llama3.2"\n')
        options = RLM("ollama/llama3.2", **from_file(file)).options
        assert (options.max_calls, options.sampling) == (7, {"temperature": 0})
        assert options.models == {"fast": "ollama/llama3.2"}
        file.write_text("max_callz = 7")
        with pytest.raises(OptionError, match="Did you mean 'max_calls'"):
            RLM(**from_file(file))
