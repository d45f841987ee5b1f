"""What may be an input, how it is stored for the kernel, and what happens to what may not be one."""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import tracemalloc
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.errors import ContextError, OptionError
from rlm_kernel.host.inputs import check, prepare, single_file
from rlm_kernel.host.inputs.decoding import POLICIES, check_decoding
from rlm_kernel.host.inputs.json_file import PIECE_CHARACTERS
from rlm_kernel.host.inputs.paths import from_paths
from rlm_kernel.host.inputs.prepared import CHUNK

MEBI = 1 << 20


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that this test may enter and whose files it may be forbidden: root becomes an ordinary user."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)


def forbid(path: Path) -> None:
    """Take every permission away; done by its owner."""
    user = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    path.chmod(0o000)
    os.seteuid(user)


def owned(path: Path, *, folder: bool = False) -> Path:
    """Make a file or folder as whoever owns the tests' folders."""
    user = os.geteuid()
    if os.getuid() == 0:
        os.seteuid(0)
    if folder:
        path.mkdir()
    else:
        path.write_text("text")
    os.seteuid(user)
    return path


class TestStored:
    """What is in the file that the kernel reads."""

    @pytest.mark.parametrize(
        ("context", "kind", "stored"),
        [
            ("a\r\n\ud800", "text", b"a\r\n\xed\xa0\x80"),
            (b"\xff\r\x00", "text", b"\xff\r\x00"),
            (bytearray(b"ab"), "text", b"ab"),
            (memoryview(b"abcdef")[::2], "text", b"ace"),
            (["a", 1, None, {"b": [True]}], "json", b'["a", 1, null, {"b": [true]}]'),
            (("a", "b"), "json", b'["a", "b"]'),
            (OrderedDict(a="\u00e9"), "json", '{"a": "\u00e9"}'.encode()),
            (MappingProxyType({"a": {"b": 1}}), "json", b'{"a": {"b": 1}}'),
            (["\ud800"], "json", b'["\xed\xa0\x80"]'),
        ],
    )
    def test_values_are_stored_exactly(self, context: Any, kind: str, stored: bytes, tmp_path: Path) -> None:
        load = prepare(context, tmp_path, "context_0")
        assert (load.kind, load.path) == (kind, "context_0")
        assert (tmp_path / load.path).read_bytes() == stored

    def test_text_is_cut_into_chunks_without_breaking_a_character(self, tmp_path: Path) -> None:
        text = "a" * (CHUNK - 1) + "\U0001f600" + "\ud83d\ude00" * CHUNK + "\u00e9" * CHUNK
        load = prepare(text, tmp_path, "context_0")
        assert (load.encoding, load.errors) == ("utf-8", "surrogatepass")
        assert (tmp_path / load.path).read_bytes() == text.encode("utf-8", "surrogatepass")

    @pytest.mark.parametrize(
        "value",
        [
            [],
            list(range(300_000)),
            ["x" * PIECE_CHARACTERS, "", "y" * (3 * PIECE_CHARACTERS)] + ["z"] * 1_000,
            [{"id": i, "row": [i / 3, None, "\u00e9"]} for i in range(20_000)],
            {f"src/{i}.py": "def f():\n    return 'é'\n" * (i % 500) for i in range(2_000)},
        ],
        ids=["none", "numbers", "texts", "rows", "tree"],
    )
    def test_a_big_list_or_dict_is_the_json_that_the_standard_library_writes(self, value: Any, tmp_path: Path) -> None:
        load = prepare([value], tmp_path, "nested")
        assert json.loads((tmp_path / load.path).read_bytes()) == [value]
        if value:
            load = prepare(value, tmp_path, "context_0")
            assert (tmp_path / load.path).read_bytes() == json.dumps(value, ensure_ascii=False).encode()

    def test_a_file_is_copied_byte_for_byte(self, tmp_path: Path) -> None:
        (tmp_path / "book.txt").write_bytes(b"a\r\nb\rc")
        load = prepare(tmp_path / "book.txt", tmp_path, "context_0")
        assert (load.kind, load.encoding, load.errors) == ("text", "utf-8", "strict")
        assert (tmp_path / "context_0").read_bytes() == b"a\r\nb\rc"

    def test_a_file_that_the_box_can_see_is_not_copied(self, tmp_path: Path) -> None:
        book = tmp_path / "book.txt"
        book.write_text("text")
        load = prepare(book, tmp_path, "context_0", {book: "/inputs/book"}, encoding="cp1252", encoding_errors="ignore")
        assert (load.path, load.kind, load.encoding, load.errors) == ("/inputs/book", "text", "cp1252", "ignore")
        assert not (tmp_path / "context_0").exists()
        assert prepare(book, tmp_path, "context_0", {tmp_path / "other": "/inputs/o"}).path == "context_0"
        assert (single_file(book), single_file(tmp_path), single_file("text")) == (book, None, None)

    def test_without_an_encoding_bytes_and_files_stay_bytes(self, tmp_path: Path) -> None:
        (tmp_path / "picture.png").write_bytes(b"\x89PNG\x00")
        for context in (b"\x89PNG\x00", tmp_path / "picture.png"):
            load = prepare(context, tmp_path, "context_0", encoding=None)
            assert (load.kind, (tmp_path / load.path).read_bytes()) == ("bytes", b"\x89PNG\x00")

    def test_the_boxs_user_can_read_what_is_stored_whatever_the_umask(self, tmp_path: Path) -> None:
        private = tmp_path / "private.txt"
        private.write_text("mine")
        private.chmod(0o600)
        saved = os.umask(0o077)
        try:
            for context in ("text", ["list"], b"bytes", private):
                load = prepare(context, tmp_path, "context_0")
                assert (tmp_path / load.path).stat().st_mode & 0o777 == 0o644
        finally:
            os.umask(saved)
        assert private.stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("kind", ["text", "bytes", "file", "texts", "numbers"])
    def test_the_hosts_memory_stays_flat(self, kind: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"x" * (32 * MEBI))
        context: Any = {
            "text": "\u00e9" + "x" * (32 * MEBI),
            "bytes": b"x" * (32 * MEBI),
            "file": tmp_path / "file",
            "texts": {str(i): str(i % 10) * MEBI for i in range(32)},
            "numbers": list(range(500_000)),
        }[kind]
        tracemalloc.start()
        try:
            prepare(context, tmp_path, "context_0")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 12 * MEBI, f"{peak / MEBI:.1f} MiB"


