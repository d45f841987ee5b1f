"""Finds the JSON in what a model wrote. Pure, and in time linear in the text."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

STARTS = 64
"""Brackets in a text that are tried as the begin of a value."""
SHORT_CHARACTERS = 300
"""In a longer text a number, or a word in quotation marks, is not taken for the reply."""

_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"^```[\w-]*[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_BRACKET = re.compile(r"[\[{]")
_SCALAR = re.compile(r'"(?:[^"\\\n]|\\.)*"|(?<![\w-])(?<!\d[.,])-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w|[.,]\d)')
_WORDS = {"true": True, "false": False, "null": None, "none": None}


class _NotFinite(ValueError):
    pass


def _refuse(constant: str) -> Any:
    raise _NotFinite(constant)


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number[:40])


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


@dataclass(frozen=True)
class Reading:
    """Values that one way to read a text gives; ``problem`` says where JSON began and broke off.

    A ``guess`` need not have been meant as JSON: that it is not what was asked for says nothing.
    """

    values: tuple[Any, ...]
    problem: str | None = None
    guess: bool = False


def readings(text: str) -> Iterator[Reading]:
    """Yield what the text may mean, the surest first: all of it, fenced blocks, what is in brackets, lone scalars."""
    text = _THOUGHT.sub("", text, count=1).strip() if text.lstrip().startswith("<think>") else text.strip()
    yield Reading(_whole(text))
    yield Reading(tuple(value for block in _FENCE.findall(text) for value in _whole(block)))
    yield _bracketed(text)
    if len(text) <= SHORT_CHARACTERS:
        yield Reading(tuple(value for match in _SCALAR.findall(text) for value in _whole(match)), guess=True)
    yield Reading((text,) if text else (), guess=True)


def _whole(text: str) -> tuple[Any, ...]:
    word = text.strip().rstrip(".").casefold()
    if word in _WORDS:
        return (_WORDS[word],)
    try:
        return (_DECODER.decode(text),)
    except (ValueError, RecursionError):
        return ()


def _bracketed(text: str) -> Reading:
    """Return the outermost objects and arrays.

    A bracket in prose is skipped. Where JSON has begun and is broken, nothing further is read: a part of a broken value
    is not what the model meant.
    """
    found: list[Any] = []
    position = 0
    for _ in range(STARTS):
        match = _BRACKET.search(text, position)
        if match is None:
            break
        try:
            value, position = _DECODER.raw_decode(text, match.start())
            found.append(value)
        except json.JSONDecodeError as error:
            if match.start() == 0 or text[match.end() : error.pos].strip():
                return Reading((), f"the JSON is broken at line {error.lineno}, column {error.colno}: {error.msg}")
            position = match.end()
        except _NotFinite as error:
            return Reading((), f"JSON has no {error}")
        except (ValueError, RecursionError):
            return Reading((), "the JSON is nested too deep, or a number in it is too long")
    return Reading(tuple(found))
