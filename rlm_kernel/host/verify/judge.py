"""A small model as a hook: is this sub-call needed and well cut; is its result to be trusted."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from importlib.resources import files
from string import Template
from typing import Literal

from rlm_kernel.host.answers.bounded_schema import MismatchError, shorten
from rlm_kernel.host.answers.structured import Structured
from rlm_kernel.host.verify.verdict import SubCall, Verdict

PROMPT_CHARACTERS = 24_000
RESULT_CHARACTERS = 8_000
"""Of which a small model sees the first and the last half."""

TRIES = 2
_VERDICTS = {"before": ["allow", "refuse"], "after": ["allow", "refuse", "retry"]}


class Judge:
    """A hook that asks a model, on the run's account.

    What it cannot judge, because the model fails or gives no verdict at a second request either, it refuses.
    """

    def __init__(self, model: str, when: Literal["before", "after"]) -> None:
        self.model = model
        self.__name__ = f"judge {model}"
        self._when = when

    async def __call__(self, call: SubCall, text: str = "") -> Verdict:
        """Return the model's verdict."""
        prompt = self._question(call, text)
        asked = self._form.instruct(prompt)
        for _ in range(TRIES):
            reply = await call.ask(asked, model=self.model)
            try:
                found = json.loads(self._form.read(reply))
            except MismatchError as error:
                asked = self._form.complain(prompt, reply, error)
            else:
                return Verdict(found["verdict"], reason=found["reason"])
        return Verdict.refuse(f"{self.model}, which judges, gave no verdict.")

    @cached_property
    def _form(self) -> Structured:
        reason = {"type": "string", "maxLength": 2000}
        properties = {"reason": reason, "verdict": {"enum": _VERDICTS[self._when]}}
        return Structured({"type": "object", "properties": properties, "required": ["reason", "verdict"]})

    def _question(self, call: SubCall, text: str) -> str:
        # What is judged may try to end its own quotation; it cannot hold its own hash.
        mark = hashlib.sha256(f"{call.prompt}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        template = Template((files(__package__ or "") / f"judge_{self._when}.md").read_text(encoding="utf-8").strip())
        data = f" Data of {call.input_length:,} characters comes with it, which you do not see."
        return template.substitute(
            mark=mark,
            kind="a child with a REPL of its own" if call.kind == "rlm" else "one completion of a language model",
            prompt=shorten(call.prompt, PROMPT_CHARACTERS),
            prompt_length=f"{len(call.prompt):,}",
            data=data if call.input_length else "",
            context_length=f"{call.context_length:,}" if call.context_length else "an unknown number of",
            result=shorten(text, RESULT_CHARACTERS),
        )
