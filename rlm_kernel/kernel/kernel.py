"""The kernel: an IPython kernel with the REPL's names.

It is a real one. What differs from the stock kernel, and why:

- Its channels are our own (`rlm_kernel.kernel.channels`): libzmq's threads cost each message some 0.05 ms, and with
  its default high-water marks a stalled host loses messages on every channel. Only stdin and the heartbeat are its.
- Sub-call replies take a short path on the control channel, past its lock and its busy/idle messages.
- No shell-channel thread (subshells): cells run 0.5 ms faster without the hop between threads.
- An interrupt reaches the code of a cell, and nothing else.
- Output is bounded (`rlm_kernel.kernel.output`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import random
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from IPython.core.error import StdinNotImplementedError
from jupyter_client.session import DELIM
from traitlets import Any as AnyTrait
from traitlets import Type

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.kernel import context, traces
from rlm_kernel.kernel.bridge import Bridge
from rlm_kernel.kernel.channels import Part
from rlm_kernel.kernel.looking import Looks
from rlm_kernel.kernel.namespace import Namespace
from rlm_kernel.kernel.output import allowance
from rlm_kernel.kernel.shell import RLMShell
from rlm_kernel.kernel.tools import names_of

STDIN_SECONDS = 5.0


class RLMKernel(IPythonKernel):
    """An IPython kernel with the REPL's names, whose sub-calls go to the host over the control channel."""

    implementation = "rlm-kernel"
    shell_class = Type(RLMShell)
    shell_stream = AnyTrait()
    control_stream = AnyTrait()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._execute_sleep = 0
        self._went_too_far = False
        traces.install(self.shell)

    def open(self, **channels: Any) -> None:
        """Begin in this process, with its channels. The kernel was made in the warm parent, without any."""
        for name, channel in channels.items():
            setattr(self, name, channel)
        self.stdin_open = threading.Event()
        self._process = os.getpid()
        self._stdout, self._stderr = sys.stdout, sys.stderr
        for publisher in (self.shell.displayhook, self.shell.display_pub):
            publisher.session, publisher.pub_socket = self.session, self.iopub_socket
        self.shell.move_in()
        self.bridge = Bridge(self)
        self.namespace = Namespace(self.shell.user_ns, self.bridge)
        self.control_handlers["rlm_attach_request"] = self.rlm_attach_request
        self.control_handlers["rlm_look_request"] = Looks(self).request
        self.shell_handlers["rlm_load_request"] = self.rlm_load_request
        self.shell_handlers["rlm_bind_request"] = self.rlm_bind_request

    @property
    def _supports_kernel_subshells(self) -> bool:
        return False

    def rlm_attach_request(self, stream: Any, ident: list[bytes], parent: dict[str, Any]) -> None:
        """Register the host that answers calls."""
        wire.decode(wire.Attach, parent["content"])
        self.bridge.attach(ident)
        reply = wire.Attached(wire.VERSION, platform.python_version())
        self.session.send(stream, "rlm_attach_reply", wire.encode(reply), parent, ident=ident)

    def rlm_load_request(self, stream: Any, ident: list[bytes], parent: dict[str, Any]) -> None:
        """Load an input into the REPL."""
        request = wire.decode(wire.Load, parent["content"])
        try:
            value = context.load(request)
            self.namespace.bind(request.name, value)
            loaded = context.describe(value)
        except ContextError as error:
            loaded = wire.Loaded(error=str(error))
        self.session.send(stream, "rlm_load_reply", wire.encode(loaded), parent, ident=ident)

    def rlm_bind_request(self, stream: Any, ident: list[bytes], parent: dict[str, Any]) -> None:
        """Give the REPL the caller's tools and values."""
        bind = wire.decode(wire.Bind, parent["content"])
        self.namespace.give(names_of(bind, self.bridge), keep_first=bind.keep_first)
        random.seed(bind.seed or None)
        self.session.send(stream, "rlm_bind_reply", {}, parent, ident=ident)

    def dispatch_control(self, msg: list[Part]) -> Any:
        """Deliver a sub-call's reply at once; everything else goes the stock way."""
        frames = [part.bytes for part in msg]
        start = frames.index(DELIM) + 1
        if b'"rlm_reply"' in frames[start + 1]:
            return self.bridge.resolve(frames[start:])
        return super().dispatch_control(msg)

    async def execute_request(self, stream: Any, ident: list[bytes], parent: dict[str, Any]) -> None:
        """Run a cell; calls that an interrupt had refused are allowed again."""
        self.bridge.start_cell()
        allowance.renew()
        self._bury()
        await super().execute_request(stream, ident, parent)

    def _bury(self) -> None:
        """Free the places of processes that the host has killed after a cell that went too far."""
        with contextlib.suppress(ChildProcessError):
            while self._went_too_far and os.waitpid(-1, os.WNOHANG)[0]:
                pass
        self._went_too_far = False

    def finish_metadata(self, parent: Any, metadata: dict[str, Any], reply_content: Any) -> dict[str, Any]:
        """Add the REPL's state to the cell's reply."""
        metadata = super().finish_metadata(parent, metadata, reply_content)
        try:
            metadata["rlm"] = wire.encode(self.namespace.report())
        except Exception as error:  # the model's own objects: without a reply the host would wait
            metadata["rlm"] = wire.encode(wire.CellReport(text=f"<answer that raised {type(error).__name__}>"))
        return metadata

    def pre_handler_hook(self) -> None:
        """Leave SIGINT ignored: only `do_execute` lets it in."""

    def post_handler_hook(self) -> None:
        """Leave SIGINT ignored."""

    async def do_execute(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Run code; an interrupt can end nothing but the code.

        ipykernel lets SIGINT in for the whole request, and one that comes when the code has just ended costs the
        cell its reply: whoever waits for it waits for ever.
        """
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                reply: dict[str, Any] = await super().do_execute(*args, **kwargs)
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except KeyboardInterrupt:
            reply = {"status": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": []}
        if os.getpid() != self._process:  # a fork that the cell made and did not end: it shares the kernel's sockets
            os._exit(1)
        if reply.get("ename") == "CancelledError":  # a top-level await that was interrupted
            reply["ename"] = "KeyboardInterrupt"
        self._went_too_far = reply.get("ename") in ("KeyboardInterrupt", "BlockingIOError")
        return reply

    async def interrupt_request(self, stream: Any, ident: list[bytes], parent: dict[str, Any]) -> None:
        """Interrupt the cell, then end every wait for the host."""
        await super().interrupt_request(stream, ident, parent)
        self.bridge.interrupt()

    def _input_request(self, *args: Any, **kwargs: Any) -> str:
        if not self.stdin_open.wait(STDIN_SECONDS):  # a client that says it may be asked has just connected to it
            raise StdinNotImplementedError("This client has no stdin channel, so nobody can be asked.")
        return str(super()._input_request(*args, **kwargs))

    @contextlib.contextmanager
    def _cancel_on_sigint(self, future: asyncio.Future[Any]) -> Iterator[None]:
        # ipykernel schedules the cancellation with add_callback, which does not wake a loop that waits in
        # epoll when the signal handler runs: the awaiting cell stays until another message arrives.
        loop = asyncio.get_running_loop()
        saved = signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(future.cancel))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, saved)
