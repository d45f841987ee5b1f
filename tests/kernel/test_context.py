"""Inputs in a real kernel in a real sandbox: every kind arrives as it was, and what cannot says why."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from rlm_kernel import RLM, ScriptedModel, wire
from rlm_kernel.errors import ContextError
from rlm_kernel.host.inputs import prepare
from rlm_kernel.host.inputs.prepared import CHUNK
from rlm_kernel.host.session import Session
from rlm_kernel.kernel import text
from rlm_kernel.kernel.text import BUFFER_BYTES, PIECE_BYTES, read_text
from tests.kernel.vocabulary import kernel, run

MEBI = 1 << 20
SANDBOXES = ("bubblewrap", "landlock", "process")
AWKWARD = b"\xef\xbb\xbfone\r\ntwo\rthree\nnul:\x00 wide:\xe2\x80\xa8\xf0\x9f\x98\x80\r\n\n\r"
"""A byte order mark, all three line ends, NUL, a line separator, a character beyond 16 bits."""
EVERY_BYTE = bytes(range(256)) * 5
NO_BOM = (
    "byte 0 is not valid utf-16 (Stream does not start with BOM)"
    if sys.version_info >= (3, 13)
    else "UTF-16 stream does not start with BOM"
)


@pytest_asyncio.fixture
async def session() -> AsyncIterator[Session]:
    async with kernel() as started:
        yield started


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def hash_in_kernel(session: Session, expression: str) -> str:
    return (await run(session, f"import hashlib; print(hashlib.sha256({expression}).hexdigest())")).text.strip()


async def load(session: Session, context: Any, **options: Any) -> wire.Loaded:
    return await session.load(prepare(context, session.inputs, "context_0", session.shown, **options))


class TestBytes:
    """Bytes and files, declared to be in an encoding."""

    @pytest.mark.parametrize("way", ["bytes", "a copied file", "a bound file"])
    @pytest.mark.parametrize("sandbox", SANDBOXES)
    async def test_text_arrives_byte_for_byte(self, sandbox: str, way: str, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        file = tmp_path / "awkward.txt"
        file.write_bytes(AWKWARD * 100)
        files = (file,) if way == "a bound file" else ()
        async with kernel(sandbox=sandbox, files=files) as session:
            loaded = await load(session, AWKWARD * 100 if way == "bytes" else file)
            copied = (session.inputs / "context_0").exists()
            assert copied == (file not in session.shown)
            text = AWKWARD.decode() * 100
            assert (loaded.error, loaded.type, loaded.length, loaded.unit) == (None, "str", len(text), "characters")
            assert await hash_in_kernel(session, "context.encode()") == sha256(AWKWARD * 100)

    @pytest.mark.parametrize(
        ("encoding", "data"),
        [
            ("latin-1", EVERY_BYTE),
            ("cp437", EVERY_BYTE),
            ("cp1252", "d\u00e9j\u00e0 \u20ac \u201cvu\u201d\r\n\r\0".encode("cp1252")),
            ("utf-16", "\u00e9\r\n\r\0\U0001f600".encode("utf-16")),
            ("utf-16-be", "\u00e9\r\n\r\0\U0001f600".encode("utf-16-be")),
            ("utf-32-le", "\u00e9\r\n\r\0\U0001f600".encode("utf-32-le")),
            ("utf-8-sig", AWKWARD),
            ("shift_jis", "\u65e5\u672c\u8a9e\r\n".encode("shift_jis")),
            ("gb18030", "\u4e2d\u6587\U0001f600".encode("gb18030")),
            ("koi8-r", EVERY_BYTE),
        ],
    )
    async def test_other_encodings_lose_nothing(self, session: Session, encoding: str, data: bytes) -> None:
        loaded = await load(session, data, encoding=encoding)
        assert loaded.length == len(data.decode(encoding))
        assert await hash_in_kernel(session, f"context.encode({encoding!r})") == sha256(data)

    @pytest.mark.parametrize("policy", ["replace", "ignore", "backslashreplace", "surrogateescape"])
    async def test_a_policy_does_what_python_does(self, session: Session, policy: str) -> None:
        await load(session, EVERY_BYTE, encoding_errors=policy)
        text = EVERY_BYTE.decode("utf-8", policy)
        expected = sha256(text.encode("utf-8", "surrogatepass"))
        assert await hash_in_kernel(session, "context.encode('utf-8', 'surrogatepass')") == expected

    async def test_surrogateescape_keeps_every_byte(self, session: Session) -> None:
        await load(session, EVERY_BYTE, encoding_errors="surrogateescape")
        assert await hash_in_kernel(session, "context.encode('utf-8', 'surrogateescape')") == sha256(EVERY_BYTE)

    @pytest.mark.parametrize(
        ("data", "encoding", "message"),
        [
            (b"\xff\xfe\x00", "utf-8", "byte 0 is not valid utf-8 (invalid start byte)"),
            (b"x" * 1_234_567 + b"\xc3", "utf-8", "byte 1,234,567 is not valid utf-8 (unexpected end of data)"),
            (b"x" + b"\xc3\xa9" * 10_000_000 + b"\xff", "utf-8", "byte 20,000,001 is not valid utf-8 (invalid start"),
            (b"ok\x81", "cp1252", "byte 2 is not valid cp1252"),
            (b"abc", "utf-16-le", "byte 2 is not valid utf-16-le (truncated data)"),
            (b"a\0b\0", "utf-16", NO_BOM),
        ],
    )
    async def test_strict_names_the_byte_and_the_way_out(
        self, session: Session, data: bytes, encoding: str, message: str
    ) -> None:
        with pytest.raises(ContextError) as refusal:
            await load(session, data, encoding=encoding)
        assert str(refusal.value).startswith(f"The context could not be loaded: {message}")
        assert "Choose another encoding=, or an encoding_errors= such as 'replace'." in str(refusal.value)
        assert (await run(session, "1 + 1")).text == "2"

    async def test_without_an_encoding_the_repl_has_bytes(self, session: Session, tmp_path: Path) -> None:
        (tmp_path / "b").write_bytes(EVERY_BYTE)
        for context in (EVERY_BYTE, bytearray(EVERY_BYTE), memoryview(EVERY_BYTE), tmp_path / "b"):
            loaded = await load(session, context, encoding=None)
            assert (loaded.type, loaded.length, loaded.unit) == ("bytes", 1280, "bytes")
            assert loaded.description == "a bytes object of 1,280 bytes, not decoded"
            assert await hash_in_kernel(session, "context") == sha256(EVERY_BYTE)


class TestPieces:
    """A text that is read in pieces is the text that is read in one go. No kernel: every border is tried."""

    ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-7", "latin-1", "cp1252", "shift_jis")

    @pytest.fixture(params=[1, 2, 3, 5, 7])
    def _small_pieces(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "PIECE_BYTES", request.param)

    @pytest.mark.usefixtures("_small_pieces")
    @pytest.mark.parametrize("encoding", [*ENCODINGS, "gb18030", "iso2022_jp", "euc_kr", "big5"])
    def test_valid_text(self, encoding: str, tmp_path: Path) -> None:
        data = "a\r\n\u00e9\u65e5\u672c\uac00\U0001f600\0\r".encode(encoding, "ignore")
        (tmp_path / "f").write_bytes(data)
        assert read_text(str(tmp_path / "f"), encoding, "strict") == data.decode(encoding)

    @pytest.mark.usefixtures("_small_pieces")
    @pytest.mark.parametrize("policy", ["replace", "ignore", "backslashreplace", "surrogateescape"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "cp1252", "shift_jis", "gb18030", "ascii"])
    def test_invalid_text(self, encoding: str, policy: str, tmp_path: Path) -> None:
        for data in (EVERY_BYTE[:256], bytes(reversed(range(256))), AWKWARD[:-3] + b"\xf0\x9f\x98"):
            (tmp_path / "f").write_bytes(data)
            assert read_text(str(tmp_path / "f"), encoding, policy) == data.decode(encoding, policy)

    @pytest.mark.usefixtures("_small_pieces")
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "cp1252", "shift_jis", "gb18030", "ascii"])
    def test_the_byte_that_is_named(self, encoding: str, tmp_path: Path) -> None:
        for data in (b"\xef\xbb\xbfabc\xff\xffd", b"abcd\x81", b"abc", bytes(range(256)), AWKWARD[:-3] + b"\xf0\x9f"):
            (tmp_path / "f").write_bytes(data)
            try:
                data.decode(encoding)
            except UnicodeDecodeError as error:
                start = error.start + (3 if encoding == "utf-8-sig" and data.startswith(b"\xef\xbb\xbf") else 0)
                with pytest.raises(ContextError, match=rf"^byte {start} is not valid {encoding}"):
                    read_text(str(tmp_path / "f"), encoding, "strict")
            else:
                assert read_text(str(tmp_path / "f"), encoding, "strict") == data.decode(encoding)


class TestAscii:
    """A big text of nothing but ASCII is made in its length and filled; one that only begins so is read in pieces."""

    BEGINNING = bytes(range(128)) * (BUFFER_BYTES // 32) + b"\r\n"

    @pytest.fixture(autouse=True)
    def _big(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "PIECE_BYTES", len(self.BEGINNING))

    @pytest.mark.parametrize("encoding", ["utf-8", "U8", "ascii", "latin-1", "cp1252", "utf-16-le", "utf-7", "big5"])
    @pytest.mark.parametrize("end", [b"", b"\xc3\xa9", b"+AOk-", b"\xff", b"\x81"])
    def test_it_is_what_python_decodes(self, encoding: str, end: bytes, tmp_path: Path) -> None:
        data = self.BEGINNING + end
        (tmp_path / "f").write_bytes(data)
        assert read_text(str(tmp_path / "f"), encoding, "replace") == data.decode(encoding, "replace")

    @pytest.mark.parametrize("size", [-1, 1])
    def test_a_file_whose_length_changes_meanwhile_is_read_to_its_end(
        self, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "f").write_bytes(self.BEGINNING)
        status = SimpleNamespace(st_size=len(self.BEGINNING) + size)
        monkeypatch.setattr(text, "PIECE_BYTES", 1 << 10)
        monkeypatch.setattr(text.os, "fstat", lambda descriptor: status)
        assert text._ascii(str(tmp_path / "f")) is None
        monkeypatch.undo()
        assert read_text(str(tmp_path / "f"), "utf-8", "strict") == self.BEGINNING.decode()

    def test_it_is_a_text_like_every_other(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(self.BEGINNING)
        made, decoded = read_text(str(tmp_path / "f"), "utf-8", "strict"), self.BEGINNING.decode()
        assert (hash(made), sys.getsizeof(made), sys.getrefcount(made)) == (hash(decoded), sys.getsizeof(decoded), 2)
        assert {decoded: 1}[made] == 1


class TestValues:
    """Text, lists and dicts of the host's."""

    async def test_text_with_lone_surrogates_arrives_across_chunk_borders(self, session: Session) -> None:
        text = "a" * (CHUNK - 1) + "\ud83d\ude00\U0001f600\r\n\r" + "\u00e9" * CHUNK + "\udc80" * (6 * MEBI)
        assert len(text) * 3 > PIECE_BYTES
        loaded = await load(session, text)
        assert loaded.length == len(text)
        assert await hash_in_kernel(session, "context.encode('utf-8', 'surrogatepass')") == sha256(
            text.encode("utf-8", "surrogatepass")
        )

    async def test_a_tree_of_files_arrives(self, session: Session, tmp_path: Path) -> None:
        (tmp_path / "deep").mkdir()
        for i in range(300):
            (tmp_path / "deep" / f"{i:03}.py").write_bytes(f"x = {i}\r\n".encode() * i)
        loaded = await load(session, tmp_path)
        assert loaded.description.startswith("a dict of 299 files, each path with its text, ")
        expected = sha256(b"".join(f"x = {i}\r\n".encode() * i for i in range(300)))
        assert await hash_in_kernel(session, "''.join(context.values()).encode()") == expected
        assert (await run(session, "next(iter(context))")).text == "'deep/001.py'"

    async def test_lists_and_dicts_arrive_equal(self, session: Session) -> None:
        value = {"\u00e9\r\n": [1, 2.5, None, True, {"deep": [[]]}], "\ud800": "\udfff", "big": 2**70}
        await load(session, value)
        assert (await run(session, f"context == {value!r}")).text == "True"
        loaded = await load(session, [value, "a", 3])
        assert loaded.description == "a list of 3 items, of type dict, int, str"

    async def test_json_that_is_too_deep_for_the_kernel_says_so(self, session: Session) -> None:
        (session.inputs / "c").write_text("[" * 100_000 + "]" * 100_000)
        with pytest.raises(ContextError, match="RecursionError"):
            await session.load(wire.Load("context_0", "c", "json"))

    async def test_a_file_that_is_not_there_or_is_empty(self, session: Session) -> None:
        with pytest.raises(ContextError, match=r"the kernel cannot read it \(No such file or directory\)"):
            await session.load(wire.Load("context_0", "nowhere", "text"))
        (session.inputs / "c").touch()  # it was emptied after the host had looked
        assert (await session.load(wire.Load("context_0", "c", "text"))).length == 0


