"""Ready-made hooks: results must be supported by their passage, and the whole input is not handed down.

RLM(model, before_call=no_whole_context(), after_call=supported_by_passage())
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.host.answers.bounded_schema import shorten
from rlm_kernel.host.verify.claims import Passage, claims
from rlm_kernel.host.verify.verdict import SubCall, Verdict

NAMED = 5
"""Claims without support that the model is told of."""


def supported_by_passage(minimum: float = 1.0, *, names: bool = True) -> Callable[[SubCall, str], Verdict]:
    """Return an ``after_call`` hook: what a result quotes, dates, counts and names must stand in its prompt.

    Case, white space, typographic marks and the way of writing a date or a number do not matter. It is meant for calls
    that extract: what a model has computed, translated or knows by itself stands in no passage. A child with a REPL
    reads what is not in its prompt; its results pass.

    Parameters
    ----------
    minimum
        The part of these claims that must be found, from 0 to 1.
    names
        Whether proper names count: words with a capital inside a sentence. Leave them out for German.

    Raises
    ------
    OptionError
        ``minimum`` is no such number.
    """
    _check_share("supported_by_passage(minimum", minimum)

    def supported_by_passage(call: SubCall, text: str) -> Verdict:
        if call.kind == "rlm" or call.input_length:
            return Verdict.allow("Not checked: the model has read what is not in its prompt.")
        made = [claim for part in _texts(text) for claim in claims(part, names=names)]
        if not made:
            return Verdict.allow("It claims nothing that could be looked up.")
        passage = Passage(call.prompt)
        missing = [claim for claim in made if not passage.holds(claim)]
        found = len(made) - len(missing)
        if found >= minimum * len(made):
            return Verdict.allow(f"The passage has {found} of {len(made)} claims.")
        told = ", ".join(f'{claim.kind} "{shorten(claim.text, 100)}"' for claim in missing[:NAMED])
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        return Verdict.retry(
            f"The passage does not have: {told}{more}. Say only what it says, quote it word for word, "
            "and say so where it does not tell."
        )

    return supported_by_passage


def no_whole_context(share: float = 0.6, least: int = 5000) -> Callable[[SubCall], Verdict]:
    """Return a ``before_call`` hook that refuses to hand most of the input to a single sub-call.

    That is dear, and a model that reads all of it at once is what the REPL is there to avoid.

    Parameters
    ----------
    share
        The part of the asking node's own input, from 0 to 1, from which on a call is refused.
    least
        Characters below which a call is never refused: a short input may be read at once.

    Raises
    ------
    OptionError
        ``share`` is no such number.
    """
    _check_share("no_whole_context(share", share)

    def no_whole_context(call: SubCall) -> Verdict:
        handed, whole = len(call.prompt) + call.input_length, call.context_length
        if not whole or handed < max(least, share * whole):
            return Verdict.allow()
        return Verdict.refuse(
            f"it hands down {handed:,} characters, and the whole context has {whole:,}. "
            "Filter it with code first, or cut it into parts and ask about each."
        )

    return no_whole_context


def _texts(result: str) -> Iterator[str]:
    """Yield a result's text; of JSON, its texts and numbers one by one: its keys and quotation marks claim nothing."""
    try:
        value = json.loads(result)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list | dict):
        yield value if isinstance(value, str) else result
        return
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list | dict):
            waiting += item.values() if isinstance(item, dict) else item
        elif isinstance(item, str):
            yield item
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield str(abs(item))


def _check_share(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise OptionError(f"{name}={value!r}): expected a number from 0 to 1.")
