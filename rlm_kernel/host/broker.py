"""Serves what a node's cells ask for: sub-calls, tools, the budget. The host's half of the wall.

What arrives here was written by model-written code: it has been checked field by field (`rlm_kernel.wire`) and is
believed in nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import TYPE_CHECKING

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, RLMError
from rlm_kernel.events import types as events
from rlm_kernel.host.answers.structured import Structured
from rlm_kernel.host.subcall import Job, SubCalls
from rlm_kernel.host.uploads import Upload

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node

NOTE_CHARACTERS = 1000
"""Of a `progress` note."""


class Broker:
    """Answers the calls of one node's kernel."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._sub_calls = SubCalls(node)
        self._numbers = itertools.count(1)

    async def serve(self, call: wire.Call | wire.ToolCall) -> wire.Reply:
        """Answer a call, every prompt of it in order. Called by the session, many at once."""
        if isinstance(call, wire.ToolCall):
            return wire.Reply(call.id, [await self._tool(call)])
        if len(call.prompts) > wire.MAX_PROMPTS:  # our namespace refuses it, so this is forged
            return wire.Reply(call.id, [])
        try:
            schema = None if call.schema is None else await asyncio.to_thread(Structured, call.schema)
            jobs = self._jobs(call, schema)
        except RLMError as error:
            return wire.Reply(call.id, [wire.CallResult(error=str(error))] * len(call.prompts))
        try:
            if len(jobs) == 1:  # the most frequent kind, without a task of its own
                return wire.Reply(call.id, [await self._sub_calls.answer(jobs[0])])
            return wire.Reply(call.id, list(await asyncio.gather(*map(self._sub_calls.answer, jobs))))
        finally:
            for upload in call.contexts:
                self._node.repl.session.calls.uploads.discard(upload)

    def _jobs(self, call: wire.Call, schema: Structured | None) -> list[Job]:
        """Turn a call into one job per prompt.

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
            raise RLMError(f"Unknown model {call.model!r}. This run has: {', '.join(models.names)}.")
        uploads: list[Upload | None] = [node.repl.session.calls.uploads.get(name) for name in call.contexts] or [None]
        if len(uploads) == 1:
            uploads *= len(call.prompts)
        if len(uploads) != len(call.prompts):
            raise RLMError(f"{len(uploads)} contexts for {len(call.prompts)} prompts: expected one for each, or one.")
        return [
            Job("rlm" if recursive else "llm", prompt, model, upload, schema, call.cache, call.source)
            for prompt, upload in zip(call.prompts, uploads, strict=True)
        ]

    async def _tool(self, call: wire.ToolCall) -> wire.CallResult:
        """Call a function of the caller's, or one of the REPL's own."""
        node, bus = self._node, self._node.shared.bus
        if call.tool == "budget":
            return wire.CallResult(text=json.dumps(node.ledger.budget()))
        if call.tool == "progress":
            bus.emit(events.Note(node=node.id, text=" ".join(map(str, call.args))[:NOTE_CHARACTERS]))
            return wire.CallResult(text="null")
        number, started = next(self._numbers), time.monotonic()
        arguments = json.dumps({"args": call.args, "kwargs": call.kwargs})
        bus.emit(
            events.ToolStarted(node=node.id, call=number, tool=call.tool, arguments=arguments, cell=node.running_cell)
        )
        status, text = "cancelled", ""
        try:
            async with node.ledger.clock():
                text = await node.tools.call(call.tool, call.args, call.kwargs)
            status = "ok"
        except LimitReached as limit:
            status, text = "error", str(limit)
        except RLMError as error:
            status, text = "error", str(error)
        finally:
            seconds = time.monotonic() - started
            bus.emit(events.ToolFinished(node=node.id, call=number, status=status, text=text, seconds=seconds))  # type: ignore[arg-type]
        return wire.CallResult(text=text) if status == "ok" else wire.CallResult(error=text)