class TestPaths:
    """Files, folders and globs."""

    def test_a_folder_becomes_a_mapping_of_its_text_files(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        for folder in ("deep", ".git", "node_modules"):
            (source / folder).mkdir(parents=True)
        (source / "deep" / "b.txt").write_text("b")
        (source / "a.py").write_text("a")
        (source / "picture.png").write_bytes(b"\x89PNG\x00")
        (source / "late.bin").write_bytes(b"text" * 100_000 + b"\x00")
        (source / "latin.txt").write_bytes(b"\xe9")
        (source / "empty.txt").touch()
        (source / ".git" / "config").write_text("hidden")
        (source / "node_modules" / "x.js").write_text("hidden")
        os.mkfifo(source / "fifo")
        load = prepare(source, tmp_path, "context_0")
        assert json.loads((tmp_path / load.path).read_text()) == {"a.py": "a", "deep/b.txt": "b"}

    def test_a_folder_is_read_in_the_encoding_that_is_chosen(self, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "latin.txt").write_bytes(b"caf\xe9")
        (source / "picture.png").write_bytes(b"\x89PNG\x00")
        load = prepare(source, tmp_path, "context_0", encoding="latin-1")
        assert json.loads((tmp_path / load.path).read_text()) == {"latin.txt": "caf\u00e9"}
        assert from_paths([source], encoding_errors="replace") == {"latin.txt": "caf\ufffd"}
        (source / "wide.txt").write_bytes("caf\u00e9".encode("utf-16"))
        assert from_paths([source / "wide.txt", source / "wide.txt"], encoding="utf-16") == {
            str(source / "wide.txt"): "caf\u00e9"
        }

    def test_globs_and_several_paths_make_one_mapping(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("a.md", "b.md", "c.txt"):
            Path(name).write_text(name)
        assert from_paths(["*.md", "c.txt"]) == {"a.md": "a.md", "b.md": "b.md", "c.txt": "c.txt"}
        assert from_paths(["c.txt"]) == Path("c.txt")

    def test_folders_with_files_of_the_same_name_lose_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in ("src", "tests"):
            Path(name).mkdir()
            Path(name, "__init__.py").write_text(name)
        assert from_paths(["src", "tests/"]) == {"src/__init__.py": "src", "tests/__init__.py": "tests"}
        assert from_paths(["src"]) == {"__init__.py": "src"}

    def test_a_hidden_folder_that_is_named_is_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".config").mkdir()
        (tmp_path / ".config" / "a.toml").write_text("a")
        (tmp_path / ".config" / ".hidden.toml").write_text("b")
        assert from_paths(["~/.config"]) == {"a.toml": "a"}
        assert list(from_paths([tmp_path / ".config" / "*.toml"])) == [(tmp_path / ".config/a.toml").as_posix()]
        assert from_paths(["~/.config/a.toml"]) == tmp_path / ".config" / "a.toml"

    def test_what_is_no_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        for name in ("picture.png", "other.png"):
            (tmp_path / name).write_bytes(b"\x89PNG\x00")
        with pytest.raises(ContextError, match="is an empty file"):
            check(tmp_path / "empty")
        with pytest.raises(ContextError, match="No text file at"):
            from_paths([tmp_path])
        with pytest.raises(ContextError, match="picture.png' is not UTF-8 text"):
            from_paths([tmp_path / "picture.png", tmp_path / "other.png"])
        with pytest.raises(ContextError, match="nothing matches it"):
            from_paths([tmp_path / "*.nothing"])
        with pytest.raises(ContextError, match="A folder .* needs an encoding="):
            check(tmp_path, encoding=None)
        with pytest.raises(OptionError, match="encoding='nonsense'"):
            from_paths([tmp_path], encoding="nonsense")

    def test_only_regular_files_and_folders_are_read(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(tmp_path / "s"))
            for name, message in {
                "fifo": "is a FIFO: pass a regular file or a folder",
                "s": "is a socket",
                "/dev/zero": "is a device",
                "broken": "does not exist",
                "loop": "cannot be read: Too many levels of symbolic links",
                "x" * 300: "cannot be read: File name too long",
                "a\0b": "cannot be read: .*embedded null",
            }.items():
                with pytest.raises(ContextError, match=message) as refusal:
                    check(tmp_path / name)
                assert len(str(refusal.value).splitlines()) == 1
        assert from_paths([tmp_path / "fifo"]) == tmp_path / "fifo"  # and the run refuses it
        with pytest.raises(ContextError, match="is a FIFO"):
            from_paths([tmp_path / "fifo", tmp_path])

    def test_a_file_that_may_not_be_read_is_refused_before_anything_starts(self, nobody: Path) -> None:
        file = owned(nobody / "secret.txt")
        forbid(file)
        for attempt in (check, RLM(ScriptedModel([])).completion):
            with pytest.raises(ContextError, match="secret.txt' cannot be read: Permission denied"):
                attempt(file) if attempt is check else attempt("q", file)  # type: ignore[operator]
        with pytest.raises(ContextError, match="secret.txt' cannot be read: Permission denied"):
            from_paths([nobody])

    def test_a_folder_that_may_not_be_entered_is_refused(self, nobody: Path) -> None:
        owned(nobody / "text.txt")
        folder = owned(nobody / "closed", folder=True)
        owned(folder / "inner.txt")
        forbid(folder)
        for context in (folder, folder / "inner.txt"):
            with pytest.raises(ContextError, match="cannot be read: Permission denied"):
                check(context)
            with pytest.raises(ContextError, match="cannot be read: Permission denied"):
                from_paths([context])
        with pytest.raises(ContextError, match="closed' cannot be read: Permission denied"):
            from_paths([nobody])

    def test_a_file_that_disappears_and_a_disk_that_is_full_say_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "book.txt").write_text("text")
        monkeypatch.setattr("rlm_kernel.host.inputs.prepared.check", lambda *_, **__: None)
        with pytest.raises(ContextError, match="gone.txt"):
            prepare(tmp_path / "gone.txt", tmp_path, "context_0")
        (tmp_path / "full").symlink_to("/dev/full")
        for context in ("text", ["text"], b"text", tmp_path / "book.txt"):
            with pytest.raises(ContextError, match="could not be written .*No space left on device. Set TMPDIR"):
                prepare(context, tmp_path, "full")


