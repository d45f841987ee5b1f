"""The names of a run's REPL in a person's own kernel: its input, and functions that are answered by its journal."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from typing import Any

from rlm_kernel import wire
from rlm_kernel.host.resume.again import BY_HAND
from rlm_kernel.host.resume.begin import SavedLike
from rlm_kernel.host.resume.loading import loaded_inputs
from rlm_kernel.host.resume.recorded import Recorded, RecordedCall, call_key
from rlm_kernel.host.resume.recording import recording
from rlm_kernel.host.tools import Source
from rlm_kernel.host.tools import saved as tools
from rlm_kernel.journal import find

OWN = ("exit", "quit")
"""Names that stay as the person's kernel has them."""


def give_names(run: SavedLike, user_ns: dict[str, Any]) -> list[str]:
    """Put the names that a run's root model had into a namespace, and return them.

    What `llm_query` and the others ask is looked up in the journal; what is not there is an `LLMCallError`, and nothing
    is ever paid. A cell may be run again. The run's own variables are not there: its cells make them. `random` begins
    as it did in the run.

    Raises
    ------
    ContextError
        The run's input is gone, or has changed.
    RLMError
        There is no such run, or it cannot be read.
    """
    from rlm_kernel.kernel.namespace import Namespace  # the kernel's side: it is this process that plays it
    from rlm_kernel.kernel.tools import names_of

    saved = find(run)
    past = recording(saved.events(missing="raise"), strict=True)
    asked_alone = bool(past.options.get(BY_HAND)) and not past.inputs  # a person's cell may have had no input
    inputs = [] if asked_alone else loaded_inputs(saved, past)
    own = {name: user_ns[name] for name in OWN if name in user_ns}
    before = dict(user_ns)
    answers: Any = _Answers(past.root, saved.id)
    namespace = Namespace(user_ns, answers)
    own_tools = tools.from_json(past.options.get("tools"), str, str)
    code = [tool.code for tool in own_tools.values() if isinstance(tool, Source)]
    functions = {name: "" for name, tool in own_tools.items() if not isinstance(tool, Source)}
    namespace.give(names_of(wire.Bind(tools=functions), answers))
    for number, value in enumerate(inputs):
        namespace.bind(f"context_{number}", value)
    for source in (*code, *filter(None, [past.options.get("setup_code")])):
        exec(source, user_ns)  # noqa: S102 - the caller's own, as the run's REPL had it
    user_ns.update(own)
    random.seed(past.first_run)  # as in the run's REPL
    return sorted(name for name, value in user_ns.items() if before.get(name) is not value and not name.startswith("_"))


class _Answers:
    """Stands where the kernel's bridge to the host does."""

    def __init__(self, recorded: Recorded, run: str) -> None:
        self._recorded = recorded
        self._run = run
        self._uploads: dict[str, str] = {}

    def ask(self, kind: str, prompts: Sequence[str], model: str | None = None, **fields: Any) -> list[wire.CallResult]:
        """Answer prompts, in order."""
        contexts: list[str | None] = [self._uploads[name] for name in fields.get("contexts", ())]
        contexts = contexts or [None]
        each = contexts * len(prompts) if len(contexts) == 1 else contexts
        others = {"model": model, "schema": fields.get("schema"), "source": fields.get("source")}
        return [self._one(kind, prompt, {**others, "context": it}) for prompt, it in zip(prompts, each, strict=True)]

    async def aask(self, kind: str, prompts: Sequence[str], model: str | None = None, **fields: Any) -> Any:
        """`ask` for asyncio."""
        return self.ask(kind, prompts, model, **fields)

    def request(self, msg_type: str, message: Any) -> list[wire.CallResult]:
        """Answer a call of a tool."""
        if message.tool == "progress":
            return [wire.CallResult(text="null")]
        arguments = json.dumps({"args": message.args, "kwargs": message.kwargs}, ensure_ascii=False)
        known = [call for call in self._recorded.tools.get((message.tool, arguments), ()) if call.finished is not None]
        found = next((call for call in known if not call.taken), known[-1] if known else None)
        if found is None or found.finished is None:
            return [self._missing(message.tool)]
        found.taken, ended = True, found.finished
        return [wire.CallResult(text=ended.text) if ended.status == "ok" else wire.CallResult(error=ended.text)]

    async def arequest(self, msg_type: str, message: Any) -> list[wire.CallResult]:
        """`request` for asyncio."""
        return self.request(msg_type, message)

    def upload(self, value: Any) -> str:
        """Remember an input for a child by what it holds."""
        kind, text = ("text", value) if isinstance(value, str) else ("json", json.dumps(value))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"c{len(self._uploads)}"
        self._uploads[name] = f"{kind}:{digest}"
        return name

    def _one(self, kind: str, prompt: str, others: dict[str, Any]) -> wire.CallResult:
        for each in (kind, "llm"):  # where a child could have no REPL, a plain call was made
            found = self._found(self._recorded.calls.get(call_key(each, prompt, **others), ()))
            if found is not None and found.finished is not None:
                found.taken, ended = True, found.finished
                return wire.CallResult(text=ended.text) if ended.status == "ok" else wire.CallResult(error=ended.text)
        return self._missing(prompt)

    @staticmethod
    def _found(same: Sequence[RecordedCall]) -> RecordedCall | None:
        """Return the next call of its kind; the last one again, when a cell is run again."""
        ended = [call for call in same if call.finished is not None]
        return next((call for call in ended if not call.taken), ended[-1] if ended else None)

    def _missing(self, what: str) -> wire.CallResult:
        return wire.CallResult(
            error=f"This is not in the journal of {self._run}: {what[:80]!r}. No model is asked here."
        )
