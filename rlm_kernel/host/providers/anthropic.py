"""Models behind Anthropic's messages API, with prompt caching."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, ClassVar

from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import ModelOptions
from rlm_kernel.host.providers.sampling import within
from rlm_kernel.host.providers.sdk import PLACEHOLDER_KEY, Piece, SDKModel, count
from rlm_kernel.host.providers.server import Server

__all__ = ["ANTHROPIC", "AnthropicModel", "request"]

ANTHROPIC = Server(provider="anthropic")
MAX_TOKENS = 32_000  # the API requires a number; every model since Claude 4 allows this one
THINKING_LEAST = 1024  # tokens; the API refuses a smaller budget
CACHE = {"type": "ephemeral"}
INPUT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


class AnthropicModel(SDKModel):
    """``anthropic/<model>``: Anthropic, or any server that speaks its messages API.

    Replies are always streamed: the SDK refuses long ones otherwise.

    Parameters
    ----------
    model
        The server's name for the model, such as ``claude-sonnet-4-5``.
    options
        ``sampling`` goes to ``messages.create`` as it is; ``max_tokens`` is 32,000 unless it says otherwise, on top of
        a budget for ``thinking``.

    Raises
    ------
    MissingKeyError
        Neither ``api_key`` nor ``ANTHROPIC_API_KEY`` nor a ``base_url`` is given.
    OptionError
        ``base_url`` is not an HTTP address, or ``sampling`` has what the SDK does not take.
    """

    reserved: ClassVar[tuple[str, ...]] = ("model", "messages", "system", "stream")

    def __init__(self, model: str, options: ModelOptions) -> None:
        super().__init__(model, options, ANTHROPIC)

    def _sdk(self) -> ModuleType:
        import anthropic

        return anthropic

    def _create(self) -> Callable[..., Any]:
        from anthropic.resources.messages import AsyncMessages

        return AsyncMessages.create

    def _connect(self) -> Any:
        sdk = self._sdk()
        client = sdk.DefaultAsyncHttpxClient(event_hooks=self._hooks)
        return sdk.AsyncAnthropic(api_key=self._key or PLACEHOLDER_KEY, base_url=self._base_url, http_client=client)

    async def _pieces(
        self, client: Any, messages: Sequence[Message], watched: bool, max_tokens: int | None
    ) -> AsyncGenerator[Piece, None]:
        arguments = {**request(messages), **limited(self._sampling, max_tokens)}
        stream = await client.messages.create(model=self._model, stream=True, **arguments)
        counts: dict[str, int] = {}
        finished = False
        async with stream:
            async for event in stream:
                if event.type == "message_start":
                    counts |= _counts(event.message.usage)
                elif event.type == "content_block_delta":
                    # Signatures and redacted thoughts are neither text nor readable.
                    yield Piece(getattr(event.delta, "text", None) or "", getattr(event.delta, "thinking", None) or "")
                elif event.type == "message_delta":
                    counts |= _counts(event.usage)
                    yield Piece(finish=FINISH.get(str(event.delta.stop_reason)))
                finished = finished or event.type == "message_stop"
        if not finished:
            raise self._unfinished(stream.response)
        yield Piece(usage=_usage(counts))


def request(messages: Sequence[Message]) -> dict[str, Any]:
    """Turn a chat into ``system`` and ``messages`` as the API wants them.

    System messages are joined, empty ones dropped, neighbours of one role share a message (a block each, so
    that a longer chat still begins with the same blocks). The system prompt and the last block are marked for
    the prompt cache, unless the chat is a single message: nothing will continue it, and writing costs extra.
    """
    spoken = [message for message in messages if message.content.strip()]
    system = "\n\n".join(message.content for message in spoken if message.role == "system")
    turns: list[dict[str, Any]] = []
    for message in spoken:
        if message.role == "system":
            continue
        if not turns or turns[-1]["role"] != message.role:
            turns.append({"role": message.role, "content": []})
        turns[-1]["content"].append({"type": "text", "text": message.content})
    if len(spoken) > 1 and turns:
        turns[-1]["content"][-1]["cache_control"] = CACHE
    if not system:
        return {"messages": turns}
    return {"system": [{"type": "text", "text": system, "cache_control": CACHE}], "messages": turns}


def limited(sampling: Mapping[str, Any], max_tokens: int | None) -> dict[str, Any]:
    """Return the sampling of one request: with a limit, and with a budget for thinking that fits into it."""
    thinking = sampling.get("thinking") or {}
    budget = count(thinking, "budget_tokens") or 0
    arguments = within({"max_tokens": MAX_TOKENS + budget, **sampling}, max_tokens, "max_tokens")
    most = arguments["max_tokens"]
    if budget and budget >= most and max_tokens is not None:  # because the run's limits leave less
        fitting = {**thinking, "budget_tokens": most // 2} if most // 2 >= THINKING_LEAST else {"type": "disabled"}
        arguments["thinking"] = fitting
    return arguments


def _counts(usage: Any) -> dict[str, int]:
    """Token counts that an event carries; later ones are totals and replace earlier ones."""
    found = {name: count(usage, name) for name in (*INPUT_COUNTS, "output_tokens")}
    return {name: tokens for name, tokens in found.items() if tokens is not None}


def _usage(counts: Mapping[str, int]) -> Usage:
    if "input_tokens" not in counts:
        return Usage.of_call(None, None)
    return Usage.of_call(
        sum(counts.get(name, 0) for name in INPUT_COUNTS),
        counts.get("output_tokens"),
        cache_read_tokens=counts.get("cache_read_input_tokens", 0),
        cache_write_tokens=counts.get("cache_creation_input_tokens", 0),
    )
