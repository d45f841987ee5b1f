"""How many requests may be in flight at each provider: more while answers come, half when it says too many.

Additive increase and multiplicative decrease, with a fast start, as TCP does it (RFC 5681).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

OVERLOADED = (429, 503, 529)
FIRST = 64
"""Requests in flight before the first answer."""
PAUSE_SECONDS = 1.0
"""Refusals of one burst halve the width once."""
IDLE_SECONDS = 5.0
"""The SDKs close connections that nothing has used for so long."""


class Width:
    """Slots for requests to one provider, over the whole tree. Use as an async context manager, once per request.

    Owned by the run's event loop.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = float(min(FIRST, most))
        self._flying = 0
        self._most_flying = 0
        """Since their connections were closed."""
        self._idle_since = 0.0
        self._opening = False
        """Whether a request has begun in this turn of the event loop that may need a new connection."""
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._halved_at: float | None = None

    async def __aenter__(self) -> None:
        if self._has_room and not self._waiting:
            self._begin()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had its turn already
                self._leave()
            elif turn in self._waiting:  # else whoever left has passed it over already
                self._waiting.remove(turn)
            raise

    async def __aexit__(self, kind: type[BaseException] | None, error: Any, traceback: Any) -> None:
        if getattr(error, "status", None) in OVERLOADED:  # a model of the caller's may tell it in no other way
            self.overloaded()
        elif kind is None:
            # Doubling with each round of answers until the provider first says no, then one more per round.
            self.now = min(self.most, self.now + (1.0 if self._halved_at is None else 1.0 / self.now))
        self._leave()

    def overloaded(self) -> None:
        """Halve, because the provider said that it is asked too often."""
        now = asyncio.get_running_loop().time()
        if self._halved_at is None or now - self._halved_at > PAUSE_SECONDS:
            self._halved_at = now
            self.now = max(1.0, self.now / 2)

    @property
    def _has_room(self) -> bool:
        return self._flying < int(self.now) and not self._opening

    def _begin(self) -> None:
        """Count a request. Those that open connections begin one in each turn of the event loop.

        If all began at once, the first would be sent when the last has its connection, and all would be answered at
        once as well, in every round.
        """
        if self._flying == 0 and asyncio.get_running_loop().time() - self._idle_since > IDLE_SECONDS:
            self._most_flying = 0
        self._flying += 1
        if self._flying > self._most_flying:
            self._most_flying, self._opening = self._flying, True
            asyncio.get_running_loop().call_soon(self._opened)

    def _opened(self) -> None:
        self._opening = False
        self._let_in()

    def _leave(self) -> None:
        self._flying -= 1
        if self._flying == 0:
            self._idle_since = asyncio.get_running_loop().time()
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._has_room:
            turn = self._waiting.popleft()
            if not turn.done():
                self._begin()
                turn.set_result(None)


class Widths:
    """A `Width` for each provider."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_provider: dict[str, Width] = {}

    def of(self, model: str) -> Width:
        """Return the width of a model's provider; ``model`` is ``provider/model``, or a name alone."""
        provider = model.partition("/")[0]
        if provider not in self._by_provider:
            self._by_provider[provider] = Width(self._most)
        return self._by_provider[provider]
