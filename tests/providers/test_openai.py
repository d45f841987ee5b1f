"""What only OpenAI's protocol has; the rest is in test_both_sdks.py."""

from __future__ import annotations

import json

import pytest

from rlm_kernel.errors import ModelError, OptionError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import ModelOptions, Reply
from rlm_kernel.host.providers.openai import OpenAIModel
from tests.providers.chat import ask, ask_whole, asking, openai_model
from tests.providers.fake_servers import Item, NoChoices, Raw, Text
from tests.providers.protocols import OpenAIProtocol

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


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("stream", [True, False])
async def test_reasoning_goes_by_two_names_and_may_come_without_content(name: str, stream: bool) -> None:
    message = {"role": "assistant", "content": None, name: "let me see"}
    body: dict[str, object] = {"id": "1", "object": "chat.completion", "created": 0, "model": "m"}
    body["choices"] = [{"index": 0, "finish_reason": "stop", "message": message, "delta": message}]
    item = Raw(json.dumps(body), "application/json")
    if stream:
        item = Raw(f"data: {json.dumps(body)}\n\ndata: [DONE]\n\n", "text/event-stream")
    async with asking(openai_model, [item]) as (model, _):
        reply = await (ask if stream else ask_whole)(model)
        assert reply == Reply("", Usage.of_call(None, None), "let me see", "stop")


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("content_filter", "refusal"),
        ("content_filter: PROHIBITED_CONTENT", "refusal"),
        ("something_new", None),
    ],
)
@pytest.mark.parametrize("sampling", [{}, WHOLE], ids=["streamed", "whole"])
async def test_why_a_reply_ended_is_told_in_our_words(
    reason: str, finish: str | None, sampling: dict[str, object]
) -> None:
    async with asking(openai_model, [Text("I would", finish=reason)], sampling=sampling) as (model, _):
        reply = await ask(model)
        assert (reply.text, reply.finish) == ("I would", finish)


@pytest.mark.parametrize("sampling", [{}, WHOLE], ids=["streamed", "whole"])
async def test_a_reply_that_ends_in_an_error_is_an_error(sampling: dict[str, object]) -> None:
    async with asking(openai_model, [Text("half a", finish="error")], sampling=sampling) as (model, _):
        with pytest.raises(ModelError, match="failed while it replied .finish_reason error"):
            await ask(model)


async def test_a_refusal_in_a_field_of_its_own_is_the_text() -> None:
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": None, "refusal": "I cannot"}}]}
    async with asking(openai_model, [Raw(json.dumps(body), "application/json")], sampling=WHOLE) as (model, _):
        reply = await ask(model)
        assert (reply.text, reply.finish) == ("I cannot", "refusal")


async def test_content_that_is_not_text_is_no_reply() -> None:
    body = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": [{"type": "image"}]}}]}
    async with asking(openai_model, [Raw(json.dumps(body), "application/json")], sampling=WHOLE) as (model, _):
        with pytest.raises(ModelError, match="not a model's reply"):
            await ask(model)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({}, Usage.of_call(100, 5)),
        ({"prompt_tokens_details": {"cached_tokens": 64}}, Usage.of_call(100, 5, cache_read_tokens=64)),
        ({"prompt_tokens_details": None}, Usage.of_call(100, 5)),
        (
            {"prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 8}},
            Usage.of_call(100, 5, cache_read_tokens=64, cache_write_tokens=8),
        ),
        ({"prompt_cache_hit_tokens": 32}, Usage.of_call(100, 5, cache_read_tokens=32)),
        (
            {"cache_read_input_tokens": 3, "cache_creation_input_tokens": 4},
            Usage.of_call(100, 5, cache_read_tokens=3, cache_write_tokens=4),
        ),
        ({"total_tokens": 150}, Usage.of_call(100, 50)),
        ({"completion_tokens": None}, Usage.of_call(100, None)),
        ({"prompt_tokens": "many"}, Usage.of_call(None, 5)),
        ({"cost": 0.25}, Usage.of_call(100, 5, cost=0.25)),
        ({"cost": 0}, Usage.of_call(100, 5, cost=0.0)),
        (
            {"cost": 0.1, "is_byok": True, "cost_details": {"upstream_inference_cost": 2}},
            Usage.of_call(100, 5, cost=2.1),
        ),
        ({"cost": 0.1, "is_byok": True}, Usage.of_call(100, 5)),
    ],
)
@pytest.mark.parametrize("sampling", [{}, WHOLE], ids=["streamed", "whole"])
async def test_usage_is_what_the_server_tells(
    counts: dict[str, object], usage: Usage, sampling: dict[str, object]
) -> None:
    async with asking(openai_model, [Text("hi", (100, 5), counts=counts)], sampling=sampling) as (model, _):
        assert (await ask(model)).usage == usage


async def test_an_overload_in_the_middle_of_a_stream_has_its_status() -> None:
    told: list[int] = []
    item = Raw('data: {"error": {"message": "busy", "code": 503}}\n\n', "text/event-stream")
    async with asking(openai_model, [item], on_overload=lambda: told.append(1)) as (model, _):
        with pytest.raises(ModelError, match="busy") as caught:
            await ask(model)
    assert (caught.value.status, told) == (503, [1])


@pytest.mark.parametrize(
    ("address", "limit"),
    [
        (None, "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://mine.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://localhost:8000/v1", "max_tokens"),
        ("https://openai.com.example/v1", "max_tokens"),
    ],
)
async def test_only_openai_itself_is_given_its_new_name_for_the_limit(address: str | None, limit: str) -> None:
    """Through the real SDK and a transport of ours, because OpenAI's own address is not to be asked."""
    import httpx2

    bodies: list[dict[str, object]] = []

    def serve(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, json=OpenAIProtocol.whole(Text("ok")))

    model = OpenAIModel("m", ModelOptions(api_key="key", base_url=address))
    model.get_ready()
    transport = model._client._client
    transport._mounts, transport._transport = {}, httpx2.MockTransport(serve)
    await model.complete([Message("user", "hello")], max_tokens=5)
    await model.complete([Message("user", "hello")])
    await model.aclose()
    assert bodies[0][limit] == 5
    assert not {"max_tokens", "max_completion_tokens"} & set(bodies[1])
    assert len({"max_tokens", "max_completion_tokens"} & set(bodies[0])) == 1


async def test_a_limit_under_the_callers_name_stays_there() -> None:
    async with asking(openai_model, ["ok"], sampling={"max_completion_tokens": 9}) as (model, server):
        await model.complete([Message("user", "hello")], max_tokens=5)
        assert server.requests[0].body["max_completion_tokens"] == 5
        assert "max_tokens" not in server.requests[0].body


@pytest.mark.parametrize("name", ["n", "tools", "tool_choice", "functions", "modalities"])
def test_what_would_change_the_kind_of_reply_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"'{name}', which the run itself decides"):
        OpenAIModel("m", ModelOptions(api_key="key", sampling={name: 2}))


async def test_a_proxy_of_the_environment_sees_nothing_that_goes_to_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with asking(openai_model, ["ok"]) as (model, _):
        assert (await ask(model)).text == "ok"


async def test_what_the_environment_has_for_openai_alone_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    async with asking(openai_model, ["ok"]) as (model, server):
        await ask(model)
        assert not [name for name in server.requests[0].headers if name.startswith("openai-")]


async def test_servers_are_told_nothing_of_this_machine() -> None:
    async with asking(openai_model, ["streamed", "whole"]) as (model, server):
        await ask(model)
        await ask_whole(model)
        assert len(server.requests) == 2
        assert not [name for request in server.requests for name in request.headers if name.startswith("x-stainless-")]
