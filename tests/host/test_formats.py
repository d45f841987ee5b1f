"""What a file is taken for, what in a value cannot cross, and inputs that come from another kernel."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel.errors import ContextError
from rlm_kernel.host.inputs import check, prepare, uploaded
from rlm_kernel.host.inputs.paths import from_paths


class TestKinds:
    """By the suffix, or by ``context_format``."""

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("a.json", "json"),
            ("a.JSON", "json"),
            ("a.jsonl", "jsonl"),
            ("a.ndjson", "jsonl"),
            ("a.csv", "csv"),
            ("a.tsv", "csv"),
            ("a.parquet", "parquet"),
            ("a.txt", "text"),
            ("a.json.bak", "text"),
            ("json", "text"),
            (".json", "text"),
            ("a.yaml", "text"),
        ],
    )
    def test_a_file_goes_by_its_suffix(self, name: str, kind: str, tmp_path: Path) -> None:
        file = tmp_path / name
        file.write_bytes(b"not what it says \xff")
        load = prepare(file, tmp_path, "context_0")
        assert (load.kind, load.path, load.encoding, load.errors) == (kind, "context_0", "utf-8", "strict")
        assert (tmp_path / "context_0").read_bytes() == b"not what it says \xff"
        assert prepare(file, tmp_path, "context_0", encoding=None).kind == "bytes"
        assert prepare(file, tmp_path, "context_0", context_format="text").kind == "text"

    @pytest.mark.parametrize("context_format", ["text", "json", "jsonl", "csv", "parquet"])
    def test_a_format_that_is_named_wins_for_files_and_bytes(self, context_format: str, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("a")
        for context in (tmp_path / "a.csv", b"a"):
            load = prepare(context, tmp_path, "c", encoding="latin-1", context_format=context_format)
            assert (load.kind, load.encoding) == (context_format, "latin-1")
        for value in ("[1]", ["a"]):  # values are what they are
            assert prepare(value, tmp_path, "c", context_format=context_format).kind == (
                "text" if isinstance(value, str) else "json"
            )
        assert prepare(b"[1]", tmp_path, "c").kind == "text"

    def test_a_format_of_text_needs_an_encoding_and_parquet_needs_none(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        for context in (tmp_path / "a", b"a"):
            with pytest.raises(ContextError, match="context_format='json' needs an encoding= other than None"):
                check(context, encoding=None, context_format="json")
            check(context, encoding=None, context_format="parquet")
        assert prepare(b"a", tmp_path, "c", encoding=None, context_format="parquet").kind == "parquet"

    def test_the_files_of_a_folder_are_text(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("a.json", "b.jsonl", "c.csv"):
            (source / name).write_text('["x"]')
        load = prepare(source, tmp_path, "context_0", context_format="csv")
        texts = {"a.json": '["x"]', "b.jsonl": '["x"]', "c.csv": '["x"]'}
        assert (load.kind, json.loads((tmp_path / load.path).read_text())) == ("json", texts)
        assert list(from_paths([source / "*.json"])) == [(source / "a.json").as_posix()]
        assert from_paths([source / "a.json"]) == source / "a.json"

    def test_a_file_of_8_gb_is_neither_read_nor_copied(self, tmp_path: Path) -> None:
        for name, refused in (("a.jsonl", True), ("a.json", True), ("a.csv", False), ("a.parquet", False)):
            file = tmp_path / name
            with file.open("wb") as sparse:
                sparse.truncate(8 << 30)
            load = prepare(file, tmp_path, "context_0", {file: f"/inputs/{name}"})
            assert (load.path, (tmp_path / "context_0").exists()) == (f"/inputs/{name}", False)
            if refused:
                with pytest.raises(ContextError, match="Raise memory_mb"):
                    check(file, 4 << 30)
            else:  # a table may be smaller than its file, so the kernel has to try
                check(file, 4 << 30)
            check(file, 9 << 30, context_format="text")

    def test_a_file_that_disappears_after_the_check_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        monkeypatch.setattr("rlm_kernel.host.inputs.prepared.check", lambda *_, **__: None)
        with pytest.raises(ContextError, match=r"gone.json' cannot be read: No such file"):
            prepare(tmp_path / "gone.json", tmp_path, "context_0")


class TestValues:
    """What just works, and what says how it would."""

    def test_chats_mappings_and_tuples_are_json(self, tmp_path: Path) -> None:
        for value in (
            [{"role": "user", "content": "hi"}],
            {"src/a.py": "x = 1\r\n"},
            ("a", ("b", 1)),
        ):
            load = prepare(value, tmp_path, "context_0")
            assert (load.kind, load.errors) == ("json", "surrogatepass")
            assert json.loads((tmp_path / load.path).read_text()) == json.loads(json.dumps(value))

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ([1, {"x": {2, 3}}], r"context\[1\]\['x'\] is of type set. Make it a list first."),
            ({"a": [b"x"]}, r"context\['a'\]\[0\] is of type bytes. Decode bytes to str first."),
            ([Path("a.txt")], r"context\[0\] is of type PosixPath. Pass from_paths\(\[...\]\)"),
            ([float("inf")], r"context\[0\] is inf. JSON has no such number"),
            ([datetime.date(2020, 1, 1)], r"context\[0\] is of type date. Pass text, numbers, lists and dicts"),
            ({"k" * 500: object()}, r"context\['kkk[k]+\.\.\. is of type object"),
        ],
    )
    def test_what_json_has_not_is_found_and_named(self, value: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises(
            ContextError, match=f"holds something that cannot cross into the kernel: {message}"
        ) as error:
            prepare(value, tmp_path, "context_0")
        assert len(str(error.value)) < 400

    def test_a_list_or_dict_of_frames_is_refused_at_once(self) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        frame = pandas.DataFrame({"a": [1]})
        for context in ([frame, frame], {"first": "text", "second": frame}):
            with pytest.raises(ContextError, match=r"DataFrame. A DataFrame crosses only by itself: join several into"):
                check(context)
        with pytest.raises(ContextError, match=r"context\[1\] is of type DataFrame.*frame.to_dicts\(\)"):
            check(["text", polars.DataFrame({"a": [1]})])
        check(frame)

    def test_numpy_values_are_told_how_to_cross(self, tmp_path: Path) -> None:
        numpy = pytest.importorskip("numpy")
        for context in (numpy.zeros(3), numpy.zeros((2, 2))):
            with pytest.raises(
                ContextError, match=r"type ndarray cannot cross.*context.tolist\(\), or a pandas DataFra"
            ):
                check(context)
        with pytest.raises(ContextError, match=r"context\[0\] is of type int64. Call its tolist\(\) first"):
            prepare([numpy.int64(1)], tmp_path, "context_0")


class TestUploads:
    """An input that another kernel has sent is shown to a child, and not read."""

    @pytest.mark.parametrize("kind", ["text", "json"])
    def test_the_same_file_is_there_for_several_children_and_the_box_may_read_it(
        self, kind: Any, tmp_path: Path
    ) -> None:
        source, folders = tmp_path / "piece", [tmp_path / "1", tmp_path / "2"]
        source.write_bytes(b"\xed\xa0\x80 not json\r\n")
        source.chmod(0o600)
        for inputs in folders:
            inputs.mkdir()
            load = uploaded(source, kind, inputs, "context_0")
            assert (load.kind, load.path, load.encoding, load.errors) == (kind, "context_0", "utf-8", "surrogatepass")
            shown = inputs / "context_0"
            assert (shown.stat().st_ino, shown.stat().st_mode & 0o777) == (source.stat().st_ino, 0o644)
            assert shown.read_bytes() == b"\xed\xa0\x80 not json\r\n"

    def test_what_cannot_be_shown_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(ContextError, match="could not be written to .*No such file or directory"):
            uploaded(tmp_path / "gone", "text", tmp_path, "context_0")
