"""Answers of a type: what is accepted and converted, what the model hears when it does not fit, what is refused."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter, field_validator

from rlm_kernel.errors import OptionError
from rlm_kernel.host.answers.answer_type import AnswerType, MismatchError


class Person(BaseModel):
    name: str
    age: int


class Even(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def is_even(cls, number: int) -> int:
        if number % 2:
            raise ValueError("must be even")
        return {4: 4, 6: 6}[number]  # a fault in a caller's validator: KeyError for others


@dataclasses.dataclass
class Battle:
    day: datetime.date
    sides: set[str] = dataclasses.field(default_factory=set)


class Colour(enum.Enum):
    RED = "red"


def of(kind: Any) -> AnswerType:
    answer_type = AnswerType.of(kind)
    assert answer_type is not None
    return answer_type


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (int, 42, 42),
        (int, "42", 42),
        (float, 3, 3.0),
        (bool, "False", False),
        (str, "Paris", "Paris"),
        (str, '{"a": 1}', '{"a": 1}'),
        (str, 42, "42"),
        (list[str], ["a"], ["a"]),
        (list[str], '["a", "b"]', ["a", "b"]),
        (list[str], '```json\n["a"]\n```', ["a"]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (dict[str, float], {"x": 1}, {"x": 1.0}),
        (int | None, None, None),
        (Literal["yes", "no"], "no", "no"),
        (Person, {"name": "Ada", "age": "36"}, Person(name="Ada", age=36)),
        (Person, '{"name": "Ada", "age": 36}', Person(name="Ada", age=36)),
        (list[Person], [{"name": "Ada", "age": 36}], [Person(name="Ada", age=36)]),
        (Battle, {"day": "1812-09-07", "sides": ["a", "a"]}, Battle(datetime.date(1812, 9, 7), {"a"})),
        (Colour, "red", Colour.RED),
        (TypeAdapter(list[int]), [1], [1]),
        ({"year": int, "place": str}, {"year": "1812", "place": "Borodino"}, {"year": 1812, "place": "Borodino"}),
        ({"type": int}, {"type": 3}, {"type": 3}),
        ({"who": {"name": str}}, {"who": {"name": "Ada"}}, {"who": {"name": "Ada"}}),
        ({"type": "array", "items": {"type": "integer"}}, [1], [1]),
        ({"type": "array", "items": {"type": "integer"}}, "[1]", [1]),
        ({"type": "string"}, 42, "42"),
        (Any, {"a": [None]}, {"a": [None]}),
    ],
)
def test_an_answer_that_fits_becomes_the_type(kind: Any, value: Any, expected: Any) -> None:
    found = of(kind).check(value, str(value))
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("kind", "value", "problems"),
    [
        (int, "about 42", ["Input should be a valid integer, unable to parse string as an integer"]),
        (str, ["a"], ["Input should be a valid string"]),
        (list[str], "a, b", ["Input should be a valid list"]),
        (Person, {"name": "Ada", "age": "old"}, ["age: Input should be a valid integer"]),
        (Person, {"name": 1}, ["name: Input should be a valid string", "age: Field required"]),
        (Person, '{"name": "Ada", "age": "old"}', ["age: Input should be a valid integer"]),
        (list[Person], [{"name": "a", "age": 1}, {"name": "b"}], ["[1].age: Field required"]),
        (Colour, "blue", ["Input should be 'red'"]),
        ({"year": int, "place": str}, {"year": 1812, "where": "x"}, ["place: Field required", "where: Extra inputs"]),
        ({"who": {"age": int}}, {"who": {"age": "x"}}, ["who.age: Input should be a valid integer"]),
        ({"type": "object", "required": ["a"]}, {}, ["'a' is a required property"]),
        ({"type": "array", "items": {"type": "integer"}}, '["x"]', ["[0]: 'x' is not of type 'integer'"]),
        (Person, "\ud800", ["Input should be a valid dictionary"]),
        (Even, {"number": 3}, ["number: Value error, must be even"]),
        (Even, {"number": 8}, ["its check raised KeyError: 8"]),
        (float, "{" * 1000, ["Input should be a valid number"]),
    ],
)
def test_a_mismatch_has_a_line_with_path_and_message_per_problem(kind: Any, value: Any, problems: list[str]) -> None:
    with pytest.raises(MismatchError) as mismatch:
        of(kind).check(value, str(value))
    lines = str(mismatch.value).splitlines()
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert line.startswith(problem)


@pytest.mark.parametrize("count", [11, 50, 20_000])
def test_many_problems_are_not_all_told(count: int) -> None:
    with pytest.raises(MismatchError) as mismatch:
        of(list[int]).check(["x"] * count)
    assert len(str(mismatch.value).splitlines()) in (1, 10)
    assert f"{count:,}" in str(mismatch.value) or f"and {count - 9:,} more problems" in str(mismatch.value)


def test_the_model_is_told_a_json_schema() -> None:
    assert of(list[int]).schema == {"type": "array", "items": {"type": "integer"}}
    named = of({"year": int, "place": str}).schema
    assert named["required"] == ["year", "place"]
    assert named["additionalProperties"] is False
    own = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert of(own).schema == own


def test_a_checked_answer_can_be_written_as_json_again() -> None:
    battle = of(Battle).check({"day": "1812-09-07", "sides": ["a"]})
    assert of(Battle).plain(battle) == {"day": "1812-09-07", "sides": ["a"]}
    assert AnswerType.of_schema({"type": "array"}).plain([1]) == [1]


def test_no_type_is_any_answer() -> None:
    assert AnswerType.of(None) is None


def called_with(number: int) -> int:
    raise AssertionError("a function was called with what the model wrote")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (3, "answer_type=3: pydantic cannot check it"),
        ("int", "answer_type='int': expected a type such as int or list[str], not str"),
        (called_with, "not function"),
        (len, "not builtin_function_or_method"),
        ([int], "pydantic cannot check it"),
        (..., "pydantic cannot check it"),
        (Callable[[int], int], "pydantic cannot check it"),
        (subprocess.Popen, "answer_type=Popen: pydantic cannot check it"),
        ({}, "expected names for the outputs"),
        ({"": int}, "expected names for the outputs"),
        ({1: int}, "expected names for the outputs"),
        ({"year": 3}, "pydantic cannot check it"),
        ({"year": "int"}, "answer_type['year']='int': expected a type"),
        ({"year": None}, "the output 'year' has no type"),
        ({"a": {"b": None}}, "answer_type['a']: the output 'b' has no type"),
        ({"a": {"type": "string"}}, "answer_type['a']: a JSON schema among types"),
        ({"type": "strin"}, "The JSON schema is not valid: type: 'strin'"),
        ({"$ref": "https://example.org/x"}, "refers to"),
    ],
)
def test_what_is_no_type_is_refused_early(kind: Any, message: str) -> None:
    with pytest.raises(OptionError) as refusal:
        AnswerType.of(kind)
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_pydantic_and_jsonschema_are_imported_when_they_are_needed() -> None:
    """The modules are imported by every run; these two libraries take half a second."""
    code = """
import sys
import rlm_kernel.host.answers.answer_type, rlm_kernel.host.answers.structured
import rlm_kernel.host.verify.ready
assert not {"pydantic", "pydantic_core", "jsonschema", "referencing"} & set(sys.modules), sorted(sys.modules)
rlm_kernel.host.answers.answer_type.AnswerType.of(int).check(3)
assert "pydantic" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
