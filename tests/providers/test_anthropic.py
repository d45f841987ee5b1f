"""What only Anthropic's protocol has; the rest is in test_both_sdks.py."""

from __future__ import annotations

import pytest

from rlm_kernel.errors import ModelError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.anthropic import MAX_TOKENS, limited, request
from tests.providers.chat import anthropic_model, ask, ask_whole, asking
from tests.providers.fake_servers import Raw, Text

CACHED = {"cache_control": {"type": "ephemeral"}}


def block(text: str, **more: object) -> dict[str, object]:
    return {"type": "text", "text": text, **more}


def test_system_messages_are_joined_and_leave_the_chat() -> None:
    asked = request([Message("system", "one"), Message("user", "hello"), Message("system", "two")])
    assert asked["system"] == [block("one\n\ntwo", **CACHED)]
    assert asked["messages"] == [{"role": "user", "content": [block("hello", **CACHED)]}]


def test_neighbours_of_one_role_share_a_message_and_empty_ones_are_dropped() -> None:
    asked = request([Message("user", "a"), Message("assistant", " "), Message("user", "b")])
    assert asked == {"messages": [{"role": "user", "content": [block("a"), block("b", **CACHED)]}]}


def test_a_longer_chat_begins_with_the_same_blocks() -> None:
    chat = [Message("system", "s"), Message("user", "a"), Message("assistant", "b"), Message("user", "c")]
    texts = [
        [part["text"] for turn in request(chat[:length])["messages"] for part in turn["content"]] for length in (2, 4)
    ]
    assert texts == [["a"], ["a", "b", "c"]]


def test_a_single_message_is_not_written_to_the_cache() -> None:
    assert request([Message("user", "a")]) == {"messages": [{"role": "user", "content": [block("a")]}]}


async def test_a_request_has_the_version_header_and_a_limit_of_tokens() -> None:
    async with asking(anthropic_model, ["ok"], api_key="key") as (model, server):
        await ask(model)
        assert server.requests[0].body["max_tokens"] == MAX_TOKENS
        headers = server.requests[0].headers
        assert "key" in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))
        assert headers["anthropic-version"]


async def test_an_overload_in_the_middle_of_a_stream_is_told_in_the_servers_words() -> None:
    error = '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    async with asking(anthropic_model, lambda _: Raw(f"event: error\ndata: {error}\n\n", "text/event-stream")) as (
        model,
        _,
    ):
        with pytest.raises(ModelError, match=r"Try again.*Overloaded") as caught:
            await ask(model)
        assert caught.value.status == 529


async def test_an_overload_in_the_middle_of_a_stream_is_told_too() -> None:
    told: list[int] = []
    error = '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'
    item = Raw(f"event: error\ndata: {error}\n\n", "text/event-stream")
    async with asking(anthropic_model, lambda _: item, on_overload=lambda: told.append(1)) as (model, _):
        with pytest.raises(ModelError):
            await ask(model)
    assert told == [1]


async def test_thinking_blocks_are_reasoning_and_not_text() -> None:
    item = Text("so it is 42", reasoning="let me see")
    async with asking(anthropic_model, [item, item]) as (model, _):
        pieces: list[str] = []
        reply = await model.complete([Message("user", "hello")], pieces.append)
        assert (reply.text, reply.reasoning) == ("so it is 42", "let me see")
        assert "".join(pieces) == reply.text
        assert await ask_whole(model) == reply


async def test_tokens_of_the_prompt_cache_are_input_and_told_apart() -> None:
    item = Text("hi", (102, 5), counts={"cache_creation_input_tokens": 30})
    async with asking(anthropic_model, [item]) as (model, _):
        usage = (await ask(model)).usage
        assert usage == Usage.of_call(132, 5, cache_read_tokens=2, cache_write_tokens=30)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
        ("something_new", None),
    ],
)
async def test_why_a_reply_ended_is_told_in_our_words(reason: str, finish: str | None) -> None:
    async with asking(anthropic_model, [Text("I would", finish=reason)]) as (model, _):
        reply = await ask(model)
        assert (reply.text, reply.finish) == ("I would", finish)


async def test_a_long_reply_is_streamed_also_when_nobody_watches() -> None:
    """The SDK refuses to wait for a whole reply that may take more than ten minutes."""
    async with asking(anthropic_model, ["ok"], sampling={"max_tokens": 128_000}) as (model, server):
        assert (await ask_whole(model)).text == "ok"
        assert server.requests[0].body["stream"] is True


THINKING = {"thinking": {"type": "enabled", "budget_tokens": 10_000}}


def test_a_budget_for_thinking_fits_into_what_is_left() -> None:
    assert limited(THINKING, None) == {**THINKING, "max_tokens": MAX_TOKENS + 10_000}
    assert limited(THINKING, 20_000) == {**THINKING, "max_tokens": 20_000}
    assert limited(THINKING, 4000)["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert limited(THINKING, 2000) == {"thinking": {"type": "disabled"}, "max_tokens": 2000}
    own = {**THINKING, "max_tokens": 5000}  # makes no sense, and is the server's to refuse
    assert limited(own, None) == own
