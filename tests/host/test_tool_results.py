"""What comes back from a tool: JSON, or an error that tells nothing of the host."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import math
import os
import sys
import time
import uuid
from collections import Counter, OrderedDict, deque, namedtuple
from pathlib import Path
from typing import Any

import pandas
import polars
import pydantic
import pytest

from rlm_kernel.errors import ToolError
from rlm_kernel.host.secret import Secret
from tests.host.tool_vocabulary import VALUE, a_loop, called, failure, search


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Page:
    title: str
    tags: set[str]
    when: datetime.date = datetime.date(2026, 1, 2)


class Model(pydantic.BaseModel):
    name: str
    at: datetime.datetime
    password: pydantic.SecretStr = pydantic.SecretStr("hidden")


Point = namedtuple("Point", "x y")
ID = uuid.UUID(int=5)

RESULTS: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (1.5, 1.5),
    (10**30, 10**30),
    ("ü\ud800\u2028\0", "ü\ud800\u2028\0"),
    ((1, (2,)), [1, [2]]),
    ({"b", "a"}, ["a", "b"]),
    (frozenset({3, 1}), [1, 3]),
    (deque([1, 2]), [1, 2]),
    ({"a": 1}.keys(), ["a"]),
    ({"a": 1}.values(), [1]),
    (Counter("aab"), {"a": 2, "b": 1}),
    (OrderedDict(a=Color.RED), {"a": "red"}),
    (Level.HIGH, 3),
    (Point(1, 2), {"x": 1, "y": 2}),
    (Page("t", {"z", "y"}), {"title": "t", "tags": ["y", "z"], "when": "2026-01-02"}),
    (
        Model(name="n", at=datetime.datetime(2026, 1, 2, 3, 4)),
        {"name": "n", "at": "2026-01-02T03:04:00", "password": "**********"},
    ),
    (datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), "2026-01-02T00:00:00+00:00"),
    (datetime.time(1, 2), "01:02:00"),
    (decimal.Decimal("1.10"), "1.10"),
    (ID, str(ID)),
    (Path("a/b"), str(Path("a/b"))),
    (
        pandas.DataFrame({"a": [1, 2], "b": [0.1, math.nan], "t": pandas.to_datetime(["2026-01-02", None])}),
        [{"a": 1, "b": 0.1, "t": "2026-01-02T00:00:00"}, {"a": 2, "b": None, "t": None}],
    ),
    (pandas.DataFrame({"a": [1]}, index=["i"]).a, [1]),
    (pandas.DataFrame({"a": [1]}).a.to_numpy(), [1]),
    (pandas.Series([1.5]).iloc[0], 1.5),
    (pandas.Series([7]).iloc[0], 7),
    (polars.DataFrame({"a": [1, None], "b": [math.nan, 0.1]}), [{"a": 1, "b": None}, {"a": None, "b": 0.1}]),
]


@pytest.mark.parametrize(("result", "expected"), RESULTS, ids=lambda value: type(value).__name__)
async def test_what_a_function_returns_becomes_json(result: Any, expected: Any) -> None:
    async def asynchronous() -> Any:
        return result

    for function in (lambda: result, asynchronous):
        value = await called(function)
        assert value == expected
        assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (math.nan, "The result of f is nan, and JSON has no such number. Use None instead."),
        ([1, {"a": (2, -math.inf)}], "The result of f[1]['a'][1] is -inf"),
        (b"x", "of type bytes, which JSON cannot carry. Decode it to text, or use base64."),
        (object(), "of type object, which JSON cannot carry. Return text, numbers"),
        ({"f": sys.stderr}, "The result of f['f'] is of type"),
        ((x for x in [1]), "of type generator"),
        (Page, "of type type"),
        (search, "of type function"),
        ({1: 2}, "has the key 1 (int). Make all keys text."),
        (a_loop(), "is nested deeper than 100 levels, or holds itself"),
        ("x" * 4_000_001, "more than 4,000,000 characters of JSON. Make it smaller."),
        ([1234567] * 1_000_000, "has 9,000,000 characters of JSON; at most 4,000,000 are possible"),
        (Secret("TOKEN", VALUE), "is a Secret"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "several columns of one name"),
        (pandas.DataFrame([[1, 2]]), "has the key 0 (int)"),
        (10**5000, "ValueError: Exceeds the limit"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
async def test_what_json_cannot_carry_is_an_error_that_says_what_is_possible(result: Any, message: str) -> None:
    said = await failure(lambda: result)
    assert message in said
    assert "\n" not in said


async def test_a_result_whose_own_code_raises_is_an_error() -> None:
    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise RuntimeError("no items")

    assert await failure(Hostile) == "RuntimeError: no items"


async def test_an_exception_is_its_type_and_message() -> None:
    def raises() -> None:
        raise LookupError("no such page")

    async def raises_later() -> None:
        await asyncio.sleep(0)
        raise LookupError("no such page")

    assert await failure(raises) == await failure(raises_later) == "LookupError: no such page"


async def test_a_tool_may_say_all_itself_with_a_tool_error() -> None:
    def raises() -> None:
        raise ToolError("The index is being built; try again in a minute.")

    assert await failure(raises) == "The index is being built; try again in a minute."


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), StopIteration("s"), GeneratorExit(), MemoryError()]
)
async def test_no_exception_ends_more_than_the_call(error: BaseException) -> None:
    """`StopIteration` cannot be put into a future, and `SystemExit` in a task ends the whole event loop."""

    def raises() -> None:
        raise error

    async def raises_later() -> None:
        raise error

    assert (await failure(raises)).startswith(type(error).__name__)
    if isinstance(error, Exception | SystemExit):
        assert (await failure(raises_later)).startswith(("RuntimeError", type(error).__name__))


async def test_a_function_that_cancels_itself_fails_alone() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    assert await failure(cancelled) == "f was cancelled by itself."


async def test_an_exception_whose_text_raises_is_its_type() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def raises() -> None:
        raise Odd

    assert await failure(raises) == "Odd"


async def test_an_error_tells_no_secret_and_is_cut() -> None:
    def raises(token: str) -> None:
        raise ValueError(f"401 for token {token}, {token!r} " + "x" * 100_000)

    said = await failure(raises, {"__secret__": "TOKEN"})
    assert said.startswith("ValueError: 401 for token ***, '***' xxx")
    assert len(said) < 2_100


async def test_an_error_tells_no_folder_of_the_host(tmp_path: Path) -> None:
    folder = tmp_path / "my folder"

    def raises(how: str) -> None:
        if how == "open":
            (folder / "no such.txt").read_text()
        if how == "rename":
            os.rename(folder / "a b.txt", folder / "c d.txt")
        if how == "traceback":
            import traceback

            try:
                raise KeyError("inner")
            except KeyError:
                raise RuntimeError(traceback.format_exc()) from None
        raise ValueError({
            "text": f"config {tmp_path}/a.toml is bad (see {sys.prefix}/lib:12), file://{tmp_path}/b.txt",
            "quoted": f'cannot load "{folder}/model.bin"',
            "windows": r"C:\Users\me\data\x.csv is locked",
            "url": "GET https://api.example.com/v1/users/7 failed: /v1/users and a/b/c and 3/4",
        }[how])  # fmt: skip

    assert await failure(raises, "open") == "FileNotFoundError: [Errno 2] No such file or directory: '.../no such.txt'"
    assert "'.../a b.txt' -> '.../c d.txt'" in await failure(raises, "rename")
    assert await failure(raises, "traceback") == "RuntimeError: KeyError: 'inner'"
    assert await failure(raises, "text") == "ValueError: config .../a.toml is bad (see .../lib:12), .../b.txt"
    assert await failure(raises, "quoted") == 'ValueError: cannot load ".../model.bin"'
    assert await failure(raises, "windows") == "ValueError: .../x.csv is locked"
    url = "ValueError: GET https://api.example.com/v1/users/7 failed: /v1/users and a/b/c and 3/4"
    assert await failure(raises, "url") == url


async def test_an_error_of_any_size_is_said_at_once() -> None:
    """A model chooses what a tool echoes: no text may keep the host's event loop busy."""

    def raises(text: str) -> None:
        raise ValueError(text)

    for text in ("'" + "/" * 3_000_000, "'/a" * 1_000_000, "/a/" * 1_000_000, "C:\\" + "a\\" * 1_000_000):
        started = time.perf_counter()
        await failure(raises, text)
        assert time.perf_counter() - started < 2  # measured: 0.02
