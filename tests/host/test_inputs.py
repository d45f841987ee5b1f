"""What may be an input, and what happens to what may not."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel.errors import ContextError
from rlm_kernel.host.inputs import check, from_paths, prepare


@pytest.mark.parametrize(
    ("context", "kind", "stored"),
    [
        ("a\r\n\ud800", "text", b"a\r\n\xed\xa0\x80"),
        (["a", 1, None, {"b": [True]}], "json", b'["a", 1, null, {"b": [true]}]'),
        (("a", "b"), "json", b'["a", "b"]'),
        (OrderedDict(a="\u00e9"), "json", '{"a": "\u00e9"}'.encode()),
    ],
)
def test_values_are_stored_exactly(context: Any, kind: str, stored: bytes, tmp_path: Path) -> None:
    load = prepare(context, tmp_path, "context_0")
    assert load.kind == kind
    assert (tmp_path / load.path).read_bytes() == stored


def test_a_file_is_copied_byte_for_byte(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_bytes(b"a\r\nb\rc")
    load = prepare(tmp_path / "book.txt", tmp_path, "context_0")
    assert (load.kind, load.errors) == ("text", "strict")
    assert (tmp_path / "context_0").read_bytes() == b"a\r\nb\rc"


def test_a_folder_becomes_a_mapping_of_its_text_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / ".git").mkdir()
    (source / "deep" / "b.txt").write_text("b")
    (source / "a.py").write_text("a")
    (source / "picture.png").write_bytes(b"\x89PNG\x00")
    (source / "latin.txt").write_bytes(b"\xe9")
    (source / ".git" / "config").write_text("hidden")
    load = prepare(source, tmp_path, "context_0")
    assert json.loads((tmp_path / load.path).read_text()) == {"a.py": "a", "deep/b.txt": "b"}


def test_globs_and_several_paths_make_one_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.md", "b.md", "c.txt"):
        Path(name).write_text(name)
    assert from_paths(["*.md", "c.txt"]) == {"a.md": "a.md", "b.md": "b.md", "c.txt": "c.txt"}
    assert from_paths(["c.txt"]) == Path("c.txt")


@pytest.mark.parametrize(
    ("context", "message"),
    [
        ("", "an empty str"),
        ([], "an empty list"),
        ({}, "an empty dict"),
        (b"bytes", "bytes, which have no encoding"),
        (3, "type int cannot cross"),
        (object(), "type object cannot cross"),
        ({"a"}, "type set cannot cross"),
        (None, "type NoneType cannot cross"),
        (Path("nowhere.txt"), "'nowhere.txt' does not exist"),
        ([object()], "holds something that cannot cross.*object"),
        ({(1, 2): "x"}, "keys that are not str"),
        ([{"pages": {1: "one"}}], "keys that are not str"),
        ([float("nan")], "holds something that cannot cross"),
    ],
)
def test_what_cannot_be_an_input_is_refused_in_one_line(context: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ContextError, match=message) as refusal:
        prepare(context, tmp_path, "context_0")
    assert "\n" not in str(refusal.value)


def test_a_list_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ContextError, match="cannot cross"):
        prepare(endless, tmp_path, "context_0")


def test_an_empty_file_a_folder_without_text_and_a_named_binary_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00")
    (tmp_path / "other.png").write_bytes(b"\x89PNG\x00")
    with pytest.raises(ContextError, match="is an empty file"):
        check(tmp_path / "empty")
    with pytest.raises(ContextError, match="No text file at"):
        from_paths([tmp_path])
    with pytest.raises(ContextError, match="picture.png' is not UTF-8 text"):
        from_paths([tmp_path / "picture.png", tmp_path / "other.png"])
    with pytest.raises(ContextError, match="nothing matches it"):
        from_paths([tmp_path / "*.nothing"])
