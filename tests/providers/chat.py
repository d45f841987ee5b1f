"""A small vocabulary for asking models in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rlm_kernel.events.values import Message
from rlm_kernel.host.providers.anthropic import AnthropicModel
from rlm_kernel.host.providers.base import Model, ModelOptions, Reply
from rlm_kernel.host.providers.openai import OpenAIModel
from tests.providers.fake_servers import FakeServer, Item, Request

Connect = Callable[..., Model]


def openai_model(server: FakeServer, **options: object) -> Model:
    return OpenAIModel("m", ModelOptions(base_url=server.openai_url, **options))


def anthropic_model(server: FakeServer, **options: object) -> Model:
    return AnthropicModel("m", ModelOptions(base_url=server.anthropic_url, **options))


@asynccontextmanager
async def asking(
    connect: Connect, script: list[Item] | Callable[[Request], Item], **options: object
) -> AsyncIterator[tuple[Model, FakeServer]]:
    """A server with a script, and a model that asks it."""
    with FakeServer(script) as server:
        model = connect(server, **options)
        try:
            yield model, server
        finally:
            await model.aclose()


async def ask(model: Model, prompt: str = "hello") -> Reply:
    """Ask as a root model is asked: somebody watches the text come, so it is streamed."""
    return await model.complete([Message("user", prompt)], lambda text: None)


async def ask_whole(model: Model, prompt: str = "hello") -> Reply:
    """Ask as a sub-call does."""
    return await model.complete([Message("user", prompt)])
