"""Who hears a run's events as they happen: one thread, and any number of coroutines."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rlm_kernel.errors import RLMError
from rlm_kernel.events.types import Event

TAKEN = (
    "The events of this run are being read already, in a notebook by its tree. Wait for result(), or have on_event= "
    "told of them too."
)


class Listeners:
    """Hands events on; ``None`` is the end of the run."""

    def __init__(self) -> None:
        self._thread: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._reader: int | None = None
        """The thread that reads."""
        self._coroutines: list[asyncio.Queue[Event | None]] = []

    def put(self, event: Event | None) -> None:
        """Take an event, in the run's event loop."""
        self._thread.put(event)
        if event is None:
            self._ended.set()
        for listener in self._coroutines:
            listener.put_nowait(event)

    def events(self, every: float | None = None) -> Iterator[Event | None]:
        """Yield each event in the one thread as it comes; ends with the run.

        With ``every``, they gather for so many seconds: those that have come are yielded, then ``None``. A thread that
        wakes for each event takes the interpreter from the run's own each time.

        Raises
        ------
        RLMError
            Another thread reads them now: each would miss what the other has.
        """
        here = threading.get_ident()
        if self._reader not in (None, here):
            raise RLMError(TAKEN)
        self._reader = here
        try:
            while True:
                for _ in range(1 if every is None else self._thread.qsize()):
                    event = self._thread.get()
                    if event is None:
                        self._thread.put(None)
                        return
                    yield event
                if every is not None:
                    yield None
                    self._ended.wait(every)
        finally:
            self._reader = None

    @contextmanager
    def listener(self, earlier: Iterable[Event]) -> Iterator[asyncio.Queue[Event | None]]:
        """Give a queue to a coroutine, which begins with what there is already."""
        own: asyncio.Queue[Event | None] = asyncio.Queue()
        for event in earlier:
            own.put_nowait(event)
        self._coroutines.append(own)
        try:
            yield own
        finally:
            self._coroutines.remove(own)
