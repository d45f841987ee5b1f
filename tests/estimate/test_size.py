"""How big an input is, without reading a file and without writing a value."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from rlm_kernel.host.estimate import InputSize, words
from rlm_kernel.host.estimate.ranges import Range
from rlm_kernel.host.estimate.size import measure
from rlm_kernel.host.options import Options
from tests.estimate.past import rlm


def size_of(value: Any, **options: Any) -> InputSize:
    return measure(value, Options.of(**options))


def test_a_file_of_a_gigabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    said = rlm().estimate("q", path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said.input == InputSize(1 << 30, "text")
    assert str(said).startswith("1.07 GB of text, about 270 M tokens; ")
    assert most < 20 << 20, "bytes that Python has asked for"


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("a.txt", {}, "text"),
        ("a.csv", {}, "text"),
        ("a.json", {}, "JSON"),
        ("a.JSONL", {}, "JSON"),
        ("a.parquet", {}, "tables"),
        ("a.txt", {"encoding": None}, "data"),
        ("a.txt", {"context_format": "json"}, "JSON"),
    ],
)
def test_a_file_is_what_its_name_or_the_option_says(
    tmp_path: Path, name: str, options: dict[str, Any], what: str
) -> None:
    (tmp_path / name).write_bytes(b"x" * 400)
    found = size_of(tmp_path / name, **options)
    assert found == InputSize(400, what)
    assert found.tokens == (100 if what in ("text", "JSON") else None)


def test_of_a_folder_the_files_of_text_count(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 1000)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("ä" * 1000)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0" * 1000)
    (tmp_path / ".hidden").write_text("x" * 1000)
    (tmp_path / "key").symlink_to("/etc/passwd")
    assert size_of(tmp_path) == InputSize(3000, "text")


@pytest.mark.parametrize("text", ["x" * 5, "ä" * 1000, "語" * 3_000_000, ("x" * 900 + "语" * 100) * 5000, "\ud800"])
def test_a_text_has_the_bytes_of_its_utf_8(text: str) -> None:
    exact = len(text.encode("utf-8", "surrogatepass"))
    assert size_of(text) == InputSize(pytest.approx(exact, rel=0.02), "text")


def test_bytes_are_counted() -> None:
    assert size_of(b"abcd") == size_of(bytearray(b"abcd")) == size_of(memoryview(b"abcd")) == InputSize(4, "text")
    assert size_of(b"abcd", encoding=None) == InputSize(4, "data")


VALUES: dict[str, Any] = {
    "rows": [{"id": n, "text": "word " * (n % 7), "ok": True, "none": None} for n in range(50_000)],
    "wide rows": [{f"column {n}": "x" * n for n in range(40)} for _ in range(5000)],
    "chat": [{"role": "user", "content": "hello " * 100}] * 10,
    "numbers": list(range(1_000_000, 1_100_000)),
    "nested": {"a": [{"b": [{"c": ["d" * 9] * 50} for _ in range(30)]} for _ in range(20)]},
    "empty inside": [[], {}, ""],
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_has_about_the_bytes_of_its_json(value: Any) -> None:
    found = size_of(value)
    assert found.what == "JSON"
    assert found.bytes == pytest.approx(len(json.dumps(value)), rel=0.1)


def test_a_mapping_of_texts_is_text() -> None:
    files = {f"src/{n}.py": "line\n" * (n % 100) for n in range(20_000)}
    found = size_of(files)
    assert found.what == "text"
    assert found.bytes == pytest.approx(sum(map(len, files.values())), rel=0.1)


def test_a_value_without_an_end_is_measured_too() -> None:
    endless: list[Any] = ["x"]
    endless.append(endless)
    assert size_of(endless).bytes > 0


def test_frames_have_about_the_bytes_of_their_text() -> None:
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    columns = {"id": list(range(20_000)), "review": [f"a review, number {n}" for n in range(20_000)]}
    frame = pandas.DataFrame(columns)
    exact = len(frame.to_csv(index=False))
    for found in (size_of(frame), size_of(polars.DataFrame(columns))):
        assert (found.what, found.tokens) == ("tables", None)
        assert found.bytes == pytest.approx(exact, rel=0.05)
    assert size_of(polars.DataFrame({"o": [object()]})).bytes > 0


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 byte"),
        (18, "18 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (12_400_000, "12.4 MB"),
        (99_960, "100 kB"),
        (999_600, "1 MB"),
        (123_456_789, "123 MB"),
        (5_000_000_000_000_000, "5,000 TB"),
    ],
)
def test_bytes_in_words(count: int, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "about 1 token"),
        (44, "about 44 tokens"),
        (4512, "about 4,500 tokens"),
        (3_100_000, "about 3.1 M tokens"),
        (0, "about 0 tokens"),
        (999_900, "about 1 M tokens"),
        (268_435_456, "about 270 M tokens"),
    ],
)
def test_tokens_in_words(count: int, text: str) -> None:
    assert words.tokens(count) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.1, 0.45, "$0.10 to $0.45"),
        (1234.5, 1234.5, "$1,234.50"),
        (0, 0.0004, "$0 to $0.0004"),
        (0.0096, 0.01, "$0.01"),
        (0.00123, 0.0021, "$0.001 to $0.002"),
    ],
)
def test_money_in_words(low: float, high: float, text: str) -> None:
    assert words.money(Range(low, low, high)) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (120, 300, "2 to 5 min"),
        (20, 180, "20 s to 3 min"),
        (0.01, 0.2, "1 s"),
        (60, 99, "60 to 99 s"),
        (3000, 7200, "50 min to 2 h"),
        (100, 5969, "2 to 99 min"),
        (60, 180, "1 to 3 min"),
        (50, 180, "50 s to 3 min"),
        (5970, 9000, "1.7 to 2.5 h"),
    ],
)
def test_time_in_words(low: float, high: float, text: str) -> None:
    assert words.time(Range(low, low, high)) == text


@pytest.mark.parametrize(
    ("low", "high", "text"), [(1, 1, "1 call"), (40, 120, "40 to 120 calls"), (2.75, 1234.4, "3 to 1,234 calls")]
)
def test_calls_in_words(low: float, high: float, text: str) -> None:
    assert words.calls(Range(low, low, high)) == text