class TestRefused:
    """What never can be an input."""

    @pytest.mark.parametrize(
        ("context", "message"),
        [
            ("", "an empty str"),
            ([], "an empty list"),
            ({}, "an empty dict"),
            (b"", "an empty bytes"),
            (memoryview(b""), "an empty memoryview"),
            (3, "type int cannot cross.*Pass text, bytes, a list"),
            (object(), "type object cannot cross"),
            ({"a"}, "type set cannot cross"),
            (None, "type NoneType cannot cross"),
            (Path("nowhere.txt"), "'nowhere.txt' does not exist"),
            ([object()], "holds something that cannot cross.*object"),
            ([b"bytes"], "holds something that cannot cross.*bytes"),
            ({(1, 2): "x"}, "keys that are not str"),
            ([{"pages": {1: "one"}}], "keys that are not str"),
            ([float("nan")], "holds something that cannot cross"),
        ],
    )
    def test_it_is_refused_in_one_line(self, context: Any, message: str, tmp_path: Path) -> None:
        with pytest.raises(ContextError, match=message) as refusal:
            prepare(context, tmp_path, "context_0")
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize("kind", ["list", "dict", "deep"])
    def test_what_holds_itself_or_is_too_deep_is_refused(self, kind: str, tmp_path: Path) -> None:
        endless: Any = []
        if kind == "list":
            endless.append(endless)
        elif kind == "dict":
            endless = {"a": {}}
            endless["a"]["b"] = endless
        else:
            for _ in range(100_000):
                endless = [endless]
        with pytest.raises(ContextError, match="cannot cross"):
            prepare(endless, tmp_path, "context_0")

    @pytest.mark.parametrize("encoding", ["nonsense", "", "base64", "rot13", "hex", "undefined", "a\0b", "../os", 3])
    def test_an_unknown_encoding_is_refused_when_the_rlm_is_made(self, encoding: Any) -> None:
        with pytest.raises(OptionError, match="expected a text encoding that Python knows, such as 'utf-8'") as refusal:
            RLM(ScriptedModel([]), encoding=encoding)
        assert f"encoding={encoding!r}" in str(refusal.value)

    @pytest.mark.parametrize("errors", ["nonsense", "surrogatepass", "xmlcharrefreplace", "", None])
    def test_an_unknown_policy_is_refused_when_the_rlm_is_made(self, errors: Any) -> None:
        with pytest.raises(OptionError, match="encoding_errors=.*: expected one of strict, replace, ignore, backslash"):
            RLM(ScriptedModel([]), encoding_errors=errors)

    def test_every_text_encoding_of_python_is_known(self) -> None:
        for encoding in (None, "utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-32-be", "latin-1", "cp1252", "mac-roman"):
            check_decoding(encoding, "strict")
        for encoding in ("shift_jis", "euc-kr", "gb18030", "big5", "iso2022_jp", "koi8-r", "utf-7", "cp437", "ascii"):
            for policy in POLICIES:
                check_decoding(encoding, policy)


