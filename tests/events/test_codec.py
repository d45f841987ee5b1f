"""Events survive the journal: written as a line of JSON, and read back the same."""

from __future__ import annotations

import json
import types as python_types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from rlm_kernel.events import types as events
from rlm_kernel.events.codec import EVENTS, from_json, to_json
from rlm_kernel.events.types import Event
from tests.events.stories import mystery

FIELDS = [
    (kind, name, hint)
    for kind in EVENTS.values()
    for name, hint in get_type_hints(kind).items()
    if name != "type" and hint is not Any
]


def example(hint: Any) -> Any:
    """Some value of a type."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return args[-1]
    if origin in (Union, python_types.UnionType):
        return example(args[0])
    if origin is tuple:
        return (example(args[0]), example(args[0]))
    if origin is dict:
        return {"text/plain": "ü", "nested": {"list": [1, 2.5, None, True]}}
    if is_dataclass(hint):
        return sample(hint)
    return {bool: True, str: 'line\nline \u2028 \x1b[31m "quoted" 数', int: 7, float: 0.25, Any: [{"k": None}, "v"]}[
        hint
    ]


def sample(kind: Any) -> Any:
    hints = get_type_hints(kind)
    return kind(**{field.name: example(hints[field.name]) for field in fields(kind)})


def test_every_event_type_is_known_to_the_codec() -> None:
    assert set(EVENTS) == {kind.type for kind in Event.__subclasses__() if kind.__module__ == events.__name__}
    assert len(set(EVENTS.values())) == len(EVENTS)
    assert all(kind.type == tag for tag, kind in EVENTS.items())


@pytest.mark.parametrize("kind", EVENTS.values(), ids=EVENTS)
def test_every_event_survives_the_round_trip_on_one_flat_line(kind: type[Event]) -> None:
    event = sample(kind)
    line = to_json(event)
    assert from_json(line) == event
    assert len(line.splitlines()) == 1
    assert set(json.loads(line)) == {"type", *(field.name for field in fields(kind))}


def test_a_whole_run_survives_the_round_trip() -> None:
    run = mystery()
    assert [from_json(to_json(event)) for event in run] == run


def test_text_that_is_not_unicode_survives() -> None:
    event = events.Note(text="\ud800 and \udfff, \x00 and \x85")
    assert from_json(to_json(event)) == event
    assert to_json(event).isascii()


def test_numbers_that_json_lacks_become_null_and_the_line_stays_json() -> None:
    event = events.NodeAnswered(value={"a": [float("nan"), 1.5], "b": (float("-inf"),)}, text="x")
    assert "NaN" not in to_json(event)
    back = from_json(to_json(event))
    assert isinstance(back, events.NodeAnswered)
    assert back.value == {"a": [None, 1.5], "b": [None]}


def test_a_deeply_nested_answer_is_written_and_read() -> None:
    value: list[Any] = []
    for _ in range(400):
        value = [value]
    event = events.NodeAnswered(value=value, text="deep")
    assert to_json(from_json(to_json(event))) == to_json(event)


def test_a_newer_writers_fields_are_ignored() -> None:
    content = json.loads(to_json(events.Note(text="hello")))
    assert from_json(json.dumps({**content, "colour": "blue"})) == events.Note(text="hello")


@pytest.mark.parametrize(("kind", "name", "hint"), FIELDS, ids=[f"{kind.type}-{name}" for kind, name, _ in FIELDS])
def test_a_field_of_the_wrong_type_is_refused_by_name(kind: type[Event], name: str, hint: Any) -> None:
    content = json.loads(to_json(sample(kind)))
    with pytest.raises(ValueError, match=f"(?i){name}"):  # a value within is named by its class, as Usage
        from_json(json.dumps({**content, name: [{"wrong": 1}] if get_origin(hint) is not tuple else "wrong"}))


@pytest.mark.parametrize("name", ["type", "seq", "time", "node", "text", "usage", "seconds", "iteration"])
def test_a_missing_field_is_refused_by_name(name: str) -> None:
    content = json.loads(to_json(sample(events.ModelReplied)))
    del content[name]
    with pytest.raises(ValueError, match=name):
        from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "not JSON"),
        ('{"type": "note", "te', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "not an event, but a JSON list"),
        ('{"type": "sneeze", "seq": 0, "time": 0, "node": "0"}', "unknown event type 'sneeze'"),
        ('{"type": ["note"], "seq": 0, "time": 0, "node": "0"}', "unknown event type"),
    ],
)
def test_what_is_no_event_is_refused_in_one_line(line: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        from_json(line)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
