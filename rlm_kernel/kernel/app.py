"""The kernel process: `RLMKernel` and the lean application that launches it.

It is a real IPython kernel. What differs from the stock one, and why:

- The host binds the unix sockets and passes the listening descriptors in, so that the box can name no socket.
- Its channels are our own (`rlm_kernel.kernel.channels`): libzmq's threads cost each message some 0.05 ms, and with
  its default high-water marks a stalled host loses messages on every channel. Only stdin and the heartbeat are its.
- The warm parent makes it, but for its channels: a fork opens it.
- No debugger, no history database, no configuration files: the box is private and short-lived, and they cost
  200 ms at the start.
- No shell-channel thread (subshells): cells run 0.5 ms faster without the hop between threads.
- Sub-call replies take a short path on the control channel, past its lock and its busy/idle messages.
- Output is bounded (`rlm_kernel.kernel.output`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
import random
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import zmq
from ipykernel.control import ControlThread
from ipykernel.heartbeat import Heartbeat
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from IPython.core.error import StdinNotImplementedError
from jupyter_client.session import DELIM, new_id
from tornado.ioloop import IOLoop
from traitlets import Any as AnyTrait
from traitlets import Type, default
from traitlets.config import Config

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.kernel import context, traces
from rlm_kernel.kernel.bridge import Bridge
from rlm_kernel.kernel.channels import Part, Router
from rlm_kernel.kernel.iopub import PromptIOPub
from rlm_kernel.kernel.looking import Looks
from rlm_kernel.kernel.namespace import Namespace
from rlm_kernel.kernel.output import BoundedSession, BoundedStream, allowance
from rlm_kernel.kernel.shell import RLMShell
from rlm_kernel.kernel.tools import names_of

SWITCH_INTERVAL = 0.0005
"""Seconds. At Python's 5 ms a sub-call from a busy cell waits for the interpreter lock for 16 ms."""

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


class _NoShellThread:
    """Stands for the absent shell-channel thread: false, but ipykernel asks it for its parent thread."""

    def __init__(self) -> None:
        self.parent_thread = threading.current_thread()

    def __bool__(self) -> bool:
        return False


class RLMKernelApp(IPKernelApp):
    """Launches `RLMKernel` on sockets that the host has bound, with nothing read from disk."""

    kernel_class = RLMKernel
    blocking_class = Type(object)  # what a client is made of: to look it up loads all of jupyter_client
    outstream_class = f"{BoundedStream.__module__}.{BoundedStream.__name__}"
    connection: Any
    """Jupyter connection information."""
    descriptors: Mapping[str, int]
    """Channel name -> listening descriptor."""

    def prepare(self) -> None:
        """Make what is the same in every kernel, before any is forked: no channel, no thread, no key."""
        self.init_crash_handler()
        self.init_pdb()
        assert not self.session.key  # it comes with the connection
        self.kernel = RLMKernel.instance(parent=self, log=self.log, profile_dir=None, user_ns=None)

    def initialize(self, argv: Any = None) -> None:
        """Become one kernel: the steps of the stock application that are left, in a fork."""
        self.init_connection_file()
        self.init_sockets()
        self.init_heartbeat()
        self.init_io()
        self.init_signal()
        self.init_kernel()
        self.init_path()
        self.init_shell()

    def init_profile_dir(self) -> None:
        """Use no profile."""
        self.profile_dir = None

    def init_connection_file(self) -> None:
        """Take the connection that the host sent, and a name of its own for the session of the warm parent's."""
        self.session.session, self.session.pid = new_id(), os.getpid()
        self.connection_file = "unused.json"
        self.load_connection_info(self.connection)

    @default("session")
    def _bounded_session(self) -> BoundedSession:
        return BoundedSession(parent=self, username="kernel", key=b"")

    def init_sockets(self) -> None:
        """Open the channels that every client uses, without the debugger's."""
        self.control_thread = ControlThread(daemon=True)
        self.shell_channel_thread = _NoShellThread()
        self.configure_tornado_logger()
        self.iopub_thread = PromptIOPub(self._listening("iopub"), self.session)
        self.iopub_thread.start()
        self.iopub_socket = self.iopub_thread.background_socket

    def init_heartbeat(self) -> None:
        """Leave the others to libzmq, once a client connects to them: its threads cost 1 ms, and the host wants none."""
        self._when_asked_for("hb", self._beat)
        self._when_asked_for("stdin", self._open_stdin)

    def _when_asked_for(self, channel: str, begin: Callable[[int], None]) -> None:
        descriptor, loop = self.descriptors[channel], self.control_thread.io_loop

        def asked(*_: Any) -> None:
            loop.remove_handler(descriptor)
            begin(descriptor)

        loop.add_handler(descriptor, asked, loop.READ)

    def _beat(self, descriptor: int) -> None:
        class InheritedHeartbeat(Heartbeat):
            def _bind_socket(self) -> None:
                self.socket.setsockopt(zmq.USE_FD, descriptor)
                super()._bind_socket()

        self.heartbeat = InheritedHeartbeat(zmq.Context(), (self.transport, self.ip, self.hb_port))
        self.heartbeat.start()

    def _open_stdin(self, descriptor: int) -> None:
        stdin = zmq.Context().socket(zmq.ROUTER)
        stdin.router_handover = 1
        stdin.setsockopt(zmq.USE_FD, descriptor)
        self._bind_socket(stdin, self.stdin_port)
        self.kernel.stdin_socket = stdin
        self.kernel.stdin_open.set()

    def init_kernel(self) -> None:
        """Open the kernel, without the debugger's stream."""
        self.control_thread.start()
        self.kernel.open(
            session=self.session,
            control_stream=Router(self._listening("control"), self.control_thread.io_loop),
            shell_stream=Router(self._listening("shell"), IOLoop.current()),
            control_thread=self.control_thread,
            shell_channel_thread=self.shell_channel_thread,
            iopub_thread=self.iopub_thread,
            iopub_socket=self.iopub_socket,
        )
        self.displayhook.get_execution_count = lambda: self.kernel.execution_count

    def _listening(self, channel: str) -> socket.socket:
        return socket.socket(fileno=self.descriptors[channel])


def prepare() -> None:
    """Make the application and the kernel that every fork goes on with."""
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"  # its readers are models, journals and views
    config.RLMKernelApp.log_level = 50
    app = RLMKernelApp.instance(config=config)
    app.log.setLevel(logging.CRITICAL)  # log_level is its handler's: each line would be made, and then dropped
    app.prepare()


def main(connection: dict[str, Any], descriptors: Mapping[str, int]) -> None:
    """Be a kernel until the host ends it."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    warnings.filterwarnings("ignore", message="To exit: use")  # sys.exit() ends the cell here, and that is fine
    app = RLMKernelApp.instance()
    app.connection, app.descriptors = connection, descriptors
    app.initialize()
    app.start()
