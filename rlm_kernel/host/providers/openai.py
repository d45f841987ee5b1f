"""Models behind OpenAI's chat completions, and behind every server that speaks them at a ``base_url``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import cache
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import ModelOptions
from rlm_kernel.host.providers.sampling import within
from rlm_kernel.host.providers.sdk import PLACEHOLDER_KEY, Piece, SDKModel, count, number
from rlm_kernel.host.providers.server import Server

__all__ = ["OPENAI", "OpenAIModel", "create", "usage_of"]

OPENAI = Server(provider="openai", limit="max_completion_tokens")
OURS = ("model", "messages", "n", "tools", "tool_choice", "functions", "function_call", "modalities", "audio")
TELEMETRY = (
    *("X-Stainless-Lang", "X-Stainless-Package-Version", "X-Stainless-Runtime", "X-Stainless-Runtime-Version"),
    *("X-Stainless-OS", "X-Stainless-Arch", "X-Stainless-Async"),
    *("X-Stainless-Retry-Count", "X-Stainless-Read-Timeout"),
)
"""What the SDK tells servers of this machine and of itself. It takes an eighth of a request's time."""
FINISH = {
    "stop": "stop",
    "eos": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "content_filter": "refusal",
}
FAILED = ("error", "insufficient_system_resource")
"""Reasons to end that are failures: OpenRouter's and DeepSeek's."""


class OpenAIModel(SDKModel):
    """``openai/<model>``: OpenAI, or any compatible server.

    Parameters
    ----------
    model
        The server's name for the model, such as ``gpt-5-mini``.
    options
        ``sampling`` goes to ``chat.completions.create`` as it is. ``{"stream": False}`` in it asks for whole
        replies, for servers and accounts that may not stream.
    server
        Another server than OpenAI's; `compatible` has many.

    Raises
    ------
    MissingKeyError
        Neither ``api_key`` nor the server's variable nor a ``base_url`` is given, and the server wants a key.
    OptionError
        ``base_url`` is not an HTTP address, or ``sampling`` has what the SDK does not take.
    """

    reserved: ClassVar[tuple[str, ...]] = OURS

    def __init__(self, model: str, options: ModelOptions, server: Server = OPENAI) -> None:
        super().__init__(model, options, server)
        self._elsewhere = server is OPENAI and not _is_openai(self._base_url)
        # Other servers have not followed OpenAI away from max_tokens.
        self._limit = "max_tokens" if self._elsewhere else server.limit

    def _sdk(self) -> ModuleType:
        import openai

        return openai

    def _create(self) -> Callable[..., Any]:
        return create()

    def _connect(self) -> Any:
        return self._private(self._sdk().AsyncOpenAI(**self._arguments()))

    def _private(self, client: Any) -> Any:
        """Take what the environment says for OpenAI alone from a client of another server."""
        if self._server is not OPENAI or self._elsewhere:
            client.organization = client.project = None
        return client

    def _arguments(self) -> dict[str, Any]:
        """Return what the SDK's client is made of."""
        sdk = self._sdk()
        header = self._server.key_header
        return {
            "api_key": self._key or PLACEHOLDER_KEY,
            "base_url": self._base_url,
            "default_headers": {header: self._key} if header and self._key else {},
            # aiohttp: half the work per request of the SDK's own transport. A proxy that the environment names must
            # not see requests to this machine.
            "http_client": sdk.DefaultAioHttpClient(event_hooks=self._hooks, trust_env=not _is_here(self._base_url)),
        }

    async def _pieces(
        self, client: Any, messages: Sequence[Message], watched: bool, max_tokens: int | None
    ) -> AsyncGenerator[Piece, None]:
        arguments = {"stream": watched, **within(self._sampling, max_tokens, self._limit)}
        if arguments["stream"]:
            arguments.setdefault("stream_options", {"include_usage": True})
        if self._server.extra_body:
            arguments["extra_body"] = {**self._server.extra_body, **(arguments.get("extra_body") or {})}
        omitted = _omitted(authorization=bool(self._server.key_header))
        arguments["extra_headers"] = {**omitted, **(arguments.get("extra_headers") or {})}
        chat = [{"role": message.role, "content": message.content} for message in messages]
        completions = client.chat.completions
        if not arguments["stream"] and self._server.cost_header:
            raw = await completions.with_raw_response.create(model=self._model, messages=chat, **arguments)
            yield self._whole(raw.parse().to_dict(), _dollars(raw.headers.get(self._server.cost_header)))
            return
        if not arguments["stream"]:
            yield self._whole(await self._posted(client, chat, arguments))
            return
        response = await completions.create(model=self._model, messages=chat, **arguments)
        async with aclosing(self._streamed(response)) as pieces:
            async for piece in pieces:
                yield piece

    async def _streamed(self, stream: Any) -> AsyncGenerator[Piece, None]:
        finished = False
        async with stream:
            async for chunk in stream:
                if chunk.usage:
                    yield Piece(usage=usage_of(chunk.usage))
                for choice in chunk.choices or []:
                    finished = finished or choice.finish_reason is not None
                    yield self._piece(choice, choice.delta)
        if not finished:
            raise self._unfinished(stream.response)

    async def _posted(self, client: Any, chat: list[dict[str, str]], arguments: dict[str, Any]) -> Any:
        """Ask for a whole reply; return its JSON. `create` would check and copy the arguments, which takes longer."""
        named = {"extra_headers": "headers", "extra_query": "params", "timeout": "timeout"}
        options = {name: arguments[ours] for ours, name in named.items() if ours in arguments}
        body = {name: value for name, value in arguments.items() if name not in (*named, "extra_body")}
        body |= {"model": self._model, "messages": chat, **(arguments.get("extra_body") or {})}
        return await client.post("/chat/completions", cast_to=object, body=body, options=options)

    def _whole(self, completion: dict[str, Any], cost: float | None = None) -> Piece:
        choices = completion.get("choices")
        if not choices:
            raise self._error("sent no reply (no choices). Try again, or check the model's name.")
        piece = self._piece(choices[0], choices[0]["message"])
        told = completion.get("usage")
        usage = usage_of(told, cost) if told else Usage.of_call(None, None, cost=cost)
        return Piece(piece.text, piece.reasoning, usage, piece.finish)

    def _piece(self, choice: Any, message: Any) -> Piece:
        reason = _of(choice, "finish_reason")
        if reason in FAILED:
            raise self._error(f"failed while it replied (finish_reason {reason}). Try again.")
        text = _of(message, "content") or ""
        # Servers call what a model thinks aloud by either name, and some by both.
        thought = _of(message, "reasoning_content") or _of(message, "reasoning") or ""
        finish = FINISH.get(str(reason).partition(":")[0])  # Gemini's is "content_filter: SAFETY"
        if refusal := _of(message, "refusal"):
            text, finish = text or refusal, "refusal"
        if not (isinstance(text, str) and isinstance(thought, str)):
            raise TypeError("content that is not text")
        return Piece(text, thought, finish=finish)


