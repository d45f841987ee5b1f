"""Secrets are used and never shown: the object, and what takes its value out of everything else."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import re
import time
from dataclasses import asdict, fields, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import quote, urlencode

import pytest

from rlm_kernel.errors import OptionError
from rlm_kernel.events import types as events
from rlm_kernel.events.codec import EVENTS, from_json, to_json
from rlm_kernel.events.values import Usage
from rlm_kernel.host.redaction import REDACTED, Redactor
from rlm_kernel.host.secret import Secret

VALUE = "s3cr\"et/ü\\+'key"
"""Every way of escaping changes it."""


def test_a_secret_shows_its_name_and_never_its_value() -> None:
    secret = Secret("TOKEN", VALUE)
    for shown in (
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        f"{secret!s}",
        repr([secret]),
    ):
        assert VALUE not in shown
        assert "Secret('TOKEN')" in shown
    assert not hasattr(secret, "__dict__")
    assert secret.reveal() == VALUE


def test_a_secret_is_not_json_and_equals_only_itself() -> None:
    secret = Secret("TOKEN", VALUE)
    assert secret != Secret("TOKEN", VALUE)
    assert {secret: 1}[secret] == 1
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_a_secret_is_pickled_by_its_name_or_not_at_all() -> None:
    """An option that is copied keeps its secrets; a file with a pickle in it holds no value."""
    from_environment, given = Secret("TOKEN"), Secret("TOKEN", VALUE)
    assert copy.copy(given) is given
    assert copy.deepcopy({"a": [given]})["a"][0] is given
    assert pickle.loads(pickle.dumps(from_environment)).name == "TOKEN"
    with pytest.raises(TypeError, match="would be plain text"):
        pickle.dumps(given)


def test_the_environment_is_read_when_the_value_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("RLM_TEST_TOKEN")
    monkeypatch.delenv("RLM_TEST_TOKEN", raising=False)
    with pytest.raises(OptionError, match=r"Secret\('RLM_TEST_TOKEN'\): there is no such environment variable"):
        secret.reveal()
    monkeypatch.setenv("RLM_TEST_TOKEN", "first")
    assert secret.reveal() == "first"
    monkeypatch.setenv("RLM_TEST_TOKEN", "second")
    assert secret.reveal() == "second"
    monkeypatch.setenv("RLM_TEST_TOKEN", "   ")
    with pytest.raises(OptionError, match="less than 4 characters"):
        secret.reveal()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("", None, "name of an environment variable"),
        (None, None, "name of an environment variable"),
        ("TOKEN", "abc", "less than 4 characters"),
        ("TOKEN", " ab \n", "less than 4 characters"),
        ("TOKEN", 12345, "as text, not int"),
        ("TOKEN", b"12345", "as text, not bytes"),
    ],
)
def test_what_is_no_secret_is_refused_at_once(name: Any, value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message) as raised:
        Secret(name, value)
    assert "\n" not in str(raised.value)


FORMS = {
    "raw": VALUE,
    "json": json.dumps({"k": VALUE}),
    "json in utf-8": json.dumps(VALUE, ensure_ascii=False),
    "repr": repr({"k": VALUE}),
    "percent": quote(VALUE, safe=""),
    "percent in lower case": re.sub("%..", lambda match: match[0].lower(), quote(VALUE, safe="")),
    "path": quote(VALUE),
    "form": urlencode({"token": VALUE}),
    "base64": base64.b64encode(VALUE.encode()).decode(),
    "base64 for urls": base64.urlsafe_b64encode(VALUE.encode()).decode(),
    "basic authorization": base64.b64encode(f"user:{VALUE}".encode()).decode(),
    "behind two": base64.b64encode(f"ab{VALUE}cd".encode()).decode(),
    "behind one": base64.b64encode(f"a{VALUE}cde".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_found_in_every_form_it_usually_takes(form: str) -> None:
    redacted = Redactor([VALUE]).text(f"before {FORMS[form]} after")
    assert REDACTED in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    for piece in ("3cr", "key", *([FORMS[form][6:14]] if "base64" in form or "behind" in form else [])):
        assert piece not in redacted


def test_white_space_around_a_value_does_not_hide_it() -> None:
    """A token read from a file ends with a line break, and a header's does not."""
    assert Redactor(["token-1234\n"]).text("Bearer token-1234") == "Bearer ***"


def test_the_longer_of_two_values_goes_first() -> None:
    redactor = Redactor(["abcd", "abcd-efgh", "efgh-1"])
    assert redactor.text("abcd abcd-efgh abcd-efgh-1 efgh-1") == "*** *** ***-1 ***"


