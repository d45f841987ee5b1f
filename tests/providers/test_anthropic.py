"""What only Anthropic's protocol has; the rest is in test_both_sdks.py."""

from __future__ import annotations

import pytest

from rlm_kernel.errors import ModelError
from rlm_kernel.events.values import Message
from rlm_kernel.host.providers.anthropic import MAX_TOKENS, request
from tests.providers.chat import anthropic_model, ask, asking
from tests.providers.fake_servers import Raw

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
        with pytest.raises(ModelError, match=r"Try again.*Overloaded"):
            await ask(model)
