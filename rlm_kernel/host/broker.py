"""Serves a node's sub-calls: checks, charges, asks a model or runs a child. The host's half of the wall.

What arrives here was written by model-written code: it has been checked field by field (`rlm_kernel.wire`) and is
believed in nothing else.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, RLMError
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host import engine

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node
    from rlm_kernel.host.providers import Model


class Broker:
    """Answers the calls of one node's kernel."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def serve(self, call: wire.Call) -> wire.Reply:
        """Answer every prompt of a call, in order. Called by the session, many at once."""
        if len(call.prompts) > wire.MAX_PROMPTS:  # our namespace refuses it, so this is forged
            return wire.Reply(call.id, [])
        model = self._node.shared.models.named(call.model)
        if model is None:
            names = sorted({m.name for m in (self._node.shared.models.sub, self._node.shared.models.root)})
            result = wire.CallResult(error=f"Unknown model {call.model!r}. This run has: {', '.join(names)}.")
            return wire.Reply(call.id, [result] * len(call.prompts))
        if len(call.prompts) == 1:  # the most frequent kind, without a task of its own
            return wire.Reply(call.id, [await self._one(call.kind, call.prompts[0], model)])
        results = await asyncio.gather(*(self._one(call.kind, prompt, model) for prompt in call.prompts))
        return wire.Reply(call.id, list(results))

    async def _one(self, kind: events.Kind, prompt: str, model: Model) -> wire.CallResult:
        """Answer one prompt and tell the stream."""
        node, bus = self._node, self._node.shared.bus
        try:
            node.ledger.start_call()
        except LimitReached as limit:
            return wire.CallResult(limit=limit.limit, maximum=limit.maximum)
        if not node.ledger.may_recurse:
            kind = "llm"
        call, started = node.next_call_id(), time.monotonic()
        name = model.name if kind == "llm" else node.shared.models.root.name
        bus.emit(
            events.CallRequested(node=node.id, call=call, kind=kind, model=name, prompt=prompt, cell=node.running_cell)
        )
        status, text, usage = "cancelled", "", Usage()
        try:
            text, usage = await (self._complete(prompt, model) if kind == "llm" else self._recurse(prompt, call))
            status = "ok"
        except RLMError as error:
            status, text = "error", str(error)
        finally:
            seconds = time.monotonic() - started
            bus.emit(
                events.CallFinished(node=node.id, call=call, status=status, text=text, usage=usage, seconds=seconds)  # type: ignore[arg-type]
            )
        return wire.CallResult(text=text) if status == "ok" else wire.CallResult(error=text)

    async def _complete(self, prompt: str, model: Model) -> tuple[str, Usage]:
        async with self._node.shared.slots:
            reply = await model.complete([Message("user", prompt)])
        self._node.ledger.charge(reply.usage)
        return reply.text, reply.usage

    async def _recurse(self, prompt: str, call: str) -> tuple[str, Usage]:
        async with self._node.child(prompt, call) as child:
            answer = await engine.run(child)
        if not answer.text:
            raise RLMError(f"The child ended without an answer ({answer.stop_reason}).")
        return answer.text, Usage()
