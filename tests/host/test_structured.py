"""Results as JSON: schemas that model-written code has chosen, and replies that hold JSON somewhere."""

from __future__ import annotations

import json
import pickle
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from rlm_kernel.errors import OptionError
from rlm_kernel.host.answers.structured import MismatchError, Structured

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
ADA = '{"name":"Ada","age":36}'
TRAILING_COMMA = 35 if sys.version_info >= (3, 13) else 37
"""Where Python's own decoder finds fault: at the comma, or behind it."""


@pytest.mark.parametrize(
    "reply",
    [
        '{"name": "Ada", "age": 36}',
        '\n  {"name": "Ada",\n "age": 36}  \n',
        'Here it is:\n```json\n{"name": "Ada", "age": 36}\n```\nAnything else?',
        '```\n{"name": "Ada", "age": 36}\n```',
        'As [1] and {others} say, {"name": "Ada", "age": 36} is right.',
        '<think>Perhaps {"name": "Bob", "age": 1}?</think>\n{"name": "Ada", "age": 36}',
        'That is {"name": "Ada", "age": 36}, or in another order {"age": 36, "name": "Ada"}',
        'The people [{"name": 3}] are wrong; {"name": "Ada", "age": 36}',
    ],
)
def test_json_is_found_in_a_reply(reply: str) -> None:
    assert Structured(PERSON).read(reply) == ADA


@pytest.mark.parametrize(
    ("schema", "reply", "expected"),
    [
        ({"type": "integer"}, "42", "42"),
        ({"type": "integer"}, "The answer is 42.", "42"),
        ({"type": "number"}, "It is -3.5e2, roughly.", "-350.0"),
        ({"type": "boolean"}, "True.", "true"),
        ({"type": ["string", "null"]}, "null", "null"),
        ({"type": "string"}, "Paris", '"Paris"'),
        ({"type": "string"}, '"Paris"', '"Paris"'),
        ({"enum": ["yes", "no"]}, "yes", '"yes"'),
        ({"enum": ["yes", "no"]}, 'I would say "no".', '"no"'),
        ({"type": "array", "items": {"type": "string"}}, 'They are ["Ünal", "b"].', '["Ünal","b"]'),
        ({"type": "string"}, '"\\ud800"', '"\\ud800"'),
    ],
)
def test_scalars_and_texts_are_read_too(schema: dict[str, Any], reply: str, expected: str) -> None:
    text = Structured(schema).read(reply)
    assert text == expected
    text.encode()  # it can be written


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("", "the reply holds no JSON"),
        ("I do not know how old she is, 36 or 37.", "the reply holds no JSON"),
        ('{"name": "Ada", "age": "old"}', "age: 'old' is not of type 'integer'"),
        ('{"name": "Ada"}', "'age' is a required property"),
        ('{"name": "Ada", "age": 36', "the JSON is broken at line 1, column 26"),
        ('{"who": {"name": "Ada", "age": 36}, }', f"the JSON is broken at line 1, column {TRAILING_COMMA}"),
        ("{'name': 'Ada', 'age': 36}", "the JSON is broken at line 1, column 2"),
        ('{"name": "Ada", "age": 36} or {"name": "Ada", "age": 37}', "the reply holds 2 different values that fit"),
        ('{"name": "Ada", "age": NaN}', "JSON has no NaN"),
        ('{"name": "Ada", "age": 1e999}', "JSON has no 1e999"),
        ('{"name": "Ada", "age": ' + "1" * 5000 + "}", "a number in it is too long"),
        ("[" * 100_000, "nested too deep"),
        ("[" * 500 + "]" * 500, "nested deeper than 100 levels"),
    ],
)
def test_a_reply_that_does_not_fit_says_why(reply: str, problem: str) -> None:
    with pytest.raises(MismatchError) as mismatch:
        Structured(PERSON).read(reply)
    assert problem in str(mismatch.value)
    assert len(str(mismatch.value)) < 1000


