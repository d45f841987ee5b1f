"""Asks the host and waits: the box's half of a sub-call.

A call is one ``rlm_call`` message on the control channel, whose thread is free while a cell runs, and its answer
is one ``rlm_reply`` there. Many may be in flight, from threads and from asyncio. An interrupt ends every wait at
once and refuses new calls until the next cell, because a thread pool would go on to its next prompt otherwise.

Threads: any thread may `submit`, and sends what is short by itself; only the control thread's loop sends what is long,
resolves and interrupts.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from hmac import compare_digest
from typing import Any, Literal

from ipykernel.kernelbase import Kernel

from rlm_kernel import wire
from rlm_kernel.errors import LimitReached, LLMCallError, WireError
from rlm_kernel.kernel.quiet import is_quiet
from rlm_kernel.packing import Messages

Results = list[wire.CallResult]
Kind = Literal["llm", "rlm"]

WHOLE_BYTES = 16_384
"""The system writes as much to a unix socket at once, or refuses it."""

PART_CHARACTERS = 1_000_000
"""Of an input that is on its way to a child."""


class Bridge:
    """The calls that wait for the host.

    ``_pending`` is shared between threads; single dict operations are atomic under the interpreter lock, and
    `_lock` makes "add a call" and "end them all" exclude each other, so that no call slips in behind an interrupt.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._loop: asyncio.AbstractEventLoop = kernel.control_thread.io_loop.asyncio_loop
        # A session of its own: the kernel's is used by other threads, and a clone would repeat message ids.
        self._session = Messages(key=kernel.session.key, signature_scheme=kernel.session.signature_scheme)
        self._host: list[bytes] | None = None
        self._pending: dict[str, Future[Results]] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._outbox: deque[list[bytes]] = deque()
        self._interrupted = False
        self._process = os.getpid()

    def attach(self, identity: list[bytes]) -> None:
        """Send calls to this client from now on; other front ends of the kernel never see them."""
        self._host = identity

    def start_cell(self) -> None:
        """Allow calls again after an interrupt."""
        self._interrupted = False

    def ask(self, kind: Kind, prompts: Sequence[str], model: str | None = None, **fields: Any) -> Results:
        """Send the prompts, in one call unless they are very long together, and wait for their results, in order.

        ``fields`` are the others of `wire.Call`; ``contexts`` is one for each prompt, one for all, or none.

        Raises
        ------
        KeyboardInterrupt
            The cell was interrupted.
        LLMCallError
            No host is attached to this kernel.
        """
        calls = dict(self.submit("rlm_call", call) for call in calls_of(kind, prompts, model, **fields))
        return self._wait(calls)

    async def aask(self, kind: Kind, prompts: Sequence[str], model: str | None = None, **fields: Any) -> Results:
        """`ask` for asyncio."""
        calls = dict(self.submit("rlm_call", call) for call in calls_of(kind, prompts, model, **fields))
        return await self._await(calls)

    def request(self, msg_type: str, message: Any) -> Results:
        """Send one message that is no `wire.Call`, such as a `wire.ToolCall`, and wait for its results.

        Raises
        ------
        KeyboardInterrupt
            The cell was interrupted.
        """
        return self._wait(dict([self.submit(msg_type, message)]))

    async def arequest(self, msg_type: str, message: Any) -> Results:
        """`request` for asyncio."""
        return await self._await(dict([self.submit(msg_type, message)]))

    def upload(self, value: Any) -> str:
        """Send an input for a child, in pieces, and return the id that a call names it by.

        Raises
        ------
        TypeError, ValueError
            It is neither text nor JSON.
        LLMCallError
            No host is attached to this kernel.
        """
        self._check_host()
        upload = f"c{next(self._ids)}"
        for part in parts_of(upload, value):
            self._send("rlm_context", part)
        return upload

    def submit(self, msg_type: str, message: Any) -> tuple[str, Future[Results]]:
        """Send a message that is answered, under an id of its own, without waiting."""
        self._check_host()
        future: Future[Results] = Future()
        with self._lock:
            if self._interrupted:
                raise KeyboardInterrupt("the cell was interrupted")
            call = str(next(self._ids))
            self._pending[call] = future
        parent = self._kernel.get_parent("shell") or {}
        cell = parent.get("header", {}).get("msg_id")
        self._send(msg_type, replace(message, id=call, cell=cell))
        return call, future

    def resolve(self, frames: list[bytes]) -> None:
        """Deliver an ``rlm_reply``. Control thread only.

        Only its content is read: it says itself what it answers, and is taken once.
        """
        signature, *parts = frames[:5]
        if len(parts) < 4 or not compare_digest(signature, self._session.sign(parts)):
            return  # not the host's: whoever waits for it is ended by the interrupt
        try:
            reply = wire.decode(wire.Reply, self._session.unpack(parts[3]))
        except (WireError, ValueError):
            return
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

    def _wait(self, calls: dict[str, Future[Results]]) -> Results:
        try:
            return [result for future in calls.values() for result in future.result()]
        except CancelledError:
            raise KeyboardInterrupt("the cell was interrupted while it waited for a sub-call") from None
        except KeyboardInterrupt:
            for call in calls:
                self._abandon(call)
            raise

    async def _await(self, calls: dict[str, Future[Results]]) -> Results:
        try:
            return [result for future in calls.values() for result in await asyncio.wrap_future(future)]
        except asyncio.CancelledError:
            for call in calls:
                self._abandon(call)
            raise

    def _check_host(self) -> None:
        if os.getpid() != self._process:
            raise LLMCallError("A forked process cannot ask: the replies go to its parent. Use threads, or a batch.")
        if is_quiet():
            raise LLMCallError("Nothing is asked while somebody looks at a variable.")
        if self._host is None:
            raise LLMCallError("No host is attached to this kernel, so nothing can answer a sub-call.")

    def _abandon(self, call: str) -> None:
        if self._pending.pop(call, None) is not None:
            self._send("rlm_cancel", wire.Cancel([call]))

    def _send(self, msg_type: str, message: Any) -> None:
        assert self._host is not None
        frames = self._session.serialize(self._session.msg(msg_type, wire.encode(message)), ident=self._host)
        # An interrupt may end this thread between any two steps. A short message is written whole, or not at all.
        if not self._outbox and sum(map(len, frames)) <= WHOLE_BYTES:
            self._kernel.control_stream.send_now(frames)
        else:
            self._outbox.append(frames)
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        while self._outbox:  # it is empty when all has been sent, so that nothing overtakes
            self._kernel.control_stream.send_now(self._outbox[0])
            self._outbox.popleft()


def parts_of(upload: str, value: Any) -> Iterator[wire.Part]:
    """Cut an input for a child into pieces.

    Raises
    ------
    TypeError, ValueError
        It is neither text nor JSON.
    """
    kind: Literal["text", "json"] = "text" if isinstance(value, str) else "json"
    text = value if isinstance(value, str) else json.dumps(value)
    for start in range(0, max(len(text), 1), PART_CHARACTERS):
        yield wire.Part(upload, kind, text[start : start + PART_CHARACTERS])


def calls_of(
    kind: Kind, prompts: Sequence[str], model: str | None, contexts: Sequence[str] = (), **fields: Any
) -> Iterator[wire.Call]:
    """Cut a batch where its text, or its replies', gets longer than one message should be."""
    first = characters = 0
    for number, prompt in enumerate([*prompts, None]):
        length = 0 if prompt is None else len(prompt)
        full = characters + length > wire.CALL_CHARACTERS or number - first == wire.CALL_PROMPTS
        if prompt is None or (number > first and full):
            theirs, more = list(contexts if len(contexts) <= 1 else contexts[first:number]), prompt is not None
            yield wire.Call("", kind, list(prompts[first:number]), model, None, theirs, more=more, **fields)
            first, characters = number, 0
        characters += length


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
