"""A REPL: a kernel, and what the host has put into it. One node's, or a whole conversation's."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.events.values import Message
from rlm_kernel.host import inputs
from rlm_kernel.host.live import seen
from rlm_kernel.host.live.hand import Hand
from rlm_kernel.host.options import Options
from rlm_kernel.host.resume.again import KeptInput, PreparedInput
from rlm_kernel.host.sandboxes.box import Box
from rlm_kernel.host.session import Session
from rlm_kernel.host.tools import Tools
from rlm_kernel.host.uploads import Upload
from rlm_kernel.look import LOOKS, Look, Seen

Serve = Callable[[wire.Call | wire.ToolCall], Awaitable[wire.Reply]]


class Repl:
    """A kernel with its inputs, tools and histories.

    Attributes
    ----------
    serve
        Answers what cells ask for; whoever uses the REPL sets it.
    loop
        The event loop that it belongs to.
    hand
        What a person does in it between two completions, in a conversation.
    seed
        What `random` begins with in each completion.
    contexts
        What each input is, in order: ``context_0``, ``context_1``, ...
    histories
        How many earlier completions it holds: ``history_0``, ...
    """

    hand: Hand | None = None

    def __init__(self, options: Options, box: Box, tools: Tools, files: tuple[Path, ...] = ()) -> None:
        self.serve: Serve | None = None
        self.seed = ""
        self.loop = asyncio.get_running_loop()
        self._looks = asyncio.Semaphore(LOOKS)
        self.contexts: list[wire.Loaded] = []
        self.histories = 0
        self.variables: dict[str, str] = {}
        """The user's, when the last cell ended."""
        self.cells = itertools.count(1)
        self._not_kept: list[PreparedInput] = []
        self._options = options
        self._tools = tools
        self.session = Session(box, options.cell_seconds, self._serve, files)

    async def open(self, context: Any = None, source: str = "") -> None:
        """Start the kernel, give it its tools and an input, and run the caller's setup code and a parent's source.

        Raises
        ------
        SandboxError
            It could not be started.
        ContextError
            The input cannot cross.
        OptionError
            The setup code, or a tool's source, failed.
        """
        session = self.session
        await session.launch()
        if context is None:
            await session.attach()
            await session.bind(self._names())
        else:
            load, _ = await asyncio.gather(self._prepared(context), session.attach())
            _, loaded = await asyncio.gather(session.bind(self._names()), session.load(load))  # one way, not two
            self.contexts.append(loaded)
        for code in (*self._tools.sources, *filter(None, [self._options.setup_code, source])):
            await session.set_up(code)

    async def renew(self, context: Any = None) -> None:
        """Begin a conversation's next completion: a fresh ``answer``, and one more input if there is one."""
        await self.session.bind(self._names())
        if context is not None:
            await self.add_context(context)

    async def add_context(self, context: Any) -> wire.Loaded:
        """Load one more input, as ``context_N``, and as ``context`` unless an older harness is imitated."""
        loaded = await self.session.load(await self._prepared(context))
        self.contexts.append(loaded)
        return loaded

    async def add_history(self, messages: Sequence[Message]) -> None:
        """Put a completion's messages into the REPL, as ``history_N``."""
        await self._load_json(f"history_{self.histories}", [asdict(message) for message in messages])
        self.histories += 1

    async def set_history(self, turns: Sequence[Any]) -> None:
        """Put what compaction took out of the messages into the REPL, as ``history``."""
        await self._load_json("history", list(turns))

    def new_inputs(self) -> list[PreparedInput]:
        """Return what was loaded since this was asked last, for a journal to keep."""
        new, self._not_kept = self._not_kept, []
        return new

    async def look(self, look: Look, seconds: float) -> Seen:
        """Look into the kernel, also while a cell runs; raises `ReplError`, `KernelDied` or `TimeoutError`."""
        async with self._looks:
            return seen.checked(await self.session.look(look, seconds))

    async def close(self) -> None:
        """End the kernel. Safe to call at any time, and twice."""
        await self.session.close()

    def _names(self) -> wire.Bind:
        return replace(self._tools.bind(), keep_first=self._options.compat == "rlms", seed=self.seed)

    async def _prepared(self, context: Any) -> wire.Load:
        name = f"context_{len(self.contexts)}"
        session, options = self.session, self._options
        if isinstance(context, Upload):
            return await asyncio.to_thread(inputs.uploaded, context.path, context.kind, session.inputs, name)
        if isinstance(context, KeptInput):
            return await asyncio.to_thread(inputs.kept, context.file, context.load, session.inputs, name)
        load = await asyncio.to_thread(
            inputs.prepare,
            context,
            session.inputs,
            name,
            session.shown,
            encoding=options.encoding,
            encoding_errors=options.encoding_errors,
            context_format=options.context_format,
        )
        own = isinstance(context, Path) and context.is_file()
        self._not_kept.append(PreparedInput(load, context.absolute() if own else session.inputs / name, own))
        return load

    async def _load_json(self, name: str, value: Any) -> None:
        path = self.session.inputs / name
        await asyncio.to_thread(path.write_text, json.dumps(value), encoding="utf-8")
        path.chmod(0o644)
        await self.session.load(wire.Load(name, name, "json"))

    async def _serve(self, call: wire.Call | wire.ToolCall) -> wire.Reply:
        if self.serve is None:
            raise ContextError("Nobody answers calls between two completions.")
        return await self.serve(call)
