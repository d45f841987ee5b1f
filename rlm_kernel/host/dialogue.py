"""What a node says to its root model and hears from it: an append-only list of messages."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rlm_kernel.events import types as events
from rlm_kernel.events.values import Message
from rlm_kernel.host.asking import ask
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.prompts import Scene
from rlm_kernel.host.providers import Model, OnText, Reply
from rlm_kernel.host.resume.recorded import Recorded
from rlm_kernel.host.shared import Shared
from rlm_kernel.host.windows import CHARACTERS_PER_TOKEN

UNKNOWN_WINDOW = 128_000
"""Tokens, for models of which nothing is known: when the history is summarized."""


class Dialogue:
    """A node's messages with its root model.

    Attributes
    ----------
    history
        The messages so far.
    record
        What compaction has taken out of them: lists of messages, each followed by its summary.
    """

    def __init__(
        self, node: str, shared: Shared, ledger: Ledger, model: Model, scene: Scene, recorded: Recorded
    ) -> None:
        self.model = model
        self.scene = scene
        self.history = shared.prompts.opening(scene)
        self.record: list[Any] = []
        self._opening = len(self.history)
        self._node = node
        self._shared = shared
        self._ledger = ledger
        self._recorded = recorded
        self._told = 0
        self._tokens = 0
        """Of the history when the model last replied, as its provider counts."""
        self._counted = 0
        """How many messages those were."""

    async def ask(self, *, last: bool = False) -> Reply:
        """Ask the root model and charge the ledger; the reply is added to the history by `add`.

        A reply that an earlier attempt has paid for is taken from the journal. ``last`` asks for an answer only.

        Raises
        ------
        ModelError
            It failed, or the messages are longer than it can read.
        """
        bus, node, iteration = self._shared.bus, self._node, self._ledger.iterations
        new = tuple(self.history[self._told :])
        bus.emit(events.ModelRequested(node=node, iteration=iteration, messages=new, last=last))
        self._told = len(self.history) + 1  # the reply itself is in ModelReplied

        def on_text(text: str) -> None:
            bus.emit(events.TextDelta(node=node, iteration=iteration, text=text))

        replied = self._recorded.reply(last)
        if replied is not None:
            self._ledger.account.use_recorded(replied.usage, paid=not self._recorded.strict)
            bus.emit(replace(replied, node=node, iteration=iteration, recorded=True))
        else:
            started = time.monotonic()
            reply = await self._complete(self.history, on_text)
            text = reply.text if reply.text.strip() else reply.reasoning  # what it only thought aloud it has still said
            replied = events.ModelReplied(
                node=node,
                iteration=iteration,
                text=text,
                usage=reply.usage,
                seconds=time.monotonic() - started,
                finish=reply.finish,
            )
            bus.emit_paid(replied, replied.seconds)
            await bus.kept()
        if not replied.usage.unreported:
            self._tokens, self._counted = replied.usage.tokens, len(self.history) + 1
        return Reply(replied.text, replied.usage, finish=replied.finish)

    async def last_words(self) -> Reply:
        """Ask for an answer because the turns are used up; the messages stay as they were."""
        before = len(self.history)
        self.history += self._shared.prompts.last_resort(self.scene)
        try:
            return await self.ask(last=True)
        finally:
            del self.history[before:]
            self._told = before

    def add(self, reply: str, answer: Sequence[Message]) -> None:
        """Append a reply and what the model hears next."""
        self.history += [Message("assistant", reply), *answer]

    @property
    def is_near_window(self) -> bool:
        """Whether the history fills so much of the model's window that it should be summarized."""
        part, size = self._shared.options.compaction, self._size()
        return part is not None and size >= part * (
            self._shared.models.windows.of(self.model.name, size) or UNKNOWN_WINDOW
        )

    async def compact(self) -> None:
        """Replace all but the opening by a summary of the model's own."""
        opening, rest = self.history[: self._opening], self.history[self._opening :]
        if not rest:
            return
        recorded, started = self._recorded.summary(self._ledger.iterations), time.monotonic()
        if recorded is not None:
            summary, usage = recorded.summary, recorded.usage
            self._ledger.account.use_recorded(usage, paid=not self._recorded.strict)
        else:
            reply = await self._complete([*self.history, self._shared.prompts.summarize()])
            summary, usage = reply.text or reply.reasoning, reply.usage
        self.record += [[asdict(message) for message in rest], {"type": "summary", "content": summary}]
        self.history = self._shared.prompts.compacted(opening, summary)
        shared = zip(opening, self.history, strict=False)  # a dialect may drop more than the rest
        self._opening = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], shared))
        self._told, self._tokens, self._counted = len(self.history), 0, 0
        compacted = events.Compacted(
            node=self._node,
            iteration=self._ledger.iterations,
            summary=summary,
            dropped=len(rest),
            messages=tuple(self.history[self._opening :]),
            usage=usage,
            recorded=recorded is not None,
        )
        self._shared.bus.emit_paid(compacted, time.monotonic() - started)
        await self._shared.bus.kept()

    async def _complete(self, messages: Sequence[Message], on_text: OnText | None = None) -> Reply:
        return await ask(self._shared.models, self._ledger, self.model, messages, on_text)

    def _size(self) -> int:
        """Tokens of the history, as counted by the provider where it did, else estimated."""
        return self._tokens + sum(len(m.content) for m in self.history[self._counted :]) // CHARACTERS_PER_TOKEN
