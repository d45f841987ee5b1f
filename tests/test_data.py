"""Values on their way out of the box: what comes back is what was there, or an error."""

from __future__ import annotations

import collections
import gc
import json
import math
from typing import Any

import pytest

from rlm_kernel import data


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**200),
        1.5,
        "",
        'quo"te \\ \n \x1b \ud800 😀',
        b"",
        b"\x00\xff",
        [],
        [1, [2.5, "x"], None],
        (),
        (1, ("a",), [()]),
        {"a": {"b": [1]}, "dict": {}, "pairs": []},
        {1: "a", (2, "b"): {3}, None: 1, b"x": 2, 2.5: 3},
        {1, 2, "a", (3,)},
        frozenset({1, frozenset({2})}),
        math.inf,
        -math.inf,
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    back = data.load(data.dump(value))
    assert back == value
    assert type(back) is type(value)


def test_nan_comes_back() -> None:
    assert math.isnan(data.load(data.dump([math.nan]))[0])


class Liar(dict):  # type: ignore[type-arg]
    """A dict that says something else to all who ask it."""

    def items(self) -> Any:
        raise AssertionError("nobody asks")

    __iter__ = __len__ = __getitem__ = __eq__ = __hash__ = __repr__ = items  # type: ignore[assignment]


class Word(str):
    """A text that says something else."""

    __str__ = __repr__ = __len__ = Liar.items  # type: ignore[assignment]


class Pretender:
    """What says that it is a list."""

    @property
    def __class__(self) -> Any:
        return list


def test_subclasses_cross_as_the_plain_type_and_none_of_their_code_runs() -> None:
    assert data.load(data.dump(Liar(a=1))) == {"a": 1}
    assert data.load(data.dump({"w": Word("abc")})) == {"w": "abc"}
    assert data.load(data.dump(collections.Counter("hello"))) == {"h": 1, "e": 1, "l": 2, "o": 1}
    point = collections.namedtuple("point", "x y")
    assert data.load(data.dump([point(1, 2)])) == [(1, 2)]


@pytest.mark.parametrize(
    ("value", "kind", "where"),
    [
        (object(), "object", ""),
        ([1, {"a": (2, object())}], "object", "[1]['a'][1]"),
        (Pretender(), "Pretender", ""),
        (1j, "complex", ""),
        (1 << 20_000, "int of 20,001 bits", ""),
        ({"f": len}, "builtin_function_or_method", "['f']"),
    ],
    ids=["object", "within", "pretends", "complex", "endless", "function"],
)
def test_what_is_no_data_is_named_with_its_place(value: Any, kind: str, where: str) -> None:
    with pytest.raises(data.NotData) as caught:
        data.dump(value)
    assert (caught.value.kind, caught.value.where) == (kind, where)


def test_a_list_in_itself_is_too_deep_and_many_are_too_big() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(data.NotData, match="in more than 100 others"):
        data.dump(ring)
    deep = ["x" * 100]
    for _ in range(40):
        deep = [*deep * 2]  # type: ignore[assignment]
        if len(deep) > data.CHARACTERS // 50:
            break
    with pytest.raises(data.TooBig):
        data.dump(deep)


@pytest.mark.parametrize(
    "value",
    ["x" * (data.CHARACTERS + 1), "é" * (data.CHARACTERS // 3), b"x" * data.CHARACTERS, set(range(data.ODD_KEYS + 1))],
    ids=["text", "escaped text", "bytes", "numbers as keys"],
)
def test_what_is_too_big_is_refused(value: Any) -> None:
    with pytest.raises(data.TooBig):
        data.dump(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "NaN",
        "{}",
        '{"a": 1}',
        '{"dict": [], "set": []}',
        '{"dict": []}',
        '{"tuple": 1}',
        '{"set": [[1]]}',
        '{"pairs": [[1]]}',
        '{"pairs": [[[1], 2]]}',
        '{"pairs": 7}',
        '{"bytes": "###"}',
        '{"bytes": ["YQ=="]}',
        '{"float": "1.5"}',
        '{"object": "os.system"}',
        "[" * 100_000,
        "[" * 200 + "]" * 200,
        "9" * 5_000,
        '"' + "x" * data.CHARACTERS + '"',
        json.dumps({"set": [number * (2**61 - 1) for number in range(data.ODD_KEYS + 1)]}),
    ],
    ids=lambda text: text[:30],
)
def test_what_a_hostile_kernel_writes_is_an_error(text: str) -> None:
    gc.collect()  # what other tests have left would be collected where the stack is full, and say so
    with pytest.raises(ValueError, match=r"\w+"):
        data.load(text)