class TestMemory:
    """The peak in the kernel, and the limit."""

    @pytest.mark.parametrize(
        ("sample", "encoding", "mebi"),
        [
            (b"0123456789abcdef", "utf-8", 128),
            (b"0123456789abcdef", None, 128),
            ("\u201c123456789abcdef".encode(), "utf-8", 256 * 16 // 18),
            ("\u0436\u0438\u0437\u043d\u044c\r\n\t".encode(), "utf-8", 256 * 8 // 13),
        ],
    )
    async def test_the_peak_is_the_value_and_a_piece_of_the_file(
        self, session: Session, sample: bytes, encoding: str | None, mebi: int
    ) -> None:
        async def peak() -> int:
            line = "next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))"
            return int((await run(session, f"print({line}.split()[1])")).text) // 1024

        before = await peak()
        await load(session, sample * (128 * MEBI // len(sample)), encoding=encoding)
        grown = await peak() - before
        pieces = 0 if encoding is None else 4 * PIECE_BYTES // MEBI  # the bytes, the codec's copy, the text of 2 bytes
        assert grown <= mebi + pieces + 16, f"{grown} MiB for a value of {mebi} MiB"

    @pytest.mark.parametrize("kind", ["text", "bytes", "json"])
    async def test_what_does_not_fit_is_an_error_and_the_kernel_lives(self, kind: Any) -> None:
        async with kernel(memory_mb=1024) as session:
            with (session.inputs / "c").open("wb") as file:
                if kind == "json":
                    file.write(b'["' + b"x" * (100 * MEBI) + b'"' + b", 1234567" * (24 * MEBI) + b"]")
                else:
                    file.truncate(1100 * MEBI)
            with pytest.raises(ContextError, match="does not fit into the kernel's memory. Raise memory_mb"):
                await session.load(wire.Load("context_0", "c", kind))
            assert (await run(session, "1 + 1")).text == "2"


class TestFrames:
    """pandas and polars frames cross as Arrow files."""

    @pytest.mark.parametrize("sandbox", SANDBOXES)
    async def test_frames_arrive_in_every_sandbox_and_after_a_restart(self, sandbox: str) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        for library, frame in (("pandas", pandas.DataFrame), ("polars", polars.DataFrame)):
            async with kernel(sandbox=sandbox) as session:
                loaded = await load(session, frame({"n": range(1000), "s": ["x", None] * 500}))
                assert (loaded.type, loaded.length, loaded.unit) == ("DataFrame", 1000, "rows")
                assert loaded.description.startswith(f"a {library} DataFrame of 1,000 rows x 2 columns: 'n' ")
                code = "print(type(context).__module__.split('.')[0], context.shape, int(context['n'].sum()))"
                assert (await run(session, code)).text == f"{library} (1000, 2) 499500\n"
                assert (await run(session, "import os; os._exit(0)", ok=False)).result.status == "died"
                assert (await run(session, code)).text == f"{library} (1000, 2) 499500\n"

    async def test_a_pandas_frame_keeps_its_types_and_its_index(self, session: Session) -> None:
        pytest.importorskip("pandas")
        source = """
import datetime, decimal
import numpy as np, pandas as pd
frames = {
    "types": pd.DataFrame({
        "int": pd.array([1, None], dtype="Int64"), "float": [0.1, float("nan")], "bool": [True, False],
        "text": ["\\u00e9\\r\\n\\0", None], "bytes": [b"\\xff", b""], "tz": pd.date_range("2020", periods=2, tz="UTC"),
        "delta": pd.to_timedelta([1, 2], unit="s"), "category": pd.Categorical(["a", "b"], ordered=True),
        "period": pd.period_range("2020", periods=2, freq="M"), "date": [datetime.date(2020, 1, 1)] * 2,
        "decimal": [decimal.Decimal("1.20"), decimal.Decimal("3.00")], "small": np.array([1, 2], "i1"),
    }),
    "named": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
    "levels": pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", "l"])),
    "stepped": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(5, 9, 2)),
    "times": pd.DataFrame({"a": [1, 2]}, index=pd.to_datetime(["2020-01-02", "2019-01-01"])),
    "numbered columns": pd.DataFrame(np.eye(3)),
    "column levels": pd.DataFrame(np.eye(2), columns=pd.MultiIndex.from_tuples([("a", "x"), ("b", "y")])),
}
"""
        here: dict[str, Any] = {}
        exec(source, here)
        for name, frame in here["frames"].items():
            loaded = await load(session, frame)
            assert loaded.error is None
            await run(session, f"{source}\npd.testing.assert_frame_equal(context, frames[{name!r}])")

    async def test_a_polars_frame_keeps_its_types(self, session: Session) -> None:
        pytest.importorskip("polars")
        source = """
import polars as pl
frame = pl.DataFrame({
    "int": [1, None], "text": ["\\u00e9\\r\\n\\0", None], "list": [[1], [2, 3]], "struct": [{"x": 1}, {"x": 2}],
    "category": pl.Series(["a", "b"], dtype=pl.Categorical), "enum": pl.Series(["p", "q"], dtype=pl.Enum(["p", "q"])),
    "decimal": pl.Series(["1.20", "3"]).cast(pl.Decimal(10, 2)), "bytes": [b"\\xff", b""], "nothing": [None, None],
})
"""
        here: dict[str, Any] = {}
        exec(source, here)
        await load(session, here["frame"])
        assert (await run(session, f"{source}\n(context.equals(frame), context.schema == frame.schema)")).text == (
            "(True, True)"
        )

    async def test_a_frame_can_be_changed_in_the_repl(self, session: Session) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        await load(session, pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}))
        code = "context.loc[0, 'a'] = 9; context['b'] += 1; context['c'] = context['a'] * 2"
        code += "; print(context.values.tolist())"
        assert (await run(session, code)).text == "[[9.0, 1.5, 18.0], [2.0, 2.5, 4.0]]\n"
        await load(session, polars.DataFrame({"a": [1, 2]}))
        code = "context[0, 'a'] = 9; print(context['a'].to_list())"
        assert (await run(session, code)).text == "[9, 2]\n"

    async def test_the_description_lists_columns_and_the_index_and_stays_short(self, session: Session) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"a\n": [1], "b": ["x"]}, index=pandas.Index(["k"], name="key"))
        loaded = await load(session, frame)
        text = r"a pandas DataFrame of 1 rows x 2 columns: 'a\n' int64, 'b' (str|object); its index is 'key'"
        assert __import__("re").fullmatch(text.replace(r"\n", r"\\n"), loaded.description), loaded.description
        loaded = await load(session, pandas.DataFrame({f"column {i}": [i] for i in range(5_000)}))
        assert loaded.description.endswith(" more")
        assert len(loaded.description) < 2_500
        loaded = await load(session, pandas.DataFrame({"x" * 10_000: [1]}))
        assert len(loaded.description) < 300

    @pytest.mark.parametrize(
        ("library", "missing"), [("pandas", "pyarrow"), ("pandas", "pandas"), ("polars", "polars")]
    )
    async def test_a_library_that_the_box_lacks_is_named(self, session: Session, library: str, missing: str) -> None:
        module = pytest.importorskip(library)
        await run(session, f"import sys; sys.modules[{missing!r}] = None")
        with pytest.raises(ContextError, match=f"a {library} DataFrame needs {missing} where the kernel runs"):
            await load(session, module.DataFrame({"a": [1]}))
        assert (await run(session, "1 + 1")).text == "2"

    async def test_a_file_that_is_not_arrow_says_so(self, session: Session) -> None:
        pytest.importorskip("pandas")
        (session.inputs / "c").write_bytes(b"no arrow")
        for kind in ("pandas", "polars"):
            with pytest.raises(ContextError, match="could not be loaded"):
                await session.load(wire.Load("context_0", "c", kind))  # type: ignore[arg-type]

    async def test_the_kernel_imports_the_libraries_only_for_a_frame(self, session: Session) -> None:
        await load(session, {"a": "text"})
        code = "import sys; print(sorted({'pandas', 'polars', 'pyarrow'} & set(sys.modules)))"
        assert (await run(session, code)).text == "[]\n"

    def test_the_host_imports_them_for_nobody(self) -> None:
        code = """
import sys, pathlib, tempfile
from rlm_kernel.host.inputs import prepare
folder = pathlib.Path(tempfile.mkdtemp())
for context in ("text", b"bytes", ["list"], {"a": "dict"}):
    prepare(context, folder, "context_0")
try:
    prepare(object(), folder, "context_0")
except Exception:
    pass
print(sorted({"pandas", "polars", "pyarrow", "numpy"} & set(sys.modules)))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


class TestOptions:
    """The options reach the kernel, from every door."""

    @staticmethod
    def echo() -> ScriptedModel:
        return ScriptedModel(["```repl\nanswer['content'] = ascii(context)\nanswer['ready'] = True\n```"])

    def test_a_run_decodes_as_it_was_told(self, tmp_path: Path) -> None:
        (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
        for context in (b"caf\xe9", tmp_path / "latin.txt"):
            assert RLM(self.echo(), encoding="latin-1").completion("q", context).answer == r"'caf\xe9'"
            assert RLM(self.echo(), encoding_errors="replace").completion("q", context).answer == r"'caf\ufffd'"
            assert RLM(self.echo(), encoding=None).completion("q", context).answer == r"b'caf\xe9'"
        answer = RLM(self.echo(), encoding="latin-1").completion("q", tmp_path).answer
        assert answer == r"{'latin.txt': 'caf\xe9'}"

    def test_text_that_does_not_decode_ends_the_run_before_a_model_is_asked(self) -> None:
        model = self.echo()
        with pytest.raises(ContextError, match="byte 3 is not valid utf-8"):
            RLM(model).completion("q", b"caf\xe9")
        assert model.requests == []

    def test_the_command_and_the_magic_take_them(self) -> None:
        import argparse

        from rlm_kernel.arguments import add_options, decoding, options

        parser = argparse.ArgumentParser()
        add_options(parser)
        given = options(parser.parse_args(["--encoding", "cp1252", "--encoding-errors", "ignore", "--max-calls", "3"]))
        assert decoding(given) == {"encoding": "cp1252", "encoding_errors": "ignore"}
        assert decoding(options(parser.parse_args([]))) == {}
