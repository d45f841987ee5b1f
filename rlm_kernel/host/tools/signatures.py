"""What a function takes, and the text that a model reads about it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

DEFAULT_CHARACTERS = 40
"""A longer default value is shown as ``...``."""


class _Unshown:
    def __repr__(self) -> str:
        return "..."


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return what a caller may pass; ``None`` where Python does not know, as with some functions written in C.

    What `functools.partial` has fixed by keyword is left out: the caller fixed it.
    """
    try:
        signature = inspect.signature(function, eval_str=True)
    except Exception:  # annotations that name what was only imported for type checkers
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return None
    fixed = fixed_by_partial(function)
    return signature.replace(parameters=[p for p in signature.parameters.values() if p.name not in fixed])


def fixed_by_partial(function: Callable[..., Any]) -> frozenset[str]:
    """Return the keywords that a `functools.partial` has given a value."""
    fixed: set[str] = set()
    while isinstance(function, functools.partial):
        fixed.update(function.keywords)
        function = function.func
    return frozenset(fixed)


def call_text(name: str, signature: inspect.Signature | None) -> str:
    """Return how a function is called, such as ``search(query: str, limit: int = 10) -> list[str]``."""
    return f"{name}(...)" if signature is None else f"{name}{_shown(signature)}"


def documentation(function: Callable[..., Any]) -> str:
    """Return a function's docstring, or that of a callable object's class; empty where there is none."""
    while isinstance(function, functools.partial):
        function = function.func
    call = type(function).__call__
    return inspect.getdoc(function) or (inspect.getdoc(call) if inspect.isfunction(call) else None) or ""


def first_paragraph(text: str) -> str:
    """Return the first paragraph as one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _shown(signature: inspect.Signature) -> inspect.Signature:
    """Return the signature without long defaults and without objects' addresses."""
    parameters = [
        p if p.default is p.empty or _is_short(p.default) else p.replace(default=_Unshown())
        for p in signature.parameters.values()
    ]
    return signature.replace(parameters=parameters)


def _is_short(default: Any) -> bool:
    simple = default is None or type(default) in (bool, int, float, str, tuple)
    return simple and len(repr(default)) <= DEFAULT_CHARACTERS
