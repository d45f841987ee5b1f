"""The caller's tools in the REPL: functions that ask the host, values, and secrets that are only names."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, ToolError

SECRET_MARK = "__secret__"  # noqa: S105
"""``{SECRET_MARK: name}`` stands for a secret among arguments; the host puts its value there."""

MAX_DEPTH = 100
"""How deep lists and dicts may be nested."""


class Requests(Protocol):
    """What is needed of `rlm_kernel.kernel.bridge.Bridge`, which gives the message its ``id`` and ``cell``."""

    def request(self, msg_type: str, message: Any) -> list[wire.CallResult]:
        """Send a message and wait for its results; an interrupt of the cell ends it."""

    async def arequest(self, msg_type: str, message: Any) -> list[wire.CallResult]:
        """`request` for asyncio."""


class Secret:
    """A value that only the host knows. It can be passed to tools, anywhere in their arguments, and nothing else."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"Secret({self._name!r})"

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError(f"{self!r} is no text: only the host has its value. Pass it to a tool as it is.")

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, (self._name,)


def names_of(bind: wire.Bind, bridge: Requests) -> dict[str, Any]:
    """Return the names that the caller gave the REPL, and what they mean there: functions, values, secrets."""
    functions = {name: function(name, doc, bridge) for name, doc in bind.tools.items()}
    return {**bind.values, **{name: Secret(name) for name in bind.secrets}, **functions}


def function(name: str, doc: str, bridge: Requests) -> Callable[..., Any]:
    """Return a function that calls the host's of that name; its attribute ``aio`` is the same as a coroutine.

    It is copied and pickled by its name, as all functions are, and refuses to work in another process: answers come to
    this one.

    Raises
    ------
    TypeError
        When called: JSON cannot carry an argument.
    ValueError
        When called: the arguments are too long.
    ToolError
        When called: the tool failed; the text is the host's reason.
    """
    process = os.getpid()

    def message(args: tuple[Any, ...], kwargs: dict[str, Any]) -> wire.ToolCall:
        if os.getpid() != process:
            raise ToolError(f"{name}() works only in the REPL's own process. Use threads, or await {name}.aio().")
        return wire.ToolCall("", name, *arguments(name, args, kwargs))

    def tool(*args: Any, **kwargs: Any) -> Any:
        return _value(bridge.request("rlm_tool", message(args, kwargs)))

    async def aio(*args: Any, **kwargs: Any) -> Any:
        return _value(await bridge.arequest("rlm_tool", message(args, kwargs)))

    for made, known_as in ((tool, name), (aio, f"{name}.aio")):
        made.__module__, made.__name__, made.__qualname__ = "__main__", known_as.rpartition(".")[2], known_as
        made.__doc__ = doc
    tool.aio = aio  # type: ignore[attr-defined]
    return tool


def arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a call as JSON values, with marks where secrets are.

    Tuples become lists, and numpy's and others' arrays and numbers what their ``tolist`` says.

    Raises
    ------
    TypeError
        JSON cannot carry one of them; the text says which, and what is wrong with it.
    ValueError
        They are too long together.
    """
    plain_args = [_argument(name, f"argument {number}", value) for number, value in enumerate(args, 1)]
    plain_kwargs = {key: _argument(name, f"argument {key!r}", value) for key, value in kwargs.items()}
    characters = len(json.dumps([plain_args, plain_kwargs], ensure_ascii=False))
    if characters > wire.CALL_CHARACTERS:
        most = f"at most {wire.CALL_CHARACTERS:,} are possible"
        raise ValueError(f"{name}(): arguments of {characters:,} characters; {most}. Pass less.")
    return plain_args, plain_kwargs


def _argument(name: str, which: str, value: Any) -> Any:
    try:
        return _plain(value, 0)
    except TypeError as error:
        raise TypeError(f"{name}(): {which} {error}") from None


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"holds {value}, and JSON has no such number. Use None instead.")
        return float(value)
    if isinstance(value, Secret):
        return {SECRET_MARK: value._name}
    if depth >= MAX_DEPTH:
        raise TypeError(f"is nested deeper than {MAX_DEPTH} levels, or holds itself. Make it flat.")
    if isinstance(value, dict):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    to_list = getattr(value, "tolist", None)
    if callable(to_list) and not isinstance(value, type):
        return _plain(to_list(), depth + 1)
    raise TypeError(
        f"holds something of type {type(value).__name__}. A tool runs outside the REPL, so only text, numbers, True, "
        "False, None, and lists and dicts of them can be passed."
    )


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"holds a dict with the key {repr(key)[:40]} ({type(key).__name__}). Make all keys text.")
    return str.__str__(key)


def _value(results: list[wire.CallResult]) -> Any:
    """Return what the host's function returned, or raise what the host says."""
    if not results:
        raise ToolError("The host sent no result.")
    result = results[0]
    if result.limit is not None:
        raise LimitReached(result.limit, result.maximum)
    if result.error is not None:
        raise ToolError(result.error)
    return json.loads(result.text)
