"""Sampling arguments: refused before any request where they cannot work, and kept within what a run's limits leave."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.host.checks import did_you_mean

__all__ = ["LIMITS", "check_sampling", "refuse_sampling", "within"]

LIMITS = ("max_tokens", "max_completion_tokens")
"""What OpenAI's and Anthropic's protocols call the largest number of tokens in a reply."""

MAPPINGS = ("extra_body", "extra_headers", "extra_query")


def check_sampling(
    name: str, sampling: Mapping[str, Any], create: Callable[..., Any], reserved: Iterable[str] = ()
) -> None:
    """Refuse arguments that the SDK's method does not take, or whose value cannot be sent.

    Parameters
    ----------
    name
        The model's, for the error.
    sampling
        The caller's arguments.
    create
        The SDK's method that gets them.
    reserved
        Its parameters that are not the caller's to give.

    Raises
    ------
    OptionError
        One cannot work; the text suggests what can.
    """
    taken = set(inspect.signature(create).parameters) - {"self", *reserved}
    for key, value in sampling.items():
        if key in reserved:
            raise OptionError(f"sampling of {name} has {key!r}, which the run itself decides. Leave it out.")
        if key not in taken:
            raise OptionError(
                f"sampling of {name} has {key!r}, which its SDK refuses.{did_you_mean(key, taken)} "
                f"What only the server knows goes into sampling={{'extra_body': {{{key!r}: ...}}}}."
            )
        _check_value(name, key, value)


def _check_value(name: str, key: str, value: Any) -> None:
    if key in MAPPINGS and not isinstance(value, Mapping):
        raise OptionError(f"sampling[{key!r}] of {name}: expected a mapping, not {type(value).__name__}.")
    if key in LIMITS and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise OptionError(f"sampling[{key!r}]={value!r} of {name}: expected a whole number of tokens of at least 1.")
    if key == "timeout":
        if isinstance(value, bool) or (isinstance(value, int | float) and value <= 0) or isinstance(value, str):
            raise OptionError(f"sampling['timeout']={value!r} of {name}: expected seconds above 0.")
        return  # or an object of the HTTP library's
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OptionError(f"sampling[{key!r}] of {name} cannot be sent as JSON: {error}.") from error


def refuse_sampling(what: str, sampling: Mapping[str, Any], instead: str) -> None:
    """Refuse sampling for a model that has none.

    Raises
    ------
    OptionError
        There is sampling.
    """
    if sampling:
        raise OptionError(f"{what} takes no sampling ({', '.join(map(repr, sampling))}). {instead}")


def within(sampling: Mapping[str, Any], max_tokens: int | None, limit: str) -> dict[str, Any]:
    """Return the arguments of one request, with at most ``max_tokens`` for its reply.

    A limit of the caller's is lowered where it stands, also in ``extra_body``; without one, ``limit`` is its name.
    """
    arguments = dict(sampling)
    if max_tokens is None:
        return arguments
    extra = dict(arguments.get("extra_body") or {})
    lowered = [_lower(place, max_tokens) for place in (arguments, extra)]
    if extra:
        arguments["extra_body"] = extra
    if not any(lowered):
        arguments[limit] = max_tokens
    return arguments


def _lower(place: dict[str, Any], most: int) -> bool:
    found = [name for name in LIMITS if isinstance(place.get(name), int)]
    for name in found:
        place[name] = min(place[name], most)
    return bool(found)
