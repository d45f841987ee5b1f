"""Models behind Anthropic's messages API, with prompt caching."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from types import ModuleType
from typing import Any, ClassVar

from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.sdk import PLACEHOLDER_KEY, SDKModel

MAX_TOKENS = 8192  # the API requires a number; every current model allows this one
CACHE = {"type": "ephemeral"}
INPUT_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class AnthropicModel(SDKModel):
    """``anthropic/<model>``: Anthropic, or any server that speaks its messages API.

    Parameters
    ----------
    model
        The server's name for the model, such as ``claude-sonnet-4-5``.
    options
        ``sampling`` goes to ``messages.create`` as it is; ``max_tokens`` is 8192 unless it says otherwise.

    Raises
    ------
    MissingKeyError
        Neither ``api_key`` nor ``ANTHROPIC_API_KEY`` nor a ``base_url`` is given.
    """

    provider: ClassVar[str] = "anthropic"
    key_variable: ClassVar[str] = "ANTHROPIC_API_KEY"
    url_variable: ClassVar[str] = "ANTHROPIC_BASE_URL"

    def _sdk(self) -> ModuleType:
        import anthropic

        return anthropic

    def _connect(self) -> Any:
        return self._sdk().AsyncAnthropic(api_key=self._key or PLACEHOLDER_KEY, base_url=self._base_url)

    async def _pieces(
        self, client: Any, messages: Sequence[Message], watched: bool
    ) -> AsyncGenerator[str | Usage, None]:
        arguments = {"max_tokens": MAX_TOKENS, **request(messages), **self._sampling}
        try:
            stream = await client.messages.create(model=self._model, stream=True, **arguments)
        except TypeError as error:
            raise self._refused_option(error) from error
        counts: dict[str, int] = {}
        finished = False
        async with stream:
            async for event in stream:
                if event.type == "message_start":
                    counts |= _counts(event.message)
                elif event.type == "content_block_delta" and event.delta.type == "text_delta":
                    yield event.delta.text
                elif event.type == "message_delta":
                    counts |= _counts(event)
                finished = finished or event.type == "message_stop"
        if not finished:
            kind = stream.response.headers.get("content-type", "no content type")
            raise self._error(f"ended its reply before it was complete ({kind}). Try again, or check base_url.")
        if "input_tokens" in counts:
            yield Usage.of_call(sum(counts.get(name, 0) for name in INPUT_COUNTS), counts.get("output_tokens"))


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


def _counts(event: Any) -> dict[str, int]:
    """Token counts that an event carries; later ones are totals and replace earlier ones."""
    if event.usage is None:
        return {}
    return {name: count for name, count in event.usage.to_dict().items() if isinstance(count, int)}
