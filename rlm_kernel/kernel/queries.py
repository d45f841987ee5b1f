"""The functions that ask: `llm_query`, `rlm_query` and their batches, `budget`, `progress`."""

from __future__ import annotations

import inspect
import json
import textwrap
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
        return self._one("llm", prompt, _fields(model, schema, cache))

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
        return self._many("llm", _either(prompts, queries), _fields(model, schema, cache))

    async def allm_query(self, prompt: str, model: str | None = None, schema: Any = None, *, cache: bool = True) -> Any:
        """`llm_query` for ``await``."""
        return await self._aone("llm", prompt, _fields(model, schema, cache))

    def rlm_query(
        self,
        prompt: str,
        model: str | None = None,
        context: Any = NOTHING,
        schema: Any = None,
        *,
        cache: bool = True,
        tools: Sequence[Any] = (),
        instruction: str | None = None,
    ) -> Any:
        """Give a task to a child RLM that has a REPL of its own, and return its answer.

        ``context`` is the child's input: text, or a list or dict of JSON values. Without one, ``prompt`` is its input
        and says what to do with it. ``tools`` are functions of yours that it gets too. At the depth limit this is
        `llm_query`.
        """
        prompt, context = _task(prompt, context, instruction)
        fields = _fields(model, schema, cache, tools)
        return self._one("rlm", prompt, fields | {"contexts": self._uploaded([context])})

    async def arlm_query(
        self,
        prompt: str,
        model: str | None = None,
        context: Any = NOTHING,
        schema: Any = None,
        *,
        cache: bool = True,
        tools: Sequence[Any] = (),
    ) -> Any:
        """`rlm_query` for ``await``."""
        fields = _fields(model, schema, cache, tools)
        return await self._aone("rlm", prompt, fields | {"contexts": self._uploaded([context])})

    def rlm_query_batched(
        self,
        prompts: Sequence[str] | None = None,
        model: str | None = None,
        context: Any = NOTHING,
        schema: Any = None,
        *,
        contexts: Sequence[Any] | None = None,
        cache: bool = True,
        tools: Sequence[Any] = (),
        queries: Sequence[str] | None = None,
    ) -> list[Any]:
        """Run many child RLMs at once; results as in `llm_query_batched`.

        ``contexts`` is an input for each prompt, ``context`` one for all.
        """
        prompts = _either(prompts, queries)
        if contexts is not None and len(contexts) != len(prompts):
            raise ValueError(f"{len(contexts)} contexts for {len(prompts)} prompts; expected one for each")
        fields = _fields(model, schema, cache, tools)
        inputs = self._uploaded([context] if contexts is None else contexts)
        return self._many("rlm", prompts, fields | {"contexts": inputs})

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

    def _one(self, kind: Kind, prompt: str, fields: dict[str, Any]) -> Any:
        return _value(self._bridge.ask(kind, [_prompt(prompt)], **fields)[0], fields["schema"])

    async def _aone(self, kind: Kind, prompt: str, fields: dict[str, Any]) -> Any:
        return _value((await self._bridge.aask(kind, [_prompt(prompt)], **fields))[0], fields["schema"])

    def _many(self, kind: Kind, prompts: Sequence[str], fields: dict[str, Any]) -> list[Any]:
        if isinstance(prompts, str):
            raise TypeError("expected a list of prompts, got one str; for one prompt there is the unbatched form")
        checked = [_prompt(prompt) for prompt in prompts]
        if len(checked) > wire.MAX_PROMPTS:
            raise ValueError(f"{len(checked):,} prompts in one batch; at most {wire.MAX_PROMPTS:,} are possible")
        if not checked:
            return Replies()
        results = self._bridge.ask(kind, checked, **fields)
        for result in results:
            if result.limit is not None:
                value_of(result)  # a spent limit ends the batch; a failed call only its slot
        schema = fields["schema"]
        return Replies(
            FailedCall(result.error) if result.error is not None else _value(result, schema) for result in results
        )


def _value(result: wire.CallResult, schema: Any) -> Any:
    text = value_of(result)
    return Reply(text) if schema is None else json.loads(text)


def _fields(model: Any, schema: Any, cache: Any, tools: Sequence[Any] = ()) -> dict[str, Any]:
    """Return the fields of a call; a schema in the model's place is how another harness writes it."""
    if isinstance(model, dict) and schema is None:
        model, schema = None, model
    if not (model is None or isinstance(model, str)):
        raise TypeError(f"model= is the name of a model, not {type(model).__name__}")
    if not isinstance(cache, bool):
        raise TypeError(f"cache= is True or False, not {type(cache).__name__}")
    return {"model": model, "schema": _schema(schema), "cache": cache, "source": _source_of(tools)}


def _source_of(tools: Sequence[Any]) -> str:
    """Return the source of functions that a child is to have."""
    try:
        return "\n\n".join(textwrap.dedent(inspect.getsource(tool)) for tool in tools)
    except (TypeError, OSError) as error:
        raise TypeError(f"tools= are functions that were defined in a cell: {error}") from None


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