def test_numbers_in_prose_are_taken_only_when_there_is_one() -> None:
    with pytest.raises(MismatchError, match="2 different values"):
        Structured({"type": "integer"}).read("Of 50, 42.")
    with pytest.raises(MismatchError, match="holds no JSON"):
        Structured({"type": "integer"}).read("1,234")
    with pytest.raises(MismatchError, match="holds no JSON"):
        Structured({"type": "boolean"}).read("It is not true")


def test_problems_are_told_with_their_paths_and_at_most_ten() -> None:
    schema = {"type": "array", "items": PERSON}
    with pytest.raises(MismatchError) as mismatch:
        Structured(schema).read(json.dumps([{"name": "a", "age": "x" * 10_000}] * 50))
    lines = str(mismatch.value).splitlines()
    assert len(lines) == len(mismatch.value.problems) == 10
    assert lines[3].startswith("[3].age: 'xxx")
    assert lines[3].endswith("xxx' is not of type 'integer'")
    assert max(map(len, lines)) < 400
    assert str(pickle.loads(pickle.dumps(mismatch.value))) == str(mismatch.value)


def test_the_model_is_told_the_schema_and_then_what_was_wrong() -> None:
    structured = Structured(PERSON)
    asked = structured.instruct("Who wrote the first program?")
    assert asked.startswith("Who wrote the first program?\n")
    assert json.dumps(PERSON) in asked
    with pytest.raises(MismatchError) as mismatch:
        structured.read('{"name": "Ada", "age": "old"}')
    again = structured.complain("Who wrote the first program?", '{"name": "Ada", "age": "old"}', mismatch.value)
    assert again.startswith(asked)
    assert '{"name": "Ada", "age": "old"}' in again
    assert "age: 'old' is not of type 'integer'" in again
    assert len(structured.complain("?", "x" * 1_000_000, mismatch.value)) < 10_000


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ([], "is an object such as"),
        ({"type": "strin"}, "not valid: type: 'strin'"),
        ({"properties": {"a": {"minimum": "3"}}}, "not valid: properties.a.minimum: '3' is not of type 'number'"),
        ({"type": "object", "description": "x" * 60_000}, "too large: 60,"),
        ({"a": {1, 2}}, "is not JSON"),
        ({"minimum": float("nan")}, "is not JSON"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "refers to 'http://127.0.0.1:9/schema.json'"),
        ({"$ref": "file:///etc/passwd"}, "refers to 'file:///etc/passwd'"),
        ({"$ref": "#/$defs/no"}, "refers to '#/$defs/no'"),
        ({"$ref": "#/default", "default": {"pattern": "(a+)+$"}}, "refers to '#/default'"),
        ({"$ref": "#/$defs/a/default", "$defs": {"a": {}, "a/default": {}}}, "refers to '#/$defs/a/default'"),
        ({"$ref": "#x", "$defs": {"#x": {}}}, "refers to '#x'"),
        ({"patternProperties": {"(a+)+$": {}}}, "uses 'patternProperties'"),
        ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "uses '$schema'"),
        ({"items": {"$id": "http://127.0.0.1:9/"}}, "uses '$id'"),
        ({"items": {"unevaluatedProperties": False}}, "uses 'unevaluatedProperties'"),
        ({"items": {"pattern": "(?=a)"}}, "Look-around and back-references are not supported"),
        ({"items": {"pattern": "((a{1000}){1000}){1000}"}}, "size limit"),
        ({"items": {"pattern": "("}}, "cannot be used"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: Any) -> None:
        raise AssertionError("a schema has opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    with pytest.raises(OptionError) as refusal:
        Structured(schema)
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_a_schema_that_is_too_deep_is_refused() -> None:
    with pytest.raises(OptionError, match="too large"):
        Structured(json.loads('{"items":' * 60 + "{}" + "}" * 60))


def test_names_of_properties_are_not_keywords() -> None:
    structured = Structured({"type": "object", "properties": {"pattern": {"const": 1}, "$ref": {"const": 2}}})
    assert structured.read('{"pattern": 1, "$ref": 2}') == '{"pattern":1,"$ref":2}'


def test_the_dialect_of_the_whole_schema_may_be_named() -> None:
    Structured({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:x", "type": "integer"}).check(3)


def test_definitions_and_recursion_work() -> None:
    node = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}
    structured = Structured({"$ref": "#/$defs/Node", "$defs": {"Node": node}})
    value: dict[str, Any] = {}
    for _ in range(45):
        value = {"below": [value]}
    structured.check(value)
    with pytest.raises(MismatchError, match=r"below\[0\]\.below: 3 is not of type 'array'"):
        structured.check({"below": [{"below": 3}]})


def _doubling() -> dict[str, Any]:
    levels = {f"A{n}": {"allOf": [{"$ref": f"#/$defs/A{n + 1}"}] * 2} for n in range(30)}
    return {"$ref": "#/$defs/A0", "$defs": {**levels, "A30": {}}}


def _nested_alternatives() -> dict[str, Any]:
    branch = {"items": {"$ref": "#/$defs/A"}, "not": {}}
    return {"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [branch, branch]}}}


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param(lambda: {"$ref": "#"}, lambda: 1, id="refers to itself"),
        pytest.param(_doubling, lambda: 1, id="2 to the 30 references"),
        pytest.param(_nested_alternatives, lambda: _nested(40), id="2 to the 40 alternatives"),
        pytest.param(lambda: {"anyOf": [{"type": "string"}] * 1000}, lambda: list(range(300_000)), id="long messages"),
        pytest.param(lambda: {"anyOf": [False] * 2000}, lambda: list(range(300_000)), id="long messages of false"),
        pytest.param(
            lambda: {"items": {"properties": {f"p{n}": {} for n in range(3000)}}},
            lambda: [{}] * 200_000,
            id="many properties of many items",
        ),
        pytest.param(
            lambda: {"anyOf": [{"pattern": f"(x{n}|a+)+$"} for n in range(1000)]},
            lambda: "a" * 1_000_000 + "b",
            id="many patterns on a long text",
        ),
    ],
)
def test_no_schema_keeps_the_host_busy(schema: Callable[[], Any], value: Callable[[], Any]) -> None:
    structured, instance = Structured(schema()), value()
    started = time.process_time()
    with pytest.raises(MismatchError, match="too large, or too far from the schema"):
        structured.check(instance)
    assert time.process_time() - started < 10  # seconds; without the count, minutes to centuries


def test_a_pattern_takes_time_linear_in_the_text() -> None:
    structured, started = Structured({"type": "string", "pattern": "^(a+)+$"}), time.process_time()
    with pytest.raises(MismatchError, match="does not match"):
        structured.check("a" * 100_000 + "b")
    structured.check("a" * 100_000)
    assert time.process_time() - started < 5


def test_unique_items_are_compared_as_json_has_it() -> None:
    structured = Structured({"uniqueItems": True})
    structured.check([1, True, "1", [1], {"a": 1}, {"a": True}, None, 0, False])
    for twice in ([1, 1.0], [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], [[], []]):
        with pytest.raises(MismatchError, match="more than once"):
            structured.check(twice)
    started = time.process_time()
    structured.check([{"n": n} for n in range(20_000)])
    assert time.process_time() - started < 5


def test_a_number_too_large_for_arithmetic_is_a_mismatch() -> None:
    with pytest.raises(MismatchError, match="a number that cannot be checked"):
        Structured({"multipleOf": 0.5}).check(10**400)


def test_a_big_honest_result_passes() -> None:
    people = [{"name": f"n{n}", "age": n} for n in range(10_000)]
    assert json.loads(Structured({"type": "array", "items": PERSON}).read(json.dumps(people))) == people