class TestMemory:
    """An input that cannot fit into the kernel is refused before anything is paid."""

    @pytest.mark.parametrize(
        ("context", "least"),
        [("x" * 1000, 1000), (b"x" * 1000, 1000), (["x" * 600, "y" * 400, 3], 2000), ({"a": "x" * 1000}, 2000)],
    )
    def test_a_text_needs_room_once_and_json_twice(self, context: Any, least: int) -> None:
        check(context, None)
        check(context, least)
        with pytest.raises(ContextError, match="Raise memory_mb, or pass less"):
            check(context, least - 1)

    def test_a_run_over_a_file_that_is_too_big_starts_nothing(self, tmp_path: Path) -> None:
        with (tmp_path / "big").open("wb") as file:
            file.truncate(5 << 30)
        model = ScriptedModel([])
        with pytest.raises(ContextError) as refusal:
            RLM(model, memory_mb=4096, runs_dir=tmp_path / "runs").completion("q", tmp_path / "big")
        assert str(refusal.value) == (
            "The context has 5,120 MiB and needs 5,120 MiB of memory while it is loaded, but memory_mb=4096. "
            "Raise memory_mb, or pass less."
        )
        assert model.requests == []
        assert not (tmp_path / "runs").exists()


class TestFrames:
    """pandas and polars frames, without a kernel."""

    def test_what_is_nearly_a_frame_is_told_how_to_become_one(self) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        for context, message in (
            (pandas.Series([1]), r"type Series cannot cross into the kernel. Pass context.to_frame\(\)."),
            (pandas.Index([1]), r"Pass context.to_frame\(\)."),
            (polars.Series([1]), r"Pass context.to_frame\(\)."),
            (polars.LazyFrame({"a": [1]}), r"type LazyFrame cannot cross into the kernel. Pass context.collect\(\)."),
            (pandas.Timestamp(0), "Pass text"),
            (pandas.DataFrame(), "an empty pandas DataFrame"),
            (pandas.DataFrame({"a": []}), "an empty pandas DataFrame"),
            (polars.DataFrame({"a": []}), "an empty polars DataFrame"),
        ):
            with pytest.raises(ContextError, match=message):
                check(context)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (
                {"good": [1, 2], "bad": [1, "a"]},
                r"column 'bad' \(object\) cannot cross as Arrow: Could not convert 'a'",
            ),
            ({"bad": [object()]}, r"column 'bad' \(object\) cannot cross as Arrow.*type first, such as str"),
            ({"bad": [1j]}, r"column 'bad' \(complex128\) cannot cross"),
            ({"bad": [2**70]}, r"column 'bad' \(object\) cannot cross.*too large"),
            ({"a": [1], 1: [2]}, "column names are of several types.*frame.columns.map"),
        ],
    )
    def test_a_column_that_arrow_cannot_hold_is_named(
        self, columns: dict[Any, Any], message: str, tmp_path: Path
    ) -> None:
        pandas = pytest.importorskip("pandas")
        with pytest.raises(ContextError, match=message) as refusal:
            prepare(pandas.DataFrame(columns), tmp_path, "context_0")
        assert len(str(refusal.value).splitlines()) == 1

    def test_other_frames_that_arrow_cannot_hold(self, tmp_path: Path) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        twice = pandas.DataFrame([[1, 2]], columns=["a", "a"])
        mixed = pandas.DataFrame({"a": [1, 2]}, index=pandas.Index([1, "x"], dtype=object))
        surrogate = pandas.DataFrame({"a": pandas.Series(["\ud800"], dtype=object)})
        for frame, message in (
            (twice, "several columns named 'a'"),
            (mixed, "The context's index cannot cross as Arrow: Could not convert 'x'"),
            (surrogate, "column 'a'.*surrogates not allowed"),
            (polars.DataFrame({"a": [1], "o": [object()]}), "column 'o' is of polars' type Object"),
        ):
            with pytest.raises(ContextError, match=message):
                prepare(frame, tmp_path, "context_0")

    def test_a_pandas_frame_without_pyarrow_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pandas = pytest.importorskip("pandas")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(ContextError, match=r"pyarrow is missing: pip install 'rlm-kernel\[tables\]'"):
            prepare(pandas.DataFrame({"a": [1]}), tmp_path, "context_0")

    def test_a_frame_that_is_too_big_is_refused(self) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        for frame in (pandas.DataFrame({"a": range(100_000)}), polars.DataFrame({"a": range(100_000)})):
            check(frame, 1_000_000)
            with pytest.raises(ContextError, match="Raise memory_mb"):
                check(frame, 700_000)
