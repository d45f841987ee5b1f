"""What a kernel says when somebody looks into it: checked, and what is wrong with it in words."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from rlm_kernel import data, wire
from rlm_kernel.errors import ReplError, WireError
from rlm_kernel.look import Seen
from rlm_kernel.sinks.text import line, plain

NAMES = 1_000
NAME_CHARACTERS = 100
TEXT_CHARACTERS = 200_000
"""Of what a kernel shows; an honest one shows half of that."""


def checked(content: Any) -> Seen:
    """Return a look's reply.

    Raises
    ------
    ReplError
        The kernel says nonsense.
    """
    try:
        return wire.decode(Seen, content)
    except WireError as error:
        raise ReplError(f"The kernel said nonsense: {error}") from None


def names(said: Mapping[str, str]) -> dict[str, str]:
    """Return names with types, or with marks, as one-liners."""
    return {line(name, NAME_CHARACTERS): line(kind, NAME_CHARACTERS) for name, kind in islice(said.items(), NAMES)}


def text(seen: Seen, name: str) -> str:
    """Return a variable as text, without what a terminal would obey.

    Raises
    ------
    ReplError
        It is not there, or cannot be shown.
    """
    _raise(seen, name)
    return plain(seen.data[:TEXT_CHARACTERS])


def value(seen: Seen, name: str) -> Any:
    """Return a variable's value.

    Raises
    ------
    ReplError
        It is not there, is no data, or is too big.
    """
    _raise(seen, name)
    try:
        return data.load(seen.data)
    except ValueError as error:
        raise ReplError(f"The kernel said nonsense about {name!r}: {line(str(error), NAME_CHARACTERS)}.") from None


def _raise(seen: Seen, name: str) -> None:
    if seen.problem is None:
        return
    length = min(max(seen.length, 0), 10**15)
    kind, inner = line(seen.type, NAME_CHARACTERS), line(seen.inner, NAME_CHARACTERS)
    what = f"what is at {line(name + seen.where, 2 * NAME_CHARACTERS)} is a {inner}" if seen.where else f"a {inner}"
    look = f"Look at it with repl.show({name!r})."
    part = f"Take a part of it: repl.part({name!r}, 0, 100)."
    problems = {
        "missing": f"There is no variable {name!r}. repl.names() lists those there are.",
        "no_data": f"{name!r} cannot come across: {what}, and only plain data does (texts, numbers, bytes, lists, "
        f"tuples, sets, dicts). {look}",
        "no_parts": f"{name!r} is a {kind}: only texts, bytes, lists and tuples have parts. {look}",
        "too_big": f"{name!r} is too big: a {kind} of {length:,}, and as JSON it is longer than "
        f"{data.CHARACTERS:,} characters. {part}",
        "raised": f"{name!r} cannot be shown: its own code raised {kind}.",
        "busy": "The kernel is busy with other looks, which do not end. Ask again, or wait for its cell's end.",
    }
    raise ReplError(problems[seen.problem])
