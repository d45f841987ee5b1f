"""What a provider has to do, as named checks: for whoever writes one.

    for outcome in asyncio.run(conform(connect)):
        print(outcome)

``connect`` is the author's: it starts a server that behaves as it is told, and gives a model that asks it.
`docs/write-a-provider.md` has a whole one. Every check is also a test: ``pytest.mark.parametrize("check", CHECKS)``.
"""
# ruff: noqa: D401 - docstrings are promises

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rlm_kernel.errors import ModelError, RLMError
from rlm_kernel.events.values import Message
from rlm_kernel.host.providers.base import Model, ModelOptions, OnText, Reply
from rlm_kernel.host.providers.behaviour import Behaviour, Breaks, Connect, Fails, Says, Unsupported, Waits

__all__ = [
    "CHECKS",
    "Behaviour",
    "Breaks",
    "Broken",
    "Check",
    "Connect",
    "Fails",
    "Outcome",
    "Says",
    "Unsupported",
    "Waits",
    "conform",
]

DEADLINE = 30.0  # seconds; for what should take none
STATUSES = (400, 401, 404, 408, 413, 429, 500, 503)


class Broken(RLMError):
    """A check does not hold; the text says what was seen."""


@dataclass(frozen=True)
class Check:
    """A promise, and the attempt that shows whether it is kept."""

    name: str
    about: str
    attempt: Callable[[Connect], Awaitable[None]]

    async def run(self, connect: Connect) -> Outcome:
        """Make the attempt."""
        started = time.monotonic()
        error = left_out = None
        try:
            async with asyncio.timeout(4 * DEADLINE):
                await self.attempt(connect)
        except Unsupported as reason:
            left_out = str(reason) or "not in this protocol"
        except Broken as broken:
            error = str(broken)
        except Exception as other:  # the provider's own
            error = f"raised {type(other).__name__}: {other}"
        return Outcome(self, error, left_out, time.monotonic() - started)


@dataclass(frozen=True)
class Outcome:
    """How a check went: ``error`` is ``None`` where it holds, ``left_out`` says why it was not made."""

    check: Check
    error: str | None
    left_out: str | None
    seconds: float

    def __str__(self) -> str:
        mark = "FAIL" if self.error else "----" if self.left_out else "ok  "
        return f"{mark} {self.check.name:<14} {self.error or self.left_out or self.check.about}"


CHECKS: list[Check] = []


async def conform(connect: Connect) -> list[Outcome]:
    """Run every check, in order."""
    return [await check.run(connect) for check in CHECKS]


def _check(attempt: Callable[[Connect], Awaitable[None]]) -> Callable[[Connect], Awaitable[None]]:
    """Add a function to the checks: its name is theirs, its docstring the promise."""
    CHECKS.append(Check(attempt.__name__.replace("_", " "), (attempt.__doc__ or "").rstrip("."), attempt))
    return attempt


def _expect(condition: bool, text: str) -> None:
    if not condition:
        raise Broken(text)


async def _ask(
    model: Model, on_text: OnText | None = None, prompt: str = "hello", max_tokens: int | None = None
) -> Reply:
    return await model.complete(
        [Message("system", "be brief"), Message("user", prompt)], on_text, max_tokens=max_tokens
    )


def _ignore(text: str) -> None:
    """Watch the text come, so that it is streamed."""


@_check
async def stream(connect: Connect) -> None:
    """The pieces that stream in add up to the reply's text."""
    said = Says()
    async with connect(said, ModelOptions()) as model:
        pieces: list[str] = []
        reply = await _ask(model, pieces.append)
        _expect(reply.text == said.text, f"expected {said.text!r}, got {reply.text!r}")
        _expect("".join(pieces) == said.text, f"the pieces were {pieces!r}")
        _expect(bool(model.name), "the model has no name")


@_check
async def whole(connect: Connect) -> None:
    """A reply that nobody watches is the same, usage included."""
    async with connect(Says(), ModelOptions()) as model:
        watched, unwatched = await _ask(model, _ignore), await _ask(model)
        _expect(watched == unwatched, f"watched {watched}, unwatched {unwatched}")


@_check
async def usage(connect: Connect) -> None:
    """What the provider counts is the call's own usage."""
    async with connect(Says(usage=(11, 3)), ModelOptions()) as model:
        used = (await _ask(model, _ignore)).usage
        seen = (used.calls, used.input_tokens, used.output_tokens, used.unreported)
        _expect(seen == (1, 11, 3, 0), f"expected 1 call with 11 and 3 tokens, got {used}")


@_check
async def no_usage(connect: Connect) -> None:
    """Tokens that the provider does not tell are unknown, not zero."""
    async with connect(Says(usage=None), ModelOptions()) as model:
        for on_text in (_ignore, None):
            used = (await _ask(model, on_text)).usage
            _expect((used.calls, used.unreported) == (1, 1), f"expected Usage.of_call(None, None), got {used}")


