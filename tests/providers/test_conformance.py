"""The conformance checks for providers: both SDKs hold them all, and a provider that breaks a promise is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from rlm_kernel.errors import ModelError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import Model, ModelOptions, OnText, Reply
from rlm_kernel.host.providers.conformance import (
    CHECKS,
    Behaviour,
    Breaks,
    Check,
    Connect,
    Fails,
    Says,
    Unsupported,
    Waits,
    conform,
)
from tests.providers.chat import anthropic_stage, openai_stage


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("stage", [openai_stage, anthropic_stage], ids=["openai", "anthropic"])
async def test_every_check_holds(stage: Connect, check: Check) -> None:
    outcome = await check.run(stage)
    assert (outcome.error, outcome.left_out) == (None, None)


class Careless:
    """A provider with one fault."""

    name = "careless/m"

    def __init__(self, behaviour: Behaviour, options: ModelOptions, fault: str) -> None:
        self._behaviour = behaviour
        self._options = options
        self._fault = fault
        self._closed = False

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        said, fault = self._behaviour, self._fault
        if isinstance(said, Waits):
            return await self._wait(said, on_text)
        if isinstance(said, Breaks):
            if fault == "half":
                return Reply("half a", Usage.of_call(None, None))
            raise ModelError("broke off")
        if isinstance(said, Fails):
            if said.status in (429, 503) and fault != "overload" and self._options.on_overload is not None:
                self._options.on_overload()
            error = ConnectionError("as it came") if fault == "errors" else ModelError(f"{self.name} failed")
            if fault != "status":
                error.status = said.status  # type: ignore[union-attr]
            raise error
        said.limits.append(None if fault == "limit" else max_tokens)
        text = said.text or (None if fault == "empty" else "")
        if fault == "reasoning":
            text = said.reasoning + (text or "")
        if on_text is not None and text:
            on_text(text.upper() if fault == "stream" else text)
        if fault == "slow" and said.delay:
            raise ModelError("gave no reply in time")
        counts: tuple[int | None, int | None] = said.usage or ((0, 0) if fault == "no usage" else (None, None))
        if fault == "usage":
            counts = (1, 1)
        if fault == "whole" and on_text is None:
            counts = (None, None)
        usage = Usage() if fault == "many" and messages[-1].content.startswith("prompt") else Usage.of_call(*counts)
        finish = "stop" if fault == "finish" else said.finish
        return Reply(text, usage, "" if fault == "reasoning" else said.reasoning, finish)  # type: ignore[arg-type]

    async def _wait(self, waits: Waits, on_text: OnText | None) -> Reply:
        waits.reached.set()
        try:
            if waits.text and on_text is not None:
                on_text(waits.text)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if self._fault == "cancel":
                return Reply("never mind", Usage())
            raise
        except ZeroDivisionError:
            if self._fault == "listener":
                return Reply("never mind", Usage())
            raise
        finally:
            waits.left.set()
        return Reply("", Usage())

    async def aclose(self) -> None:
        if self._fault == "close" and self._closed:
            raise ValueError("I am closed")
        self._closed = True


def careless(fault: str) -> Connect:
    @asynccontextmanager
    async def stage(behaviour: Behaviour, options: ModelOptions) -> AsyncIterator[Model]:
        yield Careless(behaviour, options, fault)

    return stage


async def test_a_provider_without_a_fault_passes() -> None:
    assert [str(outcome) for outcome in await conform(careless("none")) if outcome.error] == []


FAULTS = {"status": "errors", "half": "broken off"} | {
    name: name
    for name in (
        "stream", "whole", "usage", "no usage", "empty", "reasoning", "finish", "limit", "slow", "errors", "overload",
        "cancel", "listener", "many", "close",
    )
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found_by_the_check_of_its_name(fault: str) -> None:
    check = next(check for check in CHECKS if check.name == FAULTS[fault])
    outcome = await check.run(careless(fault))
    assert outcome.error
    assert str(outcome).startswith(f"FAIL {check.name}")


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {check.name for check in CHECKS} == set(FAULTS.values())


async def test_what_a_protocol_cannot_express_is_left_out_and_said() -> None:
    @asynccontextmanager
    async def stage(behaviour: Behaviour, options: ModelOptions) -> AsyncIterator[Model]:
        if isinstance(behaviour, Says) and behaviour.reasoning:
            raise Unsupported("no field for reasoning")
        yield Careless(behaviour, replace(options), "none")

    left_out = [str(outcome) for outcome in await conform(stage) if outcome.left_out]
    assert left_out == ["---- reasoning      no field for reasoning"]
