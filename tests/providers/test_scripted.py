"""The scripted model, which tests and lessons use."""

from __future__ import annotations

import asyncio
import threading

import pytest

from rlm_kernel.errors import LimitReached, ModelError, OptionError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers import ModelOptions, resolve
from rlm_kernel.host.providers.base import Reply
from rlm_kernel.host.providers.scripted import ScriptedModel
from tests.providers.chat import ask


async def test_replies_come_in_order_and_requests_are_kept() -> None:
    model = ScriptedModel(["one", "two"])
    assert [(await ask(model, "a")).text, (await ask(model, "b")).text] == ["one", "two"]
    assert model.requests == [[Message("user", "a")], [Message("user", "b")]]


async def test_usage_is_unknown_unless_the_script_says_it() -> None:
    model = ScriptedModel(["one", Reply("two", Usage.of_call(3, 4))])
    assert (await ask(model)).usage == Usage.of_call(None, None)
    assert (await ask(model)).usage == Usage.of_call(3, 4)


async def test_an_exception_in_the_script_is_raised_as_it_is() -> None:
    with pytest.raises(KeyError, match="boom"):
        await ask(ScriptedModel([KeyError("boom")]))


async def test_a_script_that_is_used_up_says_how_long_it_was() -> None:
    model = ScriptedModel(["one", "two"], name="teacher")
    await ask(model)
    await ask(model)
    with pytest.raises(ModelError, match="teacher was asked once more, but its script had only 2 replies"):
        await ask(model)


async def test_the_listener_hears_the_text() -> None:
    heard: list[str] = []
    await ScriptedModel(["one"]).complete([Message("user", "a")], heard.append)
    assert heard == ["one"]


async def test_a_function_gets_roles_and_contents_in_a_thread_of_its_own() -> None:
    threads: list[threading.Thread] = []

    def script(messages: list[dict[str, str]]) -> str:
        threads.append(threading.current_thread())
        return f"{messages[0]['role']}: {messages[0]['content']}"

    assert (await ask(ScriptedModel(script), "hi")).text == "user: hi"
    assert threads[0] is not threading.main_thread()


async def test_an_async_function_runs_in_the_callers_event_loop() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def script(messages: list[dict[str, str]]) -> str:
        loops.append(asyncio.get_running_loop())
        return messages[-1]["content"]

    assert (await ask(ScriptedModel(script), "hi")).text == "hi"
    assert loops == [asyncio.get_running_loop()]


async def test_a_function_that_blocks_does_not_block_the_loop() -> None:
    gate = threading.Event()
    call = asyncio.create_task(ask(ScriptedModel(lambda _: "opened" if gate.wait(10) else "stuck")))
    await asyncio.sleep(0)
    gate.set()
    assert (await call).text == "opened"


@pytest.mark.parametrize("error", [ValueError("odd"), StopIteration("odd")])
async def test_a_function_that_fails_is_a_model_that_fails(error: Exception) -> None:
    def script(_: list[dict[str, str]]) -> str:
        raise error

    with pytest.raises(ModelError, match=f"raised {type(error).__name__}: odd"):
        await ask(ScriptedModel(script))


async def test_an_error_of_ours_passes_through_a_function() -> None:
    async def script(_: list[dict[str, str]]) -> str:
        raise LimitReached("max_calls", 3)

    with pytest.raises(LimitReached):
        await ask(ScriptedModel(script))


async def test_a_function_that_returns_no_text_is_told_so() -> None:
    with pytest.raises(ModelError, match="replied with int; expected a str"):
        await ask(ScriptedModel(lambda _: 3))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("script", ["hello", 3, None, {"a": "b"}])
def test_a_script_of_another_kind_is_refused(script: object) -> None:
    with pytest.raises(OptionError, match="list of replies or a function"):
        ScriptedModel(script)  # type: ignore[arg-type]


async def test_concurrent_calls_share_one_script_without_losing_a_reply() -> None:
    model = ScriptedModel(str(number) for number in range(100))
    replies = await asyncio.gather(*(ask(model) for _ in range(100)))
    assert sorted(int(reply.text) for reply in replies) == list(range(100))
    assert len(model.requests) == 100


async def test_any_callable_is_a_model() -> None:
    assert (await ask(resolve(lambda messages: messages[-1]["content"][::-1], ModelOptions()), "abc")).text == "cba"


@pytest.mark.parametrize("model", [lambda messages: "hi", ScriptedModel(["hi"]), "policy/map-reduce"])
def test_sampling_for_what_has_none_is_refused(model: object) -> None:
    with pytest.raises(OptionError, match=r"takes no sampling \('temperature'\)"):
        resolve(model, ModelOptions(sampling={"temperature": 0}))


async def test_the_limit_of_each_call_is_kept_and_changes_nothing() -> None:
    model = ScriptedModel(["one two three", "four"])
    assert (await model.complete([Message("user", "a")], max_tokens=1)).text == "one two three"
    await ask(model)
    assert model.limits == [1, None]