def create() -> Callable[..., Any]:
    """Return the SDK's method that takes the sampling."""
    from openai.resources.chat.completions import AsyncCompletions

    return AsyncCompletions.create


@cache
def _omitted(*, authorization: bool) -> dict[str, Any]:
    """Return what leaves headers out, which the SDK lets only a request's own headers do."""
    from openai import Omit

    return dict.fromkeys((*TELEMETRY, "Authorization") if authorization else TELEMETRY, Omit())


def usage_of(usage: Any, cost: float | None = None) -> Usage:
    """Read a server's usage, whatever of it there is."""
    tokens_in, tokens_out = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    total = count(usage, "total_tokens")
    if tokens_in is not None and tokens_out is not None and total is not None:
        tokens_out = max(tokens_out, total - tokens_in)  # Gemini leaves thinking out of completion_tokens
    read = (
        count(usage, "prompt_tokens_details", "cached_tokens")
        or count(usage, "prompt_cache_hit_tokens")  # DeepSeek
        or count(usage, "cache_read_input_tokens")  # LiteLLM
        or 0
    )
    write = (
        count(usage, "prompt_tokens_details", "cache_write_tokens") or count(usage, "cache_creation_input_tokens") or 0
    )
    return Usage.of_call(
        tokens_in,
        tokens_out,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cost=_reported_cost(usage) if cost is None else cost,
    )


def _reported_cost(usage: Any) -> float | None:
    """OpenRouter's price: what it takes, and what the caller's own key at the upstream provider pays."""
    cost = number(usage, "cost")
    if cost is None or _of(usage, "is_byok") is not True:
        return cost
    upstream = number(usage, "cost_details", "upstream_inference_cost")
    return None if upstream is None else cost + upstream


def _of(value: Any, name: str) -> Any:
    """Return a field of the SDK's object, or of the JSON that it would be made of."""
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _dollars(text: str | None) -> float | None:
    try:
        cost = float(text or "")
    except ValueError:
        return None
    return cost if 0 <= cost < float("inf") else None


def _is_here(address: str | None) -> bool:
    return urlsplit(address or "").hostname in ("localhost", "127.0.0.1", "::1")


def _is_openai(address: str | None) -> bool:
    host = urlsplit(address or "https://api.openai.com").hostname or ""
    return host.endswith((".openai.com", ".azure.com"))  # Azure's /openai/v1 is the same protocol, to the name
