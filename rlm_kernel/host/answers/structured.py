"""Results as JSON that fits a schema: how a model is asked, how its reply is read, how it hears what was wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlm_kernel.host.answers.bounded_schema import BoundedSchema, MismatchError, Work, shorten
from rlm_kernel.host.answers.json_reply import readings

__all__ = ["MismatchError", "Structured"]

SHOWN_CHARACTERS = 4_000
"""Of a reply that is shown to the model again."""


class Structured:
    """A JSON schema (draft 2020-12) for a plain model's replies. It may come from model-written code.

    Parameters
    ----------
    schema
        The schema. It is checked here, which may take some tenths of a second for a big one: do it in a thread.

    Raises
    ------
    OptionError
        It is no valid schema, is too large, refers to another document, or uses what is not supported.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema
        self._bounded = BoundedSchema(schema)

    def instruct(self, prompt: str) -> str:
        """Return the prompt with how to reply."""
        return (
            f"{prompt}\n\nReply with JSON and nothing else: no explanation, no code fence. "
            f"It must fit this JSON schema:\n{self._bounded.text}"
        )

    def complain(self, prompt: str, reply: str, error: MismatchError) -> str:
        """Return the prompt for another try, with the reply and what was wrong with it."""
        return (
            f"{self.instruct(prompt)}\n\nYour earlier reply was:\n{shorten(reply, SHOWN_CHARACTERS)}\n\n"
            f"It does not fit the schema:\n{error}\n\nReply again, with JSON that does."
        )

    def check(self, value: Any, work: Work | None = None) -> None:
        """Check a value of JSON.

        Raises
        ------
        MismatchError
            It does not fit.
        """
        self._bounded.check(value, work)

    def read(self, text: str) -> str:
        """Return the JSON of a reply, as compact JSON text. May take a second for a big one: call it in a thread.

        The reply may be JSON alone, or hold it in a fence or in prose; for a schema of text, it may be plain text.

        Raises
        ------
        MismatchError
            It holds none that fits, or several that differ: nothing says which of them is meant.
        """
        problem, work = None, Work()
        for reading in readings(text):
            fitting: dict[str, Any] = {}
            for value in reading.values:
                try:
                    self.check(value, work)
                    fitting.setdefault(json.dumps(value, sort_keys=True), value)
                except MismatchError as error:
                    problem = problem or (None if reading.guess else error)
            if len(fitting) == 1:
                return compact(next(iter(fitting.values())))
            if fitting:
                raise MismatchError((("", f"the reply holds {len(fitting)} different values that fit; give only one"),))
            if reading.problem is not None:
                raise MismatchError((("", reading.problem),))
        raise problem or MismatchError((("", "the reply holds no JSON"),))


def compact(value: Any) -> str:
    """Return JSON text without spaces; escaped to ASCII where it holds what UTF-8 has not."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text
