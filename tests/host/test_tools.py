"""Tools as a caller passes them: what is refused, and what the prompt and the kernel hear."""

from __future__ import annotations

import datetime
import functools
import json
import math
from typing import Any

import pandas
import pytest

from rlm_kernel import wire
from rlm_kernel.errors import OptionError
from rlm_kernel.host.secret import Secret
from rlm_kernel.host.tools import RESERVED_NAMES, Source, Tools, check_tools
from tests.host.tool_vocabulary import VALUE, Finder, a_loop, fetch, search


@pytest.mark.parametrize("name", [*sorted(RESERVED_NAMES), "context_0", "context_17", "history_3"])
def test_a_reserved_name_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=rf"tools\['{name}'\]: the REPL has a '{name}' of its own"):
        Tools.of({name: search})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my tool", "expected a Python name"),
        ("", "expected a Python name"),
        ("3d", "expected a Python name"),
        ("class", "expected a Python name"),
        (7, "expected a Python name"),
        (None, "expected a Python name"),
        ("print", "builtin of Python's"),
        ("len", "builtin of Python's"),
        ("_hidden", "IPython's"),
        ("extra", "the REPL has a 'extra' of its own"),
    ],
)
def test_a_name_that_code_could_not_use_is_refused(name: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message) as raised:
        Tools.of({name: search}, reserved={"extra"})
    assert "\n" not in str(raised.value)


def generates() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "the value is nan, and JSON has no such number"),
        ({"a": [1, math.inf]}, r"the value\['a'\]\[1\] is inf"),
        ({1: "x"}, r"the value has the key 1 \(int\). Make all keys text"),
        ({"s": {1, 2}}, r"the value\['s'\] is of type set, which JSON cannot carry"),
        (b"bytes", "Decode it to text, or use base64"),
        (datetime.date(2026, 1, 1), r"of type date.*Source\('...'\) that makes it in the REPL"),
        (pandas.DataFrame({"a": [1]}), "of type DataFrame.*context="),
        (json, r"For a module, pass Source\('import ...'\)"),
        ({"token": Secret("TOKEN", VALUE)}, r"\['token'\] is a Secret, which has to be an entry of its own"),
        ({"tool": search}, r"the value\['tool'\] is of type function"),
        (a_loop(), "nested deeper than 100 levels, or holds itself"),
        ("x" * (wire.CALL_CHARACTERS + 1), "more than 4,000,000 characters"),
        (generates, "a generator's results cannot cross one by one"),
    ],
)
def test_a_value_that_json_cannot_carry_is_refused_with_advice(value: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message) as raised:
        check_tools({"thing": value}, "sub_tools")
    assert str(raised.value).startswith("sub_tools['thing']: ")
    assert "\n" not in str(raised.value)
    assert VALUE not in str(raised.value)


def test_values_that_are_too_long_together_are_refused() -> None:
    with pytest.raises(OptionError, match=r"values of 6,000,\d+ characters in all. Pass what is long as context="):
        Tools.of({"a": "x" * 3_000_000, "b": "x" * 3_000_000})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def f(x:\n  pass", "line 1 of its code is no Python"),
        ("x = 1\nreturn 3", "line 2 of its code is no Python: 'return' outside function"),
        ("def g(x): return x\nimport os", "does not define 'f'; it defines g, os"),
        ("print(1)", "does not define 'f'; it defines no name"),
        ("def g():\n    f = 1", "does not define 'f'"),
        ("f = '\0'", "does not compile|no Python"),
        ("(" * 10_000 + ")" * 10_000, "does not compile|no Python"),
        (None, r"Source\(code\) takes text, not NoneType"),
    ],
)
def test_source_that_cannot_work_is_refused(code: Any, message: str) -> None:
    with pytest.raises(OptionError, match=rf"tools\['f'\]: .*({message})"):
        Tools.of({"f": Source(code)})


@pytest.mark.parametrize(
    "code",
    ["def f(): ...", "f = 1", "import json as f", "class f: ...", "try:\n  import f\nexcept ImportError:\n  f = None"],
)
def test_source_may_define_its_name_in_any_way(code: str) -> None:
    assert Tools.of({"f": Source(code)}).sources == (code,)


