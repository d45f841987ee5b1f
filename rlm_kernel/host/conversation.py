"""Several completions in one REPL: the kernel, its variables and its inputs stay."""

from __future__ import annotations

import asyncio
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ReplError, RLMError
from rlm_kernel.host.live.hand import Hand, Output
from rlm_kernel.host.options import Options
from rlm_kernel.host.repl import Repl
from rlm_kernel.host.sandboxes.box import Box
from rlm_kernel.host.tools import Tools


class Conversation:
    """The REPL that the completions of one ``with RLM(...)`` share. Belongs to the event loop that opened it.

    Attributes
    ----------
    is_open
        Whether its kernel is there.
    last
        The id of the run that used it last: only that one can go on.
    """

    def __init__(self, options: Options, tools: Tools) -> None:
        self.box = Box(options)
        self.repl = Repl(options, self.box, tools)
        self.repl.hand = self._hand = Hand(self.repl)
        self.last = ""
        self._busy = asyncio.Lock()
        self.is_open = False

    async def open(self) -> None:
        """Start the kernel."""
        await self.repl.open()
        await self._hand.lets_go()
        self.is_open = True

    async def add_context(self, context: Any) -> wire.Loaded:
        """Load one more input without asking anything."""
        async with self.turn():
            return await self.repl.add_context(context)

    async def execute(self, code: str) -> Output:
        """Run a cell by hand.

        Raises
        ------
        ReplError
            A completion is under way.
        """
        if self._busy.locked():
            raise ReplError("The REPL is at work. Its variables can be read; run code when the question is answered.")
        async with self._busy:
            return await self._hand.execute(code)

    def turn(self) -> asyncio.Lock:
        """Take the REPL for one completion.

        Raises
        ------
        RLMError
            Another completion has it.
        """
        if self._busy.locked():
            raise RLMError("A conversation answers one question at a time. Wait for the other, or use another RLM.")
        return self._busy

    async def close(self) -> None:
        """End the kernel and its box."""
        self.is_open = False
        try:
            await self.repl.close()
        finally:
            await self.box.close()
