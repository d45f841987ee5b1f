"""Files that are values: JSON, JSON Lines, CSV and Parquet, good and bad. A real kernel reads them where it says so."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.host.inputs import prepare, uploaded
from rlm_kernel.host.session import Session
from rlm_kernel.kernel import context
from tests.kernel.vocabulary import kernel, run

MEBI = 1 << 20
SANDBOXES = ("bubblewrap", "landlock", "process")
AWKWARD = (
    '{"a":\t"\u00e9\\r\\n\\u0000\u2028\\ud800"}\r\n\r\n  [1, 2.5, null, NaN]\n"x"\r\n123456789012345678901234567890'
)


@pytest_asyncio.fixture
async def session() -> AsyncIterator[Session]:
    async with kernel() as started:
        yield started


async def load(session: Session, value: Any, **options: Any) -> wire.Loaded:
    return await session.load(prepare(value, session.inputs, "context_0", session.shown, **options))


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Read bytes as a kernel does, in this process."""

    def read_bytes(kind: Any, data: bytes, encoding: str = "utf-8", errors: Any = "strict") -> Any:
        (tmp_path / "file").write_bytes(data)
        return context.load(wire.Load("context_0", str(tmp_path / "file"), kind, encoding, errors))

    return read_bytes


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Take libraries away."""
    return lambda *names: [monkeypatch.setitem(__import__("sys").modules, name, None) for name in names]


class TestInAKernel:
    """From the file to the variable, in every sandbox, copied and bound."""

    @pytest.mark.parametrize("bound", [True, False])
    @pytest.mark.parametrize("sandbox", SANDBOXES)
    async def test_each_format_arrives(self, sandbox: str, bound: bool, tmp_path: Path) -> None:
        pandas = pytest.importorskip("pandas")
        tmp_path.chmod(0o755)
        rows = [{"n": 1, "s": "\u00e9"}, {"n": 2, "s": "b"}]
        frame = pandas.DataFrame(rows)
        files = {name: tmp_path / name for name in ("a.json", "b.jsonl", "c.csv", "d.tsv", "e.parquet")}
        files["a.json"].write_text(json.dumps(rows), encoding="utf-8")
        files["b.jsonl"].write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
        frame.to_csv(files["c.csv"], index=False)
        frame.to_csv(files["d.tsv"], index=False, sep="\t")
        frame.to_parquet(files["e.parquet"])
        async with kernel(sandbox=sandbox, files=tuple(files.values()) if bound else ()) as session:
            for name, file in files.items():
                loaded = await load(session, file)
                assert (session.inputs / "context_0").exists() == (file not in session.shown)
                assert loaded.length == 2
                as_rows = "context" if name in ("a.json", "b.jsonl") else "context.to_dict('records')"
                assert (await run(session, f"{as_rows} == {rows!r}")).text == "True", name
                kind = "list" if as_rows == "context" else "DataFrame"
                assert loaded.type == (await run(session, "print(type(context).__name__)")).text.strip() == kind
                assert "\u00e9" in loaded.preview

    async def test_a_value_survives_a_restart_and_other_formats_can_be_asked_for(
        self, session: Session, tmp_path: Path
    ) -> None:
        (tmp_path / "log.txt").write_bytes(b'{"a": 1}\r\n{"a": 2}\r\n')
        await load(session, tmp_path / "log.txt", context_format="jsonl")
        assert (await run(session, "import os; os._exit(0)", ok=False)).result.status == "died"
        assert (await run(session, "context")).text == "[{'a': 1}, {'a': 2}]"
        await load(session, b"a;b\n1;2\n", context_format="csv")
        assert (await run(session, "context.to_dict('list')")).text == "{'a': [1], 'b': [2]}"

    async def test_as_text_a_file_keeps_every_byte(self, session: Session, tmp_path: Path) -> None:
        for name in ("a.json", "b.jsonl", "c.csv"):
            data = b"\xef\xbb\xbf" + AWKWARD.encode() + b"\r\x00"
            (tmp_path / name).write_bytes(data)
            await load(session, tmp_path / name, context_format="text")
            assert (await run(session, f"context.encode() == {data!r}")).text == "True"
            await load(session, tmp_path / name, encoding=None)
            assert (await run(session, f"context == {data!r}")).text == "True"

    async def test_values_in_json_lines_are_exact(self, session: Session, tmp_path: Path) -> None:
        (tmp_path / "b.jsonl").write_text(AWKWARD, encoding="utf-8", newline="")
        loaded = await load(session, tmp_path / "b.jsonl")
        assert loaded.length == 4
        expected = r"{'a': '\xe9\r\n\x00\u2028\ud800'}, [1, 2.5, None, nan], 'x', 123456789012345678901234567890"
        assert (await run(session, "print(ascii(context))")).text == f"[{expected}]\n"
        assert r"\ud800" in loaded.preview

    async def test_lone_surrogates_and_controls_in_a_preview_reach_the_host(self, session: Session) -> None:
        loaded = await load(session, "\ud800\r\n\x1b[31m\u202e")
        assert loaded.preview.endswith("```\n\\ud800\\r\n\\x1b[31m\\u202e\n```")

    async def test_what_is_wrong_is_said_and_the_kernel_lives(self, session: Session, tmp_path: Path) -> None:
        pytest.importorskip("pandas")
        for name, data, message in (
            ("a.json", b"{\n'a': 1}", "it is not JSON: Expecting property name .* at line 2, column 1"),
            ("b.jsonl", b"{}\n\n{", "line 3 cannot be read: it is not JSON"),
            ("c.csv", b"a,b\n1,2,3\n", "it is not a table: its rows have more fields than its header"),
            ("d.parquet", b"PAR1 but not really PAR1", "it is not Parquet that can be read"),
        ):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ContextError, match=f"The context could not be loaded: {message}") as error:
                await load(session, tmp_path / name)
            assert "\n" not in str(error.value)
            assert "context_format=" in str(error.value)
            assert (await run(session, "1 + 1")).text == "2"

    async def test_a_file_that_is_removed_between_the_check_and_the_load(
        self, session: Session, tmp_path: Path
    ) -> None:
        pytest.importorskip("pandas")
        for name in ("a.json", "b.jsonl", "c.csv", "d.parquet"):
            (tmp_path / name).write_text("[1]")
            prepared = prepare(tmp_path / name, session.inputs, "context_0")
            (session.inputs / "context_0").unlink()
            with pytest.raises(ContextError, match=r"the kernel cannot read it \(No such file or directory\)"):
                await session.load(prepared)

    async def test_a_parsed_value_that_does_not_fit_is_an_error_and_the_kernel_lives(self, tmp_path: Path) -> None:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        (tmp_path / "a.jsonl").write_bytes(b"[[],[],[],[],[],[],[],[],[],[]]\n" * 1_000_000)
        (tmp_path / "b.csv").write_bytes(b"abcdefghijklmnopqrstuvwxyz,123456789,0.123456789,x\n" * 4_000_000)
        rows = arrow.table({"a": [0] * 1_000_000, "b": ["some text"] * 1_000_000})
        with parquet.ParquetWriter(tmp_path / "c.parquet", rows.schema) as file:
            for _ in range(60):
                file.write_table(rows)
        async with kernel(memory_mb=640) as session:
            for name in ("a.jsonl", "b.csv", "c.parquet"):
                with pytest.raises(ContextError, match="does not fit into the kernel's memory. Raise memory_mb"):
                    await load(session, tmp_path / name)
                assert (await run(session, "1 + 1")).text == "2"

    async def test_an_upload_becomes_the_value_that_was_sent(self, session: Session, tmp_path: Path) -> None:
        for number, (kind, value) in enumerate(
            [("text", "a\r\n\ud800\u00e9"), ("json", {"a": ["\ud800\r", 1.5, None]})]
        ):
            text = value if kind == "text" else json.dumps(value, ensure_ascii=False)
            (tmp_path / "upload").write_bytes(str(text).encode("utf-8", "surrogatepass"))
            await session.load(uploaded(tmp_path / "upload", kind, session.inputs, f"context_{number}"))  # type: ignore[arg-type]
            assert (await run(session, f"context == {value!r}")).text == "True"
        (tmp_path / "upload").write_bytes(b'{"a": ')
        with pytest.raises(ContextError, match="it is not JSON: Expecting value at line 1, column 7"):
            await session.load(uploaded(tmp_path / "upload", "json", session.inputs, "context_2"))

    async def test_without_pandas_a_csv_is_a_list_of_dicts(self, session: Session, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_bytes(b'id,text\r\n007,"a, ""b""\r\nc"\r\n')
        (tmp_path / "b.parquet").write_bytes(b"PAR1")
        await run(session, "import sys; sys.modules['pandas'] = sys.modules['polars'] = None")
        loaded = await load(session, tmp_path / "a.csv")
        assert (await run(session, "context")).text == repr([{"id": "007", "text": 'a, "b"\r\nc'}])
        assert loaded.description == "a list of 1 items, all dict with the keys 'id', 'text'"
        with pytest.raises(
            ContextError, match=r"needs pandas and pyarrow \(or polars\).*pandas is not there.*packages="
        ):
            await load(session, tmp_path / "b.parquet")


class TestJSON:
    """Without a kernel."""

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
    def test_encodings_and_byte_order_marks(self, read: Any, encoding: str) -> None:
        data = '{"\u00e9": 1}'.encode(encoding)
        assert read("json", data, encoding) == {"\u00e9": 1}
        assert read("jsonl", data + "\n[]".encode(encoding).removeprefix(b"\xff\xfe"), encoding) == [{"\u00e9": 1}, []]
        if encoding == "utf-8":
            assert read("json", b"\xef\xbb\xbf" + data) == {"\u00e9": 1}
            assert read("jsonl", b"\xef\xbb\xbf" + data) == [{"\u00e9": 1}]

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"plain text", "Expecting value at line 1, column 1. context_format='text' loads the file as text."),
            (b'{"a": 1}\n{"a": 2}\n', "Extra data at line 2, column 1. If each line .* context_format='jsonl'"),
            (b"\n\n[1,\n  2,]", r"at line 4, column"),
            (b"[" * 100_000, "nested too deeply .*RecursionError"),
            (b"9" * 10_000, "Python's JSON reader refuses it .*digits"),
            (b'{"a": "\xff"}', "byte 7 is not valid utf-8"),
            (b" ", "Expecting value at line 1"),
        ],
    )
    def test_what_is_not_json_says_where(self, read: Any, data: bytes, message: str) -> None:
        with pytest.raises(ContextError, match=message) as error:
            read("json", data)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (
                b'{"a": 1}\r\n\r\n{"a": \r\n',
                r"^line 3 cannot be read: it is not JSON: Expecting value at column \d+. cont",
            ),
            (b"{}\n{} {}\n", "^line 2 cannot be read: it is not JSON: Extra data at column 4"),
            (b"[1,\n2]\n", "^line 1 cannot be read"),
            (b"1\n" + b"[" * 100_000 + b"\n", "^line 2 cannot be read: it is nested too deeply"),
            (b"1\n" * 50_000 + b'"\xff"\n', "^byte 100,001 is not valid utf-8"),
            (b"\n \r\n\t\n", "^it has no values: every line is empty"),
        ],
    )
    def test_a_broken_line_is_named(self, read: Any, data: bytes, message: str) -> None:
        with pytest.raises(ContextError, match=message):
            read("jsonl", data)

    def test_only_line_ends_end_a_line(self, read: Any) -> None:
        data = '"a\u2028b\u0085c\x0b"'.replace("\x0b", "\\u000b").encode()
        assert read("jsonl", data + b"\r\n" + data) == ["a\u2028b\u0085c\x0b"] * 2

    def test_json_lines_need_room_for_the_values_only(self, read: Any, tmp_path: Path) -> None:
        line = json.dumps({f"a long name of a column {i}": i for i in range(20)}).encode() + b"\n"
        data = line * (8 * MEBI // len(line))
        tracemalloc.start()
        try:
            rows = read("jsonl", data)
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(rows) == 8 * MEBI // len(line)
        assert kept < 1.6 * len(data)  # twice that, where each row has names of its own
        assert peak < kept + MEBI


class TestTables:
    """Without a kernel."""

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
            (b"a\tb\n1\tx, y; z\n2\ty\n", {"a": [1, 2], "b": ["x, y; z", "y"]}),
            (b"a;b\n1,5;x\n2,5;y", {"a": ["1,5", "2,5"], "b": ["x", "y"]}),
            (b"a|b\n1|x\n", {"a": [1], "b": ["x"]}),
            (b"text\none, two\n", None),
            (b"text\none\n", {"text": ["one"]}),
            (b'\xef\xbb\xbf"a",b\r\n1,"x\r\ny"\r\n', {"a": [1], "b": ["x\r\ny"]}),
            (b'a,b\n1,x "y" z\n', {"a": [1], "b": ['x "y" z']}),
            (b"a,a\n1,2\n", {"a": [1], "a.1": [2]}),
            (b"a,b\r1,2\r3,4\r", {"a": [1, 3], "b": [2, 4]}),
            (b"a,b\n1,2,\n3,4\n", {"a": [1, 3], "b": [2, 4]}),
        ],
    )
    def test_with_and_without_pandas(self, read: Any, without: Any, data: bytes, expected: Any) -> None:
        pytest.importorskip("pandas")
        if expected is None:
            with pytest.raises(ContextError, match="1 fields in line 2, saw 2|more fields than its header"):
                read("csv", data)
        else:
            assert read("csv", data).to_dict("list") == expected
        without("pandas")
        if expected is None:
            with pytest.raises(ContextError, match="Expected 1 fields in line 2, saw 2. context_format='text'"):
                read("csv", data)
        else:
            rows = read("csv", data)
            assert {name: [row[name] for row in rows] for name in rows[0]} == {
                name: list(map(str, column)) for name, column in expected.items()
            }

    def test_a_field_that_is_missing_stays_missing(self, read: Any, without: Any) -> None:
        pandas = pytest.importorskip("pandas")
        frame = read("csv", b"a,b\n1\n\n3,4\n")
        assert (frame["a"].tolist(), pandas.isna(frame["b"]).tolist()) == ([1, 3], [True, False])
        without("pandas")
        assert read("csv", b"a,b\n1\n\n3,4\n") == [{"a": "1", "b": None}, {"a": "3", "b": "4"}]

    @pytest.mark.parametrize(
        ("data", "with_pandas", "alone"),
        [
            (b"a,b\n1,2\n3,4,5\n", "Expected 2 fields in line 3, saw 3.", "Expected 2 fields in line 3, saw 3."),
            (b"a,b\n1,2,3\n3,4,5\n", "its rows have more fields", "Expected 2 fields in line 2, saw 3."),
            (b'a,b\n1,"x\ny\n3,4\n', "EOF inside string starting at row 1", "unexpected end of data"),
            (b"a,b\n", "its table has no rows", "its table has no rows"),
            (b"\n\n", "No columns to parse from file", "its table has no rows"),
            (b"a,b\n\xff,2\n", "byte 4 is not valid utf-8", "byte 4 is not valid utf-8"),
            (b"a,b\n" + b"1,2\n" * 50_000 + b"1,\xff\n", "byte 200,006 is not valid", "byte 200,006 is not valid"),
        ],
    )
    def test_what_is_no_table_says_why(
        self, read: Any, without: Any, data: bytes, with_pandas: str, alone: str
    ) -> None:
        pytest.importorskip("pandas")
        for message in (with_pandas, alone):
            with pytest.raises(ContextError, match=message) as error:
                read("csv", data)
            assert "\n" not in str(error.value)
            without("pandas")

    def test_a_column_has_one_type_however_long_it_is(self, read: Any) -> None:
        pytest.importorskip("pandas")
        frame = read("csv", b"a\n" + b"1\n" * 1_500_000 + b"x\n")
        assert set(map(type, frame["a"])) == {str}

    def test_long_fields_and_policies(self, read: Any, without: Any) -> None:
        import csv

        pytest.importorskip("pandas")
        data = b"a,b\n" + b"x" * 1_000_000 + b",caf\xe9\n"
        assert read("csv", data, "latin-1")["b"][0] == "caf\u00e9"
        assert read("csv", data, errors="replace")["b"][0] == "caf\ufffd"
        with pytest.raises(ContextError, match="its text cannot be a table's"):
            read("csv", data, errors="surrogateescape")
        without("pandas")
        saved = csv.field_size_limit()
        assert read("csv", data, errors="surrogateescape")[0]["b"] == "caf\udce9"
        assert len(read("csv", data, "latin-1")[0]["a"]) == 1_000_000
        assert csv.field_size_limit() == saved

    def test_parquet_by_whichever_library_is_there(self, read: Any, without: Any, tmp_path: Path) -> None:
        pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
        folder = tmp_path / "year=2020"  # no column
        folder.mkdir()
        pandas.DataFrame({"a": [1, 2], "b": ["x", None]}).to_parquet(folder / "f")
        request = wire.Load("context_0", str(folder / "f"), "parquet")
        frame = context.load(request)
        assert (type(frame), list(frame.columns), frame["a"].tolist()) == (pandas.DataFrame, ["a", "b"], [1, 2])
        without("pandas")
        frame = context.load(request)
        assert (type(frame), frame.rows()) == (polars.DataFrame, [(1, "x"), (2, None)])
        without("polars")
        with pytest.raises(ContextError, match=r"pandas is not there. Name an environment that has them in packages="):
            context.load(request)

    @pytest.mark.parametrize("missing", [(), ("pandas",)])
    def test_what_is_not_parquet(self, read: Any, without: Any, missing: tuple[str, ...]) -> None:
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("polars")
        good = pandas.DataFrame({"a": range(1_000)}).to_parquet()
        empty = pandas.DataFrame({"a": []}).to_parquet()
        without(*missing)
        broken = bytearray(good)
        broken[20:60] = b"\xff" * 40
        for data in (b"no", b"PAR1" + b"x" * 100 + b"\x10\0\0\0PAR1", good[:-20], bytes(broken)):
            with pytest.raises(
                ContextError, match="it is not Parquet that can be read: .* Another context_format="
            ) as error:
                read("parquet", data)
            assert "\n" not in str(error.value)
        with pytest.raises(ContextError, match="its table has 0 rows and 1 columns"):
            read("parquet", empty)
