"""Serves what a node's cells ask for: sub-calls, tools, the budget. The host's half of the wall.

What arrives here was written by model-written code: it has been checked field by field (`rlm_kernel.wire`) and is
believed in nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, RLMError, ToolError
from rlm_kernel.events import types as events
from rlm_kernel.host.answers.structured import Structured
from rlm_kernel.host.subcall import Job
from rlm_kernel.host.subcalls import SubCalls
from rlm_kernel.host.uploads import Upload

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node

SCHEMAS = 2
"""Of one node, that are looked at at once: each takes a thread of the host's for up to a second."""
AHEAD = 2
"""Calls of a batch that are under way for each that may be in flight."""
NAME_CHARACTERS = 100
"""Of a name that the run does not have, where it is told."""
NOTE_CHARACTERS = 1000
"""Of a `progress` note."""


class Broker:
    """Answers the calls of one node's kernel."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._sub_calls = SubCalls(node)
        self._numbers = itertools.count(1)
        self._schemas = asyncio.Semaphore(SCHEMAS)

    async def serve(self, call: wire.Call | wire.ToolCall) -> wire.Reply:
        """Answer a call, every prompt of it in order. Called by the session, many at once."""
        if isinstance(call, wire.ToolCall):
            return wire.Reply(call.id, [await self._tool(call)])
        if len(call.prompts) > wire.CALL_PROMPTS:  # our bridge cuts it, so this is forged
            return wire.Reply(call.id, [])
        calls = self._node.repl.session.calls
        try:
            uploads = [calls.uploads.get(name) for name in call.contexts[: wire.CALL_PROMPTS]]
            jobs = self._jobs(call, uploads, await self._schema(call))
            costs_nothing = all(map(self._sub_calls.knows, jobs))
            with calls.in_own_time() if costs_nothing else nullcontext():
                if len(jobs) == 1:  # the most frequent kind, without a task of its own
                    results = [await self._sub_calls.answer(jobs[0])]
                else:
                    results = await self._answers(jobs)
            await self._node.shared.bus.kept()
            return wire.Reply(call.id, results)
        except RLMError as error:
            return wire.Reply(call.id, [wire.CallResult(error=str(error))] * len(call.prompts))
        finally:
            for upload in call.contexts:
                calls.uploads.discard(upload, more=call.more)

    async def _answers(self, jobs: Sequence[Job]) -> list[wire.CallResult]:
        """Answer a batch in order. A call begins when it may be sent soon: to begin all at once delays the first."""
        results: dict[int, wire.CallResult] = {}
        waiting = iter(enumerate(jobs))

        async def work() -> None:
            for number, job in waiting:
                results[number] = await self._sub_calls.answer(job)

        workers = min(len(jobs), AHEAD * self._node.ledger.limits.max_concurrency)
        await asyncio.gather(*(work() for _ in range(workers)))
        return [results[number] for number in range(len(jobs))]

    async def _schema(self, call: wire.Call) -> Structured | None:
        if call.schema is None:
            return None
        with self._node.repl.session.calls.in_own_time():
            async with self._schemas:
                return await asyncio.to_thread(Structured, call.schema)

    def _jobs(self, call: wire.Call, uploads: Sequence[Upload], schema: Structured | None) -> list[Job]:
        """Return the job of each prompt.

        Raises
        ------
        RLMError
            It names what the run does not have.
        """
        node, options = self._node, self._node.shared.options
        if not options.sub_calls:
            raise RLMError("This run has no sub-calls. Use plain Python.")
        recursive = call.kind == "rlm" and node.ledger.may_recurse
        models = node.shared.models
        model = models.named(call.model, models.at(node.ledger.depth + 1) if recursive else models.sub)
        if model is None:
            name = str(call.model)[:NAME_CHARACTERS]
            raise RLMError(f"Unknown model {name!r}. This run has: {', '.join(models.names)}.")
        if max(map(len, call.prompts), default=0) > wire.PROMPT_CHARACTERS:
            raise RLMError(f"A prompt has more than {wire.PROMPT_CHARACTERS:,} characters. Send smaller pieces.")
        each: Sequence[Upload | None] = uploads or [None]
        if len(call.contexts) <= 1:
            each = [*each] * len(call.prompts)
        if max(len(call.contexts), len(each)) != len(call.prompts):
            raise RLMError(
                f"{len(call.contexts)} contexts for {len(call.prompts)} prompts: expected one for each, or one."
            )
        kind: events.Kind = "rlm" if recursive else "llm"
        cache, source, named = call.cache, call.source, call.model or ""
        return [
            Job(node, kind, prompt, model, upload, schema, cache, source, named)
            for prompt, upload in zip(call.prompts, each, strict=True)
        ]

    async def _tool(self, call: wire.ToolCall) -> wire.CallResult:
        """Call a function of the caller's, or one of the REPL's own."""
        node, bus = self._node, self._node.shared.bus
        if call.tool == "budget":
            return wire.CallResult(text=json.dumps(node.ledger.budget()))
        if call.tool == "progress":
            note = " ".join(map(str, call.args))[:NOTE_CHARACTERS]
            try:
                node.ledger.account.record(note)
            except LimitReached as limit:
                return wire.CallResult.failed(limit)
            bus.emit(events.Note(node=node.id, text=note))
            return wire.CallResult(text="null")
        try:
            arguments = _arguments(call)
            node.ledger.account.record(arguments)
        except RLMError as error:
            return wire.CallResult.failed(error)
        number, started, name = next(self._numbers), time.monotonic(), call.tool[:NAME_CHARACTERS]
        bus.emit(events.ToolStarted(node=node.id, call=number, tool=name, arguments=arguments, cell=node.running_cell))
        if (recorded := node.recorded.tool(name, arguments)) is not None:
            bus.emit(replace(recorded, node=node.id, call=number, recorded=True))
            ended_well = recorded.status == "ok"
            return wire.CallResult(text=recorded.text) if ended_well else wire.CallResult(error=recorded.text)
        status, text, result = "cancelled", "", wire.CallResult(error="The call was cancelled.")
        try:
            async with node.ledger.clock():
                text = await node.tools.call(call.tool, call.args, call.kwargs)
            node.ledger.account.record(text)
            status, result = "ok", wire.CallResult(text=text)
        except RLMError as error:
            status, text, result = "error", str(error), wire.CallResult.failed(error)
        finally:
            seconds = time.monotonic() - started
            finished = events.ToolFinished(node=node.id, call=number, status=status, text=text, seconds=seconds)  # type: ignore[arg-type]
            bus.emit(finished)
        bus.keep(seconds)
        await bus.kept()
        return result


def _arguments(call: wire.ToolCall) -> str:
    """Return a tool's arguments as JSON.

    Raises
    ------
    ToolError
        They are what our REPL does not send: too long, or numbers that JSON has not, which pass a tool's own checks.
    """
    try:
        text = json.dumps({"args": call.args, "kwargs": call.kwargs}, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise ToolError(
            "The arguments hold NaN or infinity, or are nested too deep. JSON has no such numbers."
        ) from None
    if len(text) > wire.CALL_CHARACTERS:
        raise ToolError(
            f"Arguments of {len(text):,} characters; at most {wire.CALL_CHARACTERS:,} are possible. Pass less."
        )
    return text
