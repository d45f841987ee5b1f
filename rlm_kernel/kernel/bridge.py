"""Asks the host and waits: the box's half of a sub-call.

A call is one ``rlm_call`` message on the control channel, whose thread is free while a cell runs, and its answer
is one ``rlm_reply`` there. Many may be in flight, from threads and from asyncio. An interrupt ends every wait at
once and refuses new calls until the next cell, because a thread pool would go on to its next prompt otherwise.

Threads: any thread may `submit`; only the control thread's loop sends, resolves and interrupts.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Literal

from ipykernel.kernelbase import Kernel
from jupyter_client.session import Session

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, LLMCallError, WireError
from rlm_kernel.packing import pack

Results = list[wire.CallResult]


class Bridge:
    """The calls that wait for the host.

    ``_pending`` is shared between threads; single dict operations are atomic under the interpreter lock, and
    `_lock` makes "add a call" and "end them all" exclude each other, so that no call slips in behind an interrupt.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._loop = kernel.control_thread.io_loop
        # A session of its own: the kernel's is used by other threads, and a clone would repeat message ids.
        self._session = Session(key=kernel.session.key, signature_scheme=kernel.session.signature_scheme)
        self._session.pack = pack
        self._host: list[bytes] | None = None
        self._pending: dict[str, Future[Results]] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._outbox: deque[list[bytes]] = deque()
        self._interrupted = False

    def attach(self, identity: list[bytes]) -> None:
        """Send calls to this client from now on; other front ends of the kernel never see them."""
        self._host = identity

    def start_cell(self) -> None:
        """Allow calls again after an interrupt."""
        self._interrupted = False

    def ask(self, kind: Literal["llm", "rlm"], prompts: Sequence[str], model: str | None) -> Results:
        """Send the prompts, in one call unless they are very long together, and wait for their results, in order.

        Raises
        ------
        KeyboardInterrupt
            The cell was interrupted.
        LLMCallError
            No host is attached to this kernel.
        """
        calls = dict(self.submit(kind, portion, model) for portion in _portions(prompts))
        try:
            return [result for future in calls.values() for result in future.result()]
        except CancelledError:
            raise KeyboardInterrupt("the cell was interrupted while it waited for a sub-call") from None
        except KeyboardInterrupt:
            for call in calls:
                self._abandon(call)
            raise

    async def aask(self, kind: Literal["llm", "rlm"], prompts: Sequence[str], model: str | None) -> Results:
        """`ask` for asyncio."""
        call, future = self.submit(kind, prompts, model)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            self._abandon(call)
            raise

    def submit(
        self, kind: Literal["llm", "rlm"], prompts: Sequence[str], model: str | None
    ) -> tuple[str, Future[Results]]:
        """Send a call without waiting."""
        if self._host is None:
            raise LLMCallError("No host is attached to this kernel, so nothing can answer a sub-call.")
        future: Future[Results] = Future()
        with self._lock:
            if self._interrupted:
                raise KeyboardInterrupt("the cell was interrupted")
            call = str(next(self._ids))
            self._pending[call] = future
        parent = self._kernel.get_parent("shell") or {}
        cell = parent.get("header", {}).get("msg_id")
        self._send("rlm_call", wire.Call(call, kind, list(prompts), model, cell))
        return call, future

    def resolve(self, frames: list[bytes]) -> None:
        """Deliver an ``rlm_reply``. Control thread only."""
        try:
            reply = wire.decode(wire.Reply, self._session.deserialize(frames)["content"])
        except (WireError, ValueError, KeyError):
            return  # not signed by the host, or not a reply: whoever waits for it is ended by the interrupt
        future = self._pending.pop(reply.id, None)
        if future is not None and not future.done():
            future.set_result(reply.results)

    def interrupt(self) -> None:
        """End every wait. Control thread only."""
        with self._lock:
            self._interrupted = True
            abandoned, self._pending = self._pending, {}
        for future in abandoned.values():
            future.cancel()
        if abandoned:
            self._send("rlm_cancel", wire.Cancel(list(abandoned)))

    def _abandon(self, call: str) -> None:
        if self._pending.pop(call, None) is not None:
            self._send("rlm_cancel", wire.Cancel([call]))

    def _send(self, msg_type: str, message: Any) -> None:
        assert self._host is not None
        msg = self._session.msg(msg_type, wire.encode(message))
        self._outbox.append(self._session.serialize(msg, ident=self._host))
        self._loop.add_callback(self._drain)

    def _drain(self) -> None:
        while self._outbox:
            self._kernel.control_stream.send_multipart(self._outbox.popleft(), copy=True)


def _portions(prompts: Sequence[str]) -> Iterator[list[str]]:
    """Cut a batch where its text gets longer than one message should be."""
    portion: list[str] = []
    characters = 0
    for prompt in prompts:
        if portion and characters + len(prompt) > wire.CALL_CHARACTERS:
            yield portion
            portion, characters = [], 0
        portion.append(prompt)
        characters += len(prompt)
    yield portion


def value_of(result: wire.CallResult) -> str:
    """Return one result's text, or raise what it says.

    Raises
    ------
    LimitReached
        A limit of the run is spent.
    LLMCallError
        The call failed.
    """
    if result.limit is not None:
        raise LimitReached(result.limit, result.maximum)
    if result.error is not None:
        raise LLMCallError(result.error)
    return result.text
