"""Models behind OpenAI's chat completions, and behind every server that speaks them at a ``base_url``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from types import ModuleType
from typing import Any, ClassVar

from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.sdk import PLACEHOLDER_KEY, SDKModel


class OpenAIModel(SDKModel):
    """``openai/<model>``: OpenAI, or any compatible server.

    Parameters
    ----------
    model
        The server's name for the model, such as ``gpt-5-mini``.
    options
        ``sampling`` goes to ``chat.completions.create`` as it is. ``{"stream": False}`` in it asks for whole
        replies, for servers and accounts that may not stream.

    Raises
    ------
    MissingKeyError
        Neither ``api_key`` nor ``OPENAI_API_KEY`` nor a ``base_url`` is given.
    """

    provider: ClassVar[str] = "openai"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    url_variable: ClassVar[str] = "OPENAI_BASE_URL"

    def _sdk(self) -> ModuleType:
        import openai

        return openai

    def _connect(self) -> Any:
        # aiohttp: half the work per request of the SDK's own transport.
        transport = self._sdk().DefaultAioHttpClient()
        return self._sdk().AsyncOpenAI(
            api_key=self._key or PLACEHOLDER_KEY, base_url=self._base_url, http_client=transport
        )

    async def _pieces(
        self, client: Any, messages: Sequence[Message], watched: bool
    ) -> AsyncGenerator[str | Usage, None]:
        arguments = {"stream": watched, **self._sampling}
        if arguments["stream"]:
            arguments.setdefault("stream_options", {"include_usage": True})
        chat = [asdict(message) for message in messages]
        try:
            response = await client.chat.completions.create(model=self._model, messages=chat, **arguments)
        except TypeError as error:
            raise self._refused_option(error) from error
        read = self._streamed if arguments["stream"] else self._whole
        async with aclosing(read(response)) as pieces:
            async for piece in pieces:
                yield piece

    async def _streamed(self, stream: Any) -> AsyncGenerator[str | Usage, None]:
        finished = False
        async with stream:
            async for chunk in stream:
                if chunk.usage:
                    yield _usage(chunk)
                for choice in chunk.choices or []:
                    finished = finished or choice.finish_reason is not None
                    if choice.delta and choice.delta.content:
                        yield choice.delta.content
        if not finished:
            kind = stream.response.headers.get("content-type", "no content type")
            raise self._error(f"ended its reply before it was complete ({kind}). Try again, or check base_url.")

    async def _whole(self, completion: Any) -> AsyncGenerator[str | Usage, None]:
        if not completion.choices:
            raise self._error("sent no reply (no choices). Try again, or check the model's name.")
        if completion.usage:
            yield _usage(completion)
        if completion.choices[0].message.content:
            yield completion.choices[0].message.content


def _usage(body: Any) -> Usage:
    return Usage.of_call(body.usage.prompt_tokens, body.usage.completion_tokens)
