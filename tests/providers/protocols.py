"""What OpenAI's chat completions and Anthropic's messages look like on the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from tests.providers.items import NoChoices, Status, Text


def halves(text: str) -> Iterator[str]:
    """Two pieces, so that a client must join."""
    yield from filter(None, (text[: len(text) // 2], text[len(text) // 2 :]))


class OpenAIProtocol:
    """Bodies of chat completions."""

    FINISH: ClassVar = {"refusal": "content_filter"}

    @staticmethod
    def error(item: Status) -> dict[str, Any]:
        return {"error": {"message": item.message, "type": "error", "code": item.code}}

    @classmethod
    def whole(cls, item: Text | NoChoices) -> dict[str, Any]:
        choices: list[dict[str, Any]] = []
        if isinstance(item, Text):
            message = {"role": "assistant", "content": item.text}
            if item.reasoning:
                message["reasoning_content"] = item.reasoning
            choices = [{"index": 0, "message": message, "finish_reason": cls._finish(item)}]
        return {"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": choices} | (
            cls._usage(item)
        )

    @classmethod
    def events(cls, item: Text | NoChoices) -> Iterator[str]:
        if isinstance(item, Text):
            for piece in halves(item.reasoning):
                yield cls._chunk([{"index": 0, "delta": {"reasoning_content": piece}, "finish_reason": None}])
            for piece in halves(item.text or ""):
                yield cls._chunk([{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
            yield cls._chunk([{"index": 0, "delta": {"content": None}, "finish_reason": cls._finish(item)}])
        if usage := cls._usage(item):
            yield cls._chunk([], **usage)
        yield "data: [DONE]\n\n"

    @classmethod
    def beginning(cls, text: str) -> str:
        return cls._chunk([{"index": 0, "delta": {"content": text}, "finish_reason": None}])

    @classmethod
    def _finish(cls, item: Text) -> str:
        return cls.FINISH.get(item.finish, item.finish)

    @staticmethod
    def _usage(item: Text | NoChoices) -> dict[str, Any]:
        if not isinstance(item, Text) or item.usage is None:
            return {}
        prompt, completion = item.usage
        counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return {"usage": {**counts, **item.counts}}

    @staticmethod
    def _chunk(choices: list[dict[str, Any]], **more: Any) -> str:
        body = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "fake", "choices": choices, **more}
        return f"data: {json.dumps(body)}\n\n"


class AnthropicProtocol:
    """Events of messages; two of the input tokens are reported as read from the cache."""

    FINISH: ClassVar = {"stop": "end_turn", "length": "max_tokens"}

    @staticmethod
    def error(item: Status) -> dict[str, Any]:
        return {"type": "error", "error": {"type": "api_error", "message": item.message}}

    @classmethod
    def whole(cls, item: Text | NoChoices) -> dict[str, Any]:
        item = item if isinstance(item, Text) else Text(None, None)
        # A block each: a client must join blocks too.
        blocks = [{"type": "thinking", "thinking": piece, "signature": "c2ln"} for piece in halves(item.reasoning)]
        blocks += [{"type": "text", "text": piece} for piece in halves(item.text or "")]
        usage = item.usage
        counts = usage and {"input_tokens": usage[0] - 2, "cache_read_input_tokens": 2, "output_tokens": usage[1]}
        return {"id": "1", "type": "message", "role": "assistant", "model": "fake", "content": blocks} | {
            "stop_reason": cls.FINISH.get(item.finish, item.finish),
            "usage": counts and {**counts, **item.counts},
        }

    @classmethod
    def events(cls, item: Text | NoChoices) -> Iterator[str]:
        whole = cls.whole(item)
        usage = whole["usage"]
        begun = usage and {**usage, "output_tokens": 0}
        yield cls._event("message_start", message={**whole, "content": [], "stop_reason": None, "usage": begun})
        for index, block in enumerate(whole["content"]):
            yield from cls._block(index, block)
        yield cls._event(
            "message_delta",
            delta={"stop_reason": whole["stop_reason"]},
            usage=usage and {"output_tokens": usage["output_tokens"]},
        )
        yield cls._event("message_stop")

    @classmethod
    def beginning(cls, text: str) -> str:
        begun = {**cls.whole(Text(None)), "stop_reason": None}
        return cls._event("message_start", message=begun) + "".join(cls._block(0, {"type": "text", "text": text}))

    @classmethod
    def _block(cls, index: int, block: dict[str, Any]) -> Iterator[str]:
        kind = block["type"]
        begun = {**dict.fromkeys(block, ""), "type": kind}
        yield cls._event("content_block_start", index=index, content_block=begun)
        for name in (name for name in block if name != "type"):
            delta = {"type": f"{name}_delta", name: block[name]}
            yield cls._event("content_block_delta", index=index, delta=delta)
        yield cls._event("content_block_stop", index=index)

    @staticmethod
    def _event(kind: str, **body: Any) -> str:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n"


Protocol = type[OpenAIProtocol] | type[AnthropicProtocol]


def protocol_of(path: str) -> Protocol | None:
    """The protocol that is spoken at a path, whatever stands before it."""
    if path.endswith("/chat/completions"):
        return OpenAIProtocol
    return AnthropicProtocol if path.endswith("/v1/messages") else None
