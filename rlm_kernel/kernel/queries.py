"""The functions that ask: `llm_query`, `rlm_query` and their batches, `budget`, `progress`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rlm_kernel import wire
from rlm_kernel.kernel.aliases import Replies, Reply
from rlm_kernel.kernel.bridge import Bridge, Kind, value_of

NOTHING: Any = type("Nothing", (), {"__repr__": lambda _: "..."})()
"""No context was passed; ``None`` could be one."""


class FailedCall(str):
    """A failed slot of a batch: a text that begins with ``Error:``, whose `error` is the reason alone."""

    error: str

    def __new__(cls, error: str) -> FailedCall:
        """Build the slot from the reason."""
        slot = super().__new__(cls, f"Error: {error}")
        slot.error = error
        return slot

    def __reduce__(self) -> tuple[type[FailedCall], tuple[str]]:
        return FailedCall, (self.error,)


class Queries:
    """Asks the host. Every function may be called from any thread."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def llm_query(self, prompt: str, model: str | None = None, schema: Any = None, *, cache: bool = True) -> Any:
        """Ask a language model one question and return its reply. The model sees only ``prompt``.

        With a JSON ``schema`` the reply is the parsed value. ``cache=False`` asks again, also for the same prompt.
        """
        return self._one("llm", prompt, model, schema, cache)

    def llm_query_batched(
        self,
        prompts: Sequence[str] | None = None,
        model: str | None = None,
        schema: Any = None,
        *,
        cache: bool = True,
        queries: Sequence[str] | None = None,
    ) -> list[Any]:
        """Ask many prompts at once; replies come in order, and a failed one is a text that begins ``Error:``."""
        return self._many("llm", _either(prompts, queries), model, schema, cache)

    async def allm_query(self, prompt: str, model: str | None = None, schema: Any = None, *, cache: bool = True) -> Any:
        """`llm_query` for ``await``."""
        results = await self._bridge.aask("llm", [_prompt(prompt)], model, schema=_schema(schema), cache=cache)
        return _value(results[0], schema)

    def rlm_query(
        self,
        prompt: str,
        model: str | None = None,
        context: Any = NOTHING,
        schema: Any = None,
        *,
        cache: bool = True,
        instruction: str | None = None,
    ) -> Any:
        """Give a task to a child RLM that has a REPL of its own, and return its answer.

        ``context`` is the child's input: text, or a list or dict of JSON values. Without one, ``prompt`` is its input
        and says what to do with it. At the depth limit this is `llm_query`.
        """
        prompt, context = _task(prompt, context, instruction)
        return self._one("rlm", prompt, model, schema, cache, self._uploaded([context]))

    async def arlm_query(
        self, prompt: str, model: str | None = None, context: Any = NOTHING, schema: Any = None, *, cache: bool = True
    ) -> Any:
        """`rlm_query` for ``await``."""
        fields = {"schema": _schema(schema), "cache": cache, "contexts": self._uploaded([context])}
        return _value((await self._bridge.aask("rlm", [_prompt(prompt)], model, **fields))[0], schema)

    def rlm_query_batched(
        self,
        prompts: Sequence[str] | None = None,
        model: str | None = None,
        context: Any = NOTHING,
        schema: Any = None,
        *,
        contexts: Sequence[Any] | None = None,
        cache: bool = True,
        queries: Sequence[str] | None = None,
    ) -> list[Any]:
        """Run many child RLMs at once; results as in `llm_query_batched`.

        ``contexts`` is an input for each prompt, ``context`` one for all.
        """
        prompts = _either(prompts, queries)
        if contexts is not None and len(contexts) != len(prompts):
            raise ValueError(f"{len(contexts)} contexts for {len(prompts)} prompts; expected one for each")
        inputs = self._uploaded([context] if contexts is None else contexts)
        return self._many("rlm", prompts, model, schema, cache, inputs)

    def budget(self) -> dict[str, dict[str, float]]:
        """Return each limit of the run: its ``limit``, what is ``used``, what is ``left``."""
        result: dict[str, dict[str, float]] = json.loads(self._host("budget"))
        return result

    def progress(self, *text: Any) -> None:
        """Show a note to the person who waits."""
        self._host("progress", " ".join(map(str, text)))

    def _host(self, name: str, *args: Any) -> str:
        return value_of(self._bridge.request("rlm_tool", wire.ToolCall("", name, list(args)))[0])

    def _uploaded(self, contexts: Sequence[Any]) -> list[str]:
        if any(isinstance(context, str | list | dict) and not context for context in contexts):
            raise ValueError("context= is empty, so there is nothing to ask about")
        return [self._bridge.upload(context) for context in contexts if context is not NOTHING]

    def _one(
        self, kind: Kind, prompt: str, model: str | None, schema: Any, cache: bool, contexts: Sequence[str] = ()
    ) -> Any:
        results = self._bridge.ask(
            kind, [_prompt(prompt)], model, schema=_schema(schema), cache=cache, contexts=contexts
        )
        return _value(results[0], schema)

    def _many(
        self,
        kind: Kind,
        prompts: Sequence[str],
        model: str | None,
        schema: Any,
        cache: bool,
        contexts: Sequence[str] = (),
    ) -> list[Any]:
        if isinstance(prompts, str):
            raise TypeError("expected a list of prompts, got one str; for one prompt there is the unbatched form")
        checked = [_prompt(prompt) for prompt in prompts]
        if len(checked) > wire.MAX_PROMPTS:
            raise ValueError(f"{len(checked):,} prompts in one batch; at most {wire.MAX_PROMPTS:,} are possible")
        if not checked:
            return Replies()
        results = self._bridge.ask(kind, checked, model, schema=_schema(schema), cache=cache, contexts=contexts)
        for result in results:
            if result.limit is not None:
                value_of(result)  # a spent limit ends the batch; a failed call only its slot
        return Replies(
            FailedCall(result.error) if result.error is not None else _value(result, schema) for result in results
        )


def _value(result: wire.CallResult, schema: Any) -> Any:
    text = value_of(result)
    return Reply(text) if schema is None else json.loads(text)


def _schema(schema: Any) -> dict[str, Any] | None:
    """Return a JSON schema; a pydantic model knows its own."""
    if schema is None or isinstance(schema, dict):
        return schema
    if callable(own := getattr(schema, "model_json_schema", None)):
        return dict(own())
    raise TypeError(f"schema= is a JSON schema as a dict, or a pydantic model, not {type(schema).__name__}")


def _either(prompts: Sequence[str] | None, queries: Sequence[str] | None) -> Sequence[str]:
    """Return what was given: ``queries`` is another harness's name of ``prompts``."""
    given = queries if prompts is None else prompts
    if given is None:
        raise TypeError("expected a list of prompts")
    return given


def _task(prompt: str, context: Any, instruction: str | None) -> tuple[str, Any]:
    """``instruction`` is what another harness calls the task, and then its first argument is the input."""
    if instruction is None:
        return prompt, context
    return instruction, prompt if context is NOTHING else context


def _prompt(prompt: Any) -> str:
    if not isinstance(prompt, str):
        raise TypeError(f"a prompt is a str, not {type(prompt).__name__}")
    if len(prompt) > wire.PROMPT_CHARACTERS:
        raise ValueError(f"a prompt of {len(prompt):,} characters; at most {wire.PROMPT_CHARACTERS:,} are possible")
    # No provider takes a lone surrogate, which a context may hold.
    return prompt if prompt.isascii() else prompt.encode("utf-8", "replace").decode("utf-8")
