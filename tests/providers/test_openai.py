"""What only OpenAI's protocol has; the rest is in test_both_sdks.py."""

from __future__ import annotations

import pytest

from rlm_kernel.errors import ModelError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import ModelOptions
from rlm_kernel.host.providers.openai import OpenAIModel
from tests.providers.chat import ask, ask_whole, asking, openai_model
from tests.providers.fake_servers import Item, NoChoices, Raw, Text

WHOLE = {"stream": False}


async def test_the_chat_goes_out_as_roles_and_contents() -> None:
    async with asking(openai_model, ["ok"]) as (model, server):
        await model.complete([Message("system", "be brief"), Message("user", "hello")], lambda text: None)
        body = server.requests[0].body
        assert body["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
        assert (body["model"], body["stream_options"]) == ("m", {"include_usage": True})


async def test_a_reply_that_nobody_watches_is_asked_for_whole() -> None:
    async with asking(openai_model, ["whole"]) as (model, server):
        assert (await ask_whole(model)).text == "whole"
        assert server.requests[0].body["stream"] is False


async def test_a_server_that_may_not_stream_is_asked_for_a_whole_reply() -> None:
    async with asking(openai_model, ["whole", Text("", None)], sampling=WHOLE) as (model, server):
        reply = await ask(model)
        assert (reply.text, reply.usage) == ("whole", Usage.of_call(7, 5))
        assert "stream_options" not in server.requests[0].body
        assert (await ask(model)).usage == Usage.of_call(None, None)


@pytest.mark.parametrize("sampling", [{}, WHOLE], ids=["streamed", "whole"])
async def test_no_choices_are_no_reply(sampling: dict[str, object]) -> None:
    async with asking(openai_model, [NoChoices()], sampling=sampling) as (model, _):
        with pytest.raises(ModelError, match=r"before it was complete|no choices"):
            await ask(model)


@pytest.mark.parametrize(
    "item", [Raw("<html>"), Raw('{"id": oops', "application/json"), Raw("[]", "application/json"), Raw("null")]
)
async def test_a_whole_reply_of_another_kind_is_no_reply(item: Item) -> None:
    async with asking(openai_model, lambda _: item, sampling=WHOLE) as (model, _):
        with pytest.raises(ModelError, match="not a model's reply"):
            await ask(model)


async def test_an_error_in_the_middle_of_a_stream_is_told_in_the_servers_words() -> None:
    item = Raw('data: {"error": {"message": "out of memory"}}\n\n', "text/event-stream")
    async with asking(openai_model, [item]) as (model, _):
        with pytest.raises(ModelError, match=r"failed while it replied.*out of memory"):
            await ask(model)


async def test_a_password_in_the_address_never_shows() -> None:
    async with asking(openai_model, []) as (_, server):
        address = server.openai_url.replace("http://", "http://user:hunter2@") + "/?token=hunter3"
        model = OpenAIModel("m", ModelOptions(base_url=address))
        with pytest.raises(ModelError) as caught:
            await ask(model)
        await model.aclose()
        assert "hunter" not in str(caught.value)


async def test_a_server_behind_a_base_url_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with asking(openai_model, ["ok"]) as (model, server):
        assert (await ask(model)).text == "ok"
        assert server.requests[0].headers["authorization"] == "Bearer none"


async def test_the_key_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env\n")
    async with asking(openai_model, ["ok"]) as (model, server):
        await ask(model)
        assert server.requests[0].headers["authorization"] == "Bearer sk-env"
