"""The same question, whole, over real HTTP and both SDKs: a real model, and a scripted server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rlm_kernel import RLM, Completion, ModelError, journal
from rlm_kernel.events.types import CallFinished, ModelReplied
from rlm_kernel.host.providers import weights
from tests.providers.fake_servers import Cut, FakeServer, NoChoices, Raw, Request, Status, Text

BOOK = {
    "1.txt": "The harbour was quiet. Nobody had seen the lighthouse keeper since Tuesday.",
    "2.txt": "The lighthouse keeper of Skarholm was called Agnes Holloway. She kept bees and wrote letters.",
    "3.txt": "On the mainland the baker, Tom Reed, closed his shop early and went home through the rain.",
}
QUESTION = "What was the lighthouse keeper of Skarholm called?"

LOOK = "I look first.\n```repl\nprint(len(context))\n```"
ASK = (
    "```repl\nreplies = llm_query_batched([f'{text}\\n\\nQuestion: Who?' for text in context.values()])\n"
    "answer['content'] = [str(reply) for reply in replies]\nanswer['ready'] = True\n```"
)

Url = Callable[[FakeServer], str]
BOTH = pytest.mark.parametrize(
    ("provider", "url"),
    [("openai", lambda server: server.openai_url), ("anthropic", lambda server: server.anthropic_url)],
    ids=["openai", "anthropic"],
)


def events_of(completion: Completion, kind: type[Any]) -> list[Any]:
    return [event for event in journal.read(completion.run_dir) if isinstance(event, kind)]


@pytest.mark.local
@pytest.mark.parametrize("provider", ["local", "openai", "anthropic"])
async def test_a_real_model_answers_over_each_sdk(provider: str) -> None:
    """llama.cpp's own server, which nobody here wrote, speaks both protocols."""
    from rlm_kernel.host.providers.anthropic import AnthropicModel
    from rlm_kernel.host.providers.base import ModelOptions
    from rlm_kernel.host.providers.local import LlamaServer
    from rlm_kernel.host.providers.openai import OpenAIModel

    path = weights.find("smollm2")
    assert path is not None, "rlm models install smollm2"
    server = LlamaServer.of(path, 2048)
    if provider == "openai":
        sampling = {"temperature": 0, "max_tokens": 40}
        sub: Any = OpenAIModel(
            "smollm2", ModelOptions(base_url=server.base_url, api_key=server.api_key, sampling=sampling)
        )
    elif provider == "anthropic":
        url = server.base_url.removesuffix("/v1")
        sampling = {"max_tokens": 40, "extra_body": {"temperature": 0}}
        sub = AnthropicModel("smollm2", ModelOptions(base_url=url, api_key=server.api_key, sampling=sampling))
    else:
        sub = "local/smollm2"
    completion = await RLM("policy/map-reduce", sub_model=sub).acompletion(QUESTION, context=BOOK)
    assert "Agnes Holloway" in completion.text
    assert completion.usage.calls >= 1
    assert completion.usage.unreported == 0
    assert completion.usage.tokens > 50


@BOTH
async def test_root_and_sub_calls_run_over_the_sdk_with_streams_and_usage(provider: str, url: Url) -> None:
    def serve(request: Request) -> Text:
        text = request.prompt
        if "Question: Who?" in text:
            return Text("Agnes" if "Agnes" in text else "nobody", (20, 2))
        return Text(ASK if "Iteration 2" in text else LOOK, (100, 10))

    deltas: list[str] = []
    with FakeServer(serve) as server:
        rlm = RLM(
            f"{provider}/any",
            base_url=url(server),
            api_key="sk-test",
            on_event=lambda event: deltas.append(event.type),
        )
        completion = await rlm.acompletion("Who?", context=BOOK)
    assert completion.answer == ["nobody", "Agnes", "nobody"]
    assert (completion.usage.calls, completion.usage.tokens) == (5, 2 * 110 + 3 * 22)
    assert deltas.count("text_delta") > 2, "the root's reply streams"
    assert [event.usage.tokens for event in events_of(completion, ModelReplied)] == [110, 110]
    assert [event.usage.tokens for event in events_of(completion, CallFinished)] == [22, 22, 22]


@BOTH
async def test_a_rate_limit_is_retried_by_the_sdk_and_a_lasting_failure_costs_its_slot(provider: str, url: Url) -> None:
    refused = 0

    def serve(request: Request) -> Any:
        nonlocal refused
        text = request.prompt
        if "Question: Who?" not in text:
            return ASK
        if "Agnes" in text and not refused:
            refused += 1
            return Status(429, headers={"Retry-After": "0"})
        return Status(400, "no such luck") if "baker" in text else "fine"

    with FakeServer(serve) as server:
        completion = await RLM(f"{provider}/any", base_url=url(server), api_key="sk-test").acompletion(
            "Who?", context=BOOK
        )
    assert refused == 1
    assert completion.answer[:2] == ["fine", "fine"]
    assert completion.answer[2].startswith("Error: ")
    assert "no such luck" in completion.answer[2]


@BOTH
@pytest.mark.parametrize("turn", [Text(None), Text(""), "I do not know.", "```repl\nanswer['content'] = 1"])
async def test_an_empty_or_broken_turn_is_one_the_model_recovers_from(provider: str, url: Url, turn: Any) -> None:
    with FakeServer([turn, "```repl\nanswer.update(content=len(context), ready=True)\n```"]) as server:
        completion = await RLM(f"{provider}/any", base_url=url(server), api_key="sk-test").acompletion(
            "Who?", context=BOOK
        )
    assert completion.answer == 3
    assert len(events_of(completion, ModelReplied)) == 2


@BOTH
@pytest.mark.parametrize(
    "failure",
    [
        Status(401),
        Status(404),
        Status(400),
        Raw("<html>proxy</html>"),
        Raw("{", "application/json"),
        Cut("half a sen"),
    ],
    ids=lambda failure: f"{type(failure).__name__}{getattr(failure, 'code', '')}",
)
async def test_a_root_model_that_fails_is_one_line_that_names_it(provider: str, url: Url, failure: Any) -> None:
    with FakeServer([failure] * 9) as server, pytest.raises(ModelError) as refusal:
        await RLM(f"{provider}/any", base_url=url(server), api_key="sk-planted").acompletion("Who?", context=BOOK)
    assert f"{provider}/any" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) <= 2
    assert "sk-planted" not in str(refusal.value)


async def test_a_reply_without_a_choice_is_a_failure_and_an_empty_one_a_turn() -> None:
    with FakeServer([NoChoices()] * 3) as server, pytest.raises(ModelError, match="before it was complete"):
        await RLM("openai/any", base_url=server.openai_url, api_key="k").acompletion("Who?", context=BOOK)
    with FakeServer([NoChoices(), LOOK, ASK, *["x"] * 3]) as server:
        rlm = RLM("anthropic/any", base_url=server.anthropic_url, api_key="k")
        assert (await rlm.acompletion("Who?", context=BOOK)).answer == ["x"] * 3


async def test_a_server_that_is_down_is_one_line_that_names_its_address() -> None:
    with pytest.raises(ModelError, match="127.0.0.1:9"):
        await RLM("openai/any", base_url="http://127.0.0.1:9/v1", api_key="sk-test").acompletion("Who?", context=BOOK)
