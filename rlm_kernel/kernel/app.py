"""Launches the kernel: once in the warm parent as far as all kernels are alike, and then in each fork of it.

The host binds the unix sockets and passes the listening descriptors in, so that the box can name no socket. There is
no debugger, no history database and no configuration file: the box is private and short-lived, and they cost 200 ms at
the start.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import zmq
from ipykernel.control import ControlThread
from ipykernel.heartbeat import Heartbeat
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.session import new_id
from tornado.ioloop import IOLoop
from traitlets import Type, default
from traitlets.config import Config

from rlm_kernel.kernel.channels import Router
from rlm_kernel.kernel.iopub import PromptIOPub
from rlm_kernel.kernel.kernel import RLMKernel
from rlm_kernel.kernel.output import BoundedSession, BoundedStream

SWITCH_INTERVAL = 0.0005
"""Seconds. At Python's 5 ms a sub-call from a busy cell waits for the interpreter lock for 16 ms."""


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
        """Leave the others to libzmq, once a client connects to them: its threads cost 1 ms."""
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
