"""A small vocabulary for asking models in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from rlm_kernel.events.values import Message
from rlm_kernel.host.providers.anthropic import AnthropicModel
from rlm_kernel.host.providers.base import Model, ModelOptions, Reply
from rlm_kernel.host.providers.conformance import Behaviour, Breaks, Fails, Says, Waits
from rlm_kernel.host.providers.openai import OpenAIModel
from tests.providers.fake_servers import AGAIN, Cut, FakeServer, Hang, Item, Request, Status, Text

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


@asynccontextmanager
async def openai_stage(behaviour: Behaviour, options: ModelOptions) -> AsyncIterator[Model]:
    """OpenAI's protocol for the conformance checks."""
    with staged(behaviour) as server:
        model = OpenAIModel("m", replace(options, base_url=server.openai_url))
        yield model
        await model.aclose()


@asynccontextmanager
async def anthropic_stage(behaviour: Behaviour, options: ModelOptions) -> AsyncIterator[Model]:
    """Anthropic's protocol for the conformance checks."""
    with staged(behaviour) as server:
        model = AnthropicModel("m", replace(options, base_url=server.anthropic_url))
        yield model
        await model.aclose()


def staged(behaviour: Behaviour) -> FakeServer:
    """A server that behaves as a conformance check wants it."""

    def serve(request: Request) -> Item:
        if isinstance(behaviour, Fails):
            return Status(behaviour.status, behaviour.message, AGAIN)
        if isinstance(behaviour, Breaks):
            return Cut(behaviour.text)
        if isinstance(behaviour, Waits):
            return Hang(behaviour.text)
        assert isinstance(behaviour, Says)
        behaviour.limits.append(request.body.get("max_tokens"))
        return Text(behaviour.text, behaviour.usage, behaviour.reasoning, behaviour.finish, behaviour.delay)

    server = FakeServer(serve)
    if isinstance(behaviour, Waits):
        server.waiting, server.disconnected = behaviour.reached, behaviour.left
    return server