def test_short_values_are_ignored_by_the_redactor() -> None:
    assert not Redactor(["abc", "", "  "])
    assert Redactor(["abc"]).text("abc") == "abc"


def test_lone_surrogates_are_no_hindrance() -> None:
    value = "tok\udc80en"
    assert Redactor([value]).text(f"<{value}>") == "<***>"


def test_a_value_is_redacted_at_any_depth_also_as_key_and_as_number() -> None:
    redactor = Redactor(["483920", "token-1234"])
    value = {"a": [1, {"token-1234": "x token-1234"}], "pin": 483920, "n": 4839201, "yes": True, "f": 0.5}
    assert redactor.value(value) == {"a": [1, {"***": "x ***"}], "pin": "***", "n": 4839201, "yes": True, "f": 0.5}
    assert Redactor(["0000"]).value([0, 0.0, False]) == [0, 0.0, False]


def test_what_has_no_secret_is_the_same_object() -> None:
    value = {"a": [1, {"b": "text"}], "t": ("x", 2)}
    assert Redactor(["token-1234"]).value(value) is value
    assert Redactor([]).value(value) is value


def test_what_is_nested_without_end_is_not_shown() -> None:
    """The kernel may send what it likes: it must not be able to end the run with a RecursionError."""
    deep: Any = "token-1234"
    for _ in range(5_000):
        deep = [deep]
    redacted, levels = Redactor(["token-1234"]).value(deep), 0
    while isinstance(redacted, list):
        redacted, levels = redacted[0], levels + 1
    assert redacted == REDACTED
    assert 100 < levels < 200


def filled(hint: Any) -> Any:
    """A value of that type, with a secret wherever it holds a text."""
    if hint in (str, Any):
        return "a token-1234"
    if hint in (bool, int, float):
        return hint(1)
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    if get_origin(hint) is tuple:
        return (filled(get_args(hint)[0]), filled(get_args(hint)[0]))
    if get_origin(hint) is list:
        return [filled(get_args(hint)[0])]
    if get_origin(hint) is dict:
        return {"key": filled(get_args(hint)[1]), "deeper": [{"key": filled(get_args(hint)[1])}]}
    if get_origin(hint) is UnionType:
        return filled(get_args(hint)[0])
    hints = get_type_hints(hint)
    return hint(**{field.name: filled(hints[field.name]) for field in fields(hint)})


@pytest.mark.parametrize("kind", EVENTS)
def test_no_event_holds_a_secret(kind: str) -> None:
    """Every event there is: names that the host has made stay, what anybody has written is looked through."""
    made = {name: name for name in ("node", "run", "call") if isinstance(getattr(filled(EVENTS[kind]), name, 0), str)}
    event = replace(filled(EVENTS[kind]), **made)
    redacted = Redactor(["token-1234"]).event(event)
    assert type(redacted) is type(event)
    assert to_json(redacted) == to_json(event).replace("token-1234", REDACTED)
    assert from_json(to_json(redacted)) == from_json(to_json(event).replace("token-1234", REDACTED))
    assert (redacted is event) == ("token-1234" not in to_json(event))


def test_words_of_the_protocol_stay_whatever_the_secret_is() -> None:
    """Somebody's password is "error", and the journal can still be read."""
    redactor = Redactor(["error", "stdout", "0.11"])
    event = events.CallFinished(call="0.11", status="error", text="an error", usage=Usage(), seconds=0.11)
    assert redactor.event(event) == events.CallFinished(
        call="0.11", status="error", text="an ***", usage=Usage(), seconds=0.11
    )
    output = events.CellOutput(node="0.11", cell=1, kind="stdout", data={"text/plain": "stdout"})
    assert asdict(redactor.event(output)) == asdict(output) | {"data": {"text/plain": "***"}}


def test_an_event_without_a_secret_is_the_same_object_and_costs_little() -> None:
    event = events.CellOutput(cell=1, kind="stdout", data={"text/plain": "The quick brown fox. " * 500})
    redactor = Redactor([f"token-{number}-abcdefgh" for number in range(4)])
    assert redactor.event(event) is event
    assert Redactor([]).event(event) is event
    best = min(_seconds(redactor, event) for _ in range(5))
    assert best < 0.002, f"{best * 1e6:.0f} us for 10 kB"  # measured: 30 us


def _seconds(redactor: Redactor, event: events.Event) -> float:
    started = time.perf_counter()
    redactor.event(event)
    return time.perf_counter() - started