@_check
async def empty(connect: Connect) -> None:
    """A reply without content is an empty text."""
    async with connect(Says(text=""), ModelOptions()) as model:
        for on_text in (_ignore, None):
            text = (await _ask(model, on_text)).text
            _expect(text == "", f"the text was {text!r}")


@_check
async def reasoning(connect: Connect) -> None:
    """What the model thinks aloud is kept apart from its text, also when there is no text."""
    for text in ("42", ""):
        async with connect(Says(text=text, reasoning="let me see"), ModelOptions()) as model:
            pieces: list[str] = []
            reply = await _ask(model, pieces.append)
            _expect((reply.text, reply.reasoning) == (text, "let me see"), f"got {reply}")
            _expect("".join(pieces) == text, f"the pieces were {pieces!r}")


@_check
async def finish(connect: Connect) -> None:
    """Why a reply ended is told in our words."""
    for reason in ("stop", "length", "refusal"):
        async with connect(Says(finish=reason), ModelOptions()) as model:
            for on_text in (_ignore, None):
                told = (await _ask(model, on_text)).finish
                _expect(told == reason, f"expected {reason!r}, got {told!r}")


@_check
async def limit(connect: Connect) -> None:
    """The limit of tokens reaches the server; without one the provider decides."""
    said = Says()
    async with connect(said, ModelOptions()) as model:
        await _ask(model, max_tokens=5)
        _expect(said.limits == [5], f"the server was given {said.limits}")
        await _ask(model, _ignore, max_tokens=6)
        _expect(said.limits == [5, 6], f"the server was given {said.limits}")


@_check
async def slow(connect: Connect) -> None:
    """A first piece that takes long is waited for."""
    async with connect(Says(delay=0.5), ModelOptions()) as model:
        _expect((await _ask(model, _ignore)).text == Says().text, "the text was another")


@_check
async def errors(connect: Connect) -> None:
    """What the server refuses is a ModelError: a line or two with the model's name, and the status."""
    for status in STATUSES:
        async with connect(Fails(status), ModelOptions()) as model:
            error = await _error(model)
            _expect(error.status == status, f"HTTP {status} became status {error.status}")
            _expect(model.name in str(error), f"the error does not name {model.name}: {error}")
            _expect(len(str(error).splitlines()) <= 2, f"the error has many lines: {error}")


@_check
async def overload(connect: Connect) -> None:
    """Being asked too often is told at once, by on_overload."""
    for status in (429, 503):
        told: list[int] = []
        options = ModelOptions(on_overload=lambda told=told: told.append(1))  # type: ignore[misc]
        async with connect(Fails(status), options) as model:
            await _error(model)
        _expect(bool(told), f"on_overload was not called for HTTP {status}")


@_check
async def broken_off(connect: Connect) -> None:
    """A connection that breaks within a reply is a ModelError, not half a reply."""
    async with connect(Breaks(), ModelOptions()) as model:
        await _error(model)


@_check
async def cancel(connect: Connect) -> None:
    """Cancelling a call ends its request, before the reply and within it."""
    for text in ("", "a piece"):
        waits = Waits(text)
        async with connect(waits, ModelOptions()) as model:
            call = asyncio.create_task(_ask(model, _ignore))
            await _until(waits.reached, "the request did not arrive")
            call.cancel()
            done, _ = await asyncio.wait([call], timeout=DEADLINE)
            _expect(bool(done) and call.cancelled(), "the call went on")
            await _until(waits.left, "the connection stayed open")


@_check
async def listener(connect: Connect) -> None:
    """An error in on_text is the caller's own, and ends the request."""
    waits = Waits("a piece")
    async with connect(waits, ModelOptions()) as model:
        try:
            await _ask(model, _fail)
        except ZeroDivisionError:
            await _until(waits.left, "the connection stayed open")
        else:
            raise Broken("the error was swallowed")


@_check
async def many(connect: Connect) -> None:
    """Thirty calls at once are all answered."""
    async with connect(Says(), ModelOptions()) as model:
        replies = await asyncio.gather(*(_ask(model, prompt=f"prompt {i}") for i in range(30)))
        _expect({reply.text for reply in replies} == {Says().text}, "a reply was another")
        _expect(sum(reply.usage.calls for reply in replies) == 30, "usage is not of one call each")


@_check
async def close(connect: Connect) -> None:
    """A model may be closed twice, and without having been asked."""
    async with connect(Says(), ModelOptions()) as model:
        await model.aclose()
    async with connect(Says(), ModelOptions()) as model:
        await _ask(model)
        await model.aclose()
        await model.aclose()


async def _error(model: Model) -> ModelError:
    try:
        reply = await _ask(model, _ignore)
    except ModelError as error:
        return error
    raise Broken(f"expected a ModelError, got {reply}")


async def _until(event: threading.Event, failure: str) -> None:
    _expect(await asyncio.to_thread(event.wait, DEADLINE), failure)


def _fail(text: str) -> None:
    raise ZeroDivisionError