def test_a_secret_that_is_not_set_is_named_when_the_run_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLM_TEST_TOKEN", raising=False)
    tools = {"TOKEN": Secret("RLM_TEST_TOKEN")}
    check_tools(tools)
    with pytest.raises(OptionError, match="RLM_TEST_TOKEN"):
        Tools.of(tools)
    monkeypatch.setenv("RLM_TEST_TOKEN", VALUE)
    assert Tools.of(tools).secrets == (VALUE,)


def test_tools_are_a_mapping() -> None:
    with pytest.raises(OptionError, match="tools: expected a mapping such as .*, not list"):
        check_tools([search])


DOCS = {
    "search": (search, "`search(query: str, limit: int = 10) -> list[str]`. Find pages."),
    "fetch": (fetch, "`fetch(url: str, *, headers: dict[str, str] | None = None) -> str`. Fetch a page."),
    "finder": (Finder(), "`finder(what: str) -> str`. Finds things."),
    "method": (Finder().method, "`method(what: str) -> str`. Find by method."),
    "first": (functools.partial(search, limit=1), "`first(query: str) -> list[str]`. Find pages."),
    "double": (lambda x: 2 * x, "`double(x)`."),
    "big": (lambda x, data=[0] * 999, thing=search: x, "`big(x, data=..., thing=...)`."),
    "least": (min, "`least(...)`."),
    "limits": ({"a": 1}, "a value of type dict."),
    "pair": ((1, 2), "a value of type list."),
    "described": ({"tool": 3, "description": "The number of tries."}, "a value of type int. The number of tries."),
    "other": ({"tool": search, "description": "Look it up."}, None),
    "TOKEN": (Secret("TOKEN", VALUE), "a secret value: pass it to a tool; it cannot be read."),
    "words": (
        Source('def words(text: str, n=3) -> list:\n    """Split it.\n\n    More."""\n    return text.split()[:n]'),
        "`words(text: str, n=3) -> list`. Split it.",
    ),
    "wait": (Source("async def wait(s): ..."), "`await wait(s)`."),
    "np": (Source("import json as np"), "defined in the REPL."),
}


@pytest.mark.parametrize("name", DOCS)
def test_the_prompt_hears_how_a_tool_is_used(name: str) -> None:
    tool, text = DOCS[name]
    ((told, about),) = Tools.of({name: tool}).docs()
    assert told == name
    if name == "least":
        assert about.startswith("`least(...)`.")
    else:
        assert about == (text or "`other(query: str, limit: int = 10) -> list[str]`. Look it up.")


def test_a_dict_that_is_not_of_the_described_form_is_a_value() -> None:
    for value in ({"tool": 1}, {"tool": 1, "description": 2}, {"tool": 1, "description": "d", "more": 3}):
        assert Tools.of({"v": value}).bind().values == {"v": value}


def test_the_kernel_hears_names_documentation_and_values() -> None:
    bind = Tools.of({name: tool for name, (tool, _) in DOCS.items()}).bind()
    assert set(bind.tools) == {
        "search", "fetch", "finder", "method", "first", "double", "big", "least", "other",
    }  # fmt: skip
    assert bind.tools["search"].startswith(
        "search(query: str, limit: int = 10) -> list[str]\n\nFind pages.\n\nThe second"
    )
    assert bind.tools["double"] == "`double(x)`."
    assert bind.values == {"limits": {"a": 1}, "pair": [1, 2], "described": 3}
    assert bind.secrets == ["TOKEN"]
    assert wire.decode(wire.Bind, json.loads(json.dumps(wire.encode(bind)))) == bind


def test_a_secret_is_nowhere_in_what_is_told() -> None:
    def send(text: str, token: str = VALUE) -> None:
        """Send with ghp-0123456789."""

    tools = Tools.of({"TOKEN": Secret("TOKEN", VALUE), "send": send, "note": [f"use {VALUE}"], "key": "sk-other-key"},
                     private=["sk-other-key"])  # fmt: skip
    told = repr([tools.bind(), tools.docs(), tools.sources])
    assert VALUE not in told
    assert "sk-other-key" not in told
    assert tools.bind().values == {"note": ["use ***"], "key": "***"}


def test_what_is_bound_does_not_change_with_the_callers_objects() -> None:
    value = {"a": [1]}
    tools = Tools.of({"v": value})
    value["a"].append(2)
    assert tools.bind().values == {"v": {"a": [1]}}
