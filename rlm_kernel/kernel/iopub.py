"""Iopub: what everybody hears, sent by the main thread itself where that is safe."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ipykernel.iostream import IOPubThread
from tornado.ioloop import IOLoop

from rlm_kernel.kernel.channels import Client, serve
from rlm_kernel.zmtp import packed

WAITING = 1_000
UNSENT_BYTES = 1 << 20
SLOW_SECONDS = 0.001
"""Whoever says more than is sent or heard is slowed down: a flood would keep waiting what others have to say."""


class Publisher:
    """Iopub's socket. Its clients belong to the loop that serves it; any thread may send."""

    def __init__(self, listening: socket.socket, on_subscription: Callable[[list[bytes]], None]) -> None:
        self._listening = listening
        self._on_subscription = on_subscription
        self._topics: dict[_Subscriber, list[bytes]] = {}

    async def serve(self) -> None:
        """Begin to serve, in the running loop."""
        await serve(self._listening, lambda: _Subscriber(self._heard, lambda _: None, self._lost))

    def send_multipart(self, parts: Sequence[bytes], **_: Any) -> None:
        """Send a message to each client that has subscribed to its topic."""
        data = b""
        for client, topics in [*self._topics.items()]:
            if any(parts[0].startswith(topic) for topic in topics):
                data = data or packed(parts)
                client.send_packed(data)

    @property
    def unsent(self) -> int:
        """The bytes that wait for the client that is slowest to take them."""
        return max((client.unsent for client in [*self._topics]), default=0)

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def _heard(self, client: _Subscriber, parts: list[bytes]) -> None:
        topics = self._topics.get(client, [])
        if parts[0][:1] == b"\1":
            self._topics[client] = [*topics, parts[0][1:]]
            self._on_subscription(parts)
        elif parts[0][:1] == b"\0":
            self._topics[client] = [topic for topic in topics if topic != parts[0][1:]]

    def _lost(self, client: _Subscriber) -> None:
        self._topics.pop(client, None)


class PromptIOPub(IOPubThread):
    """Iopub and its thread, which sends only what the main thread must not.

    ipykernel hands every message to this thread. That needs the interpreter lock, which the main thread holds until
    the whole request is done, so that the host hears of a cell's end 0.5 ms late. Here the main thread sends by itself,
    as long as nothing can interrupt it. While code runs, SIGINT is let in, and could cut a message in two.

    What is said goes through one queue, `_events`, and comes in the order in which it was said: `_lock` is held by the
    thread that empties it.
    """

    io_loop: IOLoop

    def __init__(self, listening: socket.socket, session: Any) -> None:
        self._lock = threading.RLock()
        super().__init__(Publisher(listening, self._welcome), pipe=False, session=session)

    def schedule(self, f: Callable[[], Any]) -> None:
        """Do something soon, in this thread; at once where it does not run."""
        if not self.thread.is_alive():
            f()
            return
        self._events.append(f)
        self.io_loop.add_callback(self.send_waiting)
        too_much = len(self._events) > WAITING or self.socket.unsent > UNSENT_BYTES
        if too_much and threading.current_thread() is not self.thread:
            time.sleep(SLOW_SECONDS)

    def send_multipart(self, *args: Any, **kwargs: Any) -> None:
        """Send a message now, if this is the main thread and cannot be interrupted; else soon."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            self._events.append(lambda: self._really_send(*args, **kwargs))
            self.send_waiting()
        else:
            super().send_multipart(*args, **kwargs)

    def send_waiting(self) -> None:
        """Send what waits for the thread."""
        with self._lock:
            while self._events:
                self._events.popleft()()

    def _really_send(self, msg: list[bytes], *args: Any, **kwargs: Any) -> None:
        if self._is_master_process():  # a fork has the kernel's connections, too, and could cut its messages in two
            super()._really_send(msg, *args, **kwargs)

    def _welcome(self, frames: list[bytes]) -> None:
        with self._lock:
            self._handle_subscription(frames)

    def _setup_event_pipe(self) -> None:
        """Have no pipe: the loop is woken by itself."""

    async def _run_event_pipe_gc(self) -> None:
        """So none has to be collected."""

    def _setup_xpub_listener(self) -> None:
        self.io_loop.add_callback(self.socket.serve)


class _Subscriber(Client):
    """One connection to iopub."""

    KIND = "XPUB"
