"""Files that are no logs, or not whole: one clear line for each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlm_kernel import RLMError, imports
from rlm_kernel.events.codec import to_json
from rlm_kernel.events.tree import fold
from rlm_kernel.imports import fast_rlm, rlms
from tests.events import stories
from tests.imports import LOGS

GOOD = ["rlms.jsonl", "fast_rlm.jsonl"]

BAD = {
    "empty": (b"", "holds nothing"),
    "blank": (b"\n \n\n", "holds nothing"),
    "binary": (b"\x7fELF\x02\x01\x00\xff\xfe" * 40, "line 1, is not JSON"),
    "other text": (b"# A page\n\nwith words\n", "line 1, is not JSON"),
    "a list": (b"[1, 2]\n", "line 1, is no JSON object"),
    "deep": (b'{"a":' * 100_000 + b"\n", "line 1, is not JSON"),
    "foreign": (b'{"step": 1, "loss": 0.5}\n', "is no log that can be read. Expected one of rlms or of fast-rlm"),
    "our journal": (to_json(stories.mystery()[0]).encode() + b"\n", "is a journal of this library"),
    "cut at once": (b'{"type": "metadata", "root_mo', "line 1, is not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_log_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    content, message = BAD[name]
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(RLMError, match=message) as raised:
        imports.read(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < 300
    for reader in (rlms.read_all, fast_rlm.read_all):
        with pytest.raises(RLMError):
            reader(path)


def test_a_file_that_is_not_there_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RLMError, match="cannot be read: No such file"):
        imports.read(tmp_path / "none.jsonl")
    with pytest.raises(RLMError, match="cannot be read: Is a directory"):
        imports.read(tmp_path)


def test_a_log_of_the_other_is_refused_by_its_name() -> None:
    with pytest.raises(RLMError, match="is no log of fast-rlm: its first line has no 'event_type'"):
        fast_rlm.read_all(LOGS / "rlms.jsonl")
    with pytest.raises(RLMError, match="is no log of rlms: its first line is neither"):
        rlms.read_all(LOGS / "fast_rlm.jsonl")


@pytest.mark.parametrize("name", GOOD)
def test_a_last_line_that_was_cut_off_is_left_out(name: str, tmp_path: Path) -> None:
    lines = (LOGS / name).read_bytes().splitlines(keepends=True)
    cut, short = tmp_path / "cut.jsonl", tmp_path / "short.jsonl"
    short.write_bytes(b"".join(lines[:-1]))
    for part in (lines[-1][:-20], lines[-1][:1]):
        cut.write_bytes(b"".join(lines[:-1]) + part)
        seen, expected = fold(imports.read(cut)), fold(imports.read(short))
        assert (seen.usage, seen.seconds, len(seen.root.iterations)) == (
            expected.usage,
            expected.seconds,
            len(expected.root.iterations),
        )
    cut.write_bytes(b"".join(lines)[:-1])  # whole, but for its line end
    assert fold(imports.read(cut)).answer == fold(imports.read(LOGS / name)).answer


@pytest.mark.parametrize("name", GOOD)
def test_damage_before_the_end_names_its_line(name: str, tmp_path: Path) -> None:
    lines = (LOGS / name).read_bytes().splitlines(keepends=True)
    path = tmp_path / "damaged.jsonl"
    path.write_bytes(b"".join([lines[0], lines[1][:30] + b"\n", *lines[2:]]))
    with pytest.raises(RLMError, match="line 2, is not JSON"):
        imports.read(path)


@pytest.mark.parametrize("missing", ["iteration", "response", "code_blocks"])
def test_an_iteration_without_what_every_one_has_names_its_line(missing: str, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (LOGS / "rlms.jsonl").read_text(encoding="utf-8").splitlines()]
    del rows[2][missing]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(RLMError, match="line 3, is an iteration without its number, response or code_blocks"):
        imports.read(path)


def test_a_byte_order_mark_and_other_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + (LOGS / "rlms.jsonl").read_bytes().replace(b"\n", b"\r\n"))
    assert fold(imports.read(path)).answer == "Agnes Holloway, at Skarholm"
