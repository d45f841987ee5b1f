"""A warm parent in the box: everything is imported, and a kernel made but for its channels; one is ready a fork later.

The host talks to it over an inherited socket pair, a JSON line per message (`rlm_kernel.wire`). It runs no code of
a model's: it forks, forwards signals, reports ends, and kills what a dead kernel leaves behind. When the host has
gone, it ends with all its kernels. The system bounds the memory of one process; this parent bounds that of a kernel
with all the processes it has started.

It makes no thread and no zmq context before it forks: neither survives a fork.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib
import importlib.util
import io
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections import deque
from pathlib import Path
from typing import Any, NoReturn

from traitlets.config import Config

from rlm_kernel import wire
from rlm_kernel.kernel import confinement, family
from rlm_kernel.removal import remove_tree

MESSAGE_BYTES = 65536

MEMORY_SECONDS = 0.25
"""How often a kernel's memory is looked at while it has processes of its own."""

CLEARING_SECONDS = 2.0
ORPHANS_SECONDS = 0.2
"""How long other kernels may have to wait while what one has left is killed."""
REAPED_AT_ONCE = 256
"""Then the host is heard again."""

PRELOADED = (
    "rlm_kernel.kernel.app",
    "IPython.core.payloadpage",
    "faulthandler",
    "tornado.platform.asyncio",
    "concurrent.futures.thread",
)


class ForkServer:
    """The parent's loop. ``host`` is its end of the socket pair."""

    def __init__(self, host: socket.socket) -> None:
        self._host = host
        self._kernels: dict[int, wire.Fork] = {}
        """Process id -> what was asked for, of the kernels that live."""
        self._reasons: dict[int, str] = {}
        self._janitors: set[int] = set()
        self._warm = False
        self._received = b""
        self._descriptors: deque[int] = deque()

    def serve(self) -> None:
        """Take messages until the host closes its end, then end everything.

        In a forked child this does not return either: the child becomes a kernel.
        """
        self._wakeup = wakeup, wake = os.pipe()
        host = self._host.fileno()
        for end in self._wakeup:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while True:
            timeout = 0 if not self._warm else MEMORY_SECONDS if self._kernels else None
            ready, _, _ = select.select([host, wakeup], [], [], timeout)
            if not (ready or self._warm):  # the first kernel does not wait for this; the others gain 5 ms
                warm_up()
                self._warm = True
            self._bound_memory()
            if wakeup in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup, 4096)
            self._reap()  # on every round: one of them may have left some
            if host in ready and not self._receive():
                break
        self._end_all()

    def _end_all(self) -> None:
        """Kill everything below this process."""
        family.end(lambda: family.members(os.getpid())[1:], CLEARING_SECONDS)

    def _receive(self) -> bool:
        """Handle what has come; return whether the host is still there."""
        data, descriptors, _, _ = socket.recv_fds(self._host, MESSAGE_BYTES, len(wire.FORK_DESCRIPTORS))
        self._descriptors.extend(descriptors)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "home" in message:
                self._fork(wire.decode(wire.Fork, message))
            elif "signal" in message:
                self._forward(wire.decode(wire.Signal, message))
            elif "clear" in message:
                self._clear(wire.decode(wire.Clear, message))
            else:
                self._become(wire.decode(wire.Warm, message))
        return bool(data)

    def _become(self, request: wire.Warm) -> None:
        sys.path += request.packages  # behind everything else: they shadow nothing
        if request.user is not None:
            confinement.become(request.user, request.reads_all)
        confinement.hide_memory(True)
        prepare()

    def _fork(self, request: wire.Fork) -> None:
        descriptors = {name: self._descriptors.popleft() for name in wire.FORK_DESCRIPTORS}
        process = os.fork()
        if process == 0:
            self._let_go()
            become_kernel(request, descriptors)
        for descriptor in descriptors.values():
            os.close(descriptor)
        self._kernels[process] = request

    def _let_go(self) -> None:
        """Close, in a fork, what is the parent's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._host.close()
        for end in self._wakeup:
            os.close(end)

    def _remove(self, home: str) -> None:
        """Remove a kernel's folder, in a fork: it may hold a million files."""
        process = os.fork()
        if process == 0:
            self._let_go()
            with contextlib.suppress(OSError):
                confinement.die_with_parent()
                remove_tree(home)
            os._exit(0)
        self._janitors.add(process)

    def _clear(self, request: wire.Clear) -> None:
        """End what a kernel has started, and tell the host: signals that it had sent before have been sent on, too."""
        roots = [process for process, kernel in self._kernels.items() if kernel.id == request.id]
        family.end(
            lambda: [member for root in roots for member in family.members(root)[1:]] + self._orphans(),
            CLEARING_SECONDS,
        )
        self._say(request)

    def _forward(self, request: wire.Signal) -> None:
        for process, kernel in self._kernels.items():
            if kernel.id == request.id:
                self._kill(process, request.signal)

    def _kill(self, process: int, number: int) -> None:
        if number == signal.SIGKILL:  # with all that has stayed in its process group
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process, number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)

    def _reap(self) -> None:
        """Report kernels that have ended, and kill orphans: for good where a kernel has left them."""
        living, reaped = len(self._kernels), False
        for _ in range(REAPED_AT_ONCE):
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if process == 0:
                break
            reaped = True
            if process in self._kernels:
                kernel, reason = self._kernels.pop(process), self._reasons.pop(process, None)
                self._say(wire.Ended(kernel.id, os.waitstatus_to_exitcode(status), reason))
                self._remove(kernel.home)
            self._janitors.discard(process)
        if len(self._kernels) < living:
            family.end(self._orphans, ORPHANS_SECONDS)
        elif reaped:
            family.kill(self._orphans())

    def _say(self, message: wire.Ended | wire.Clear) -> None:
        with contextlib.suppress(OSError):  # the host has gone
            self._host.sendall(json.dumps(wire.encode(message)).encode() + b"\n")

    def _bound_memory(self) -> None:
        """Kill a kernel whose processes together use more than one alone may."""
        for process, kernel in self._kernels.items():
            limit, members = kernel.confinement.limits.get("AS", 0), family.members(process)
            if limit and len(members) > 1 and process not in self._reasons and family.exceeds(members, limit):
                self._reasons[process] = f"its processes together used more than {limit >> 20:,} MiB"
                self._kill(process, signal.SIGKILL)

    def _orphans(self) -> list[int]:
        """Return processes that have left their kernel, so that this one has adopted them, and all below them."""
        own = {*self._kernels, *self._janitors}
        adopted = [child for child in family.children(os.getpid()) if child not in own]
        return [member for child in adopted for member in family.members(child)]


def become_kernel(request: wire.Fork, descriptors: dict[str, int]) -> NoReturn:
    """Run a kernel in this forked process and end it."""
    status = 1
    try:
        os.setsid()
        confinement.die_with_parent()
        log = descriptors.pop("log")
        for standard in (sys.stdout, sys.stderr):
            os.dup2(log, standard.fileno())
        os.close(log)
        with os.fdopen(descriptors.pop("connection"), encoding="utf-8") as file:
            connection = json.load(file)
        Path(request.home).mkdir(mode=0o700)
        os.chdir(request.home)
        os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"), request.home))
        os.environ["IPYTHONDIR"] = f"{request.home}/.ipython"
        tempfile.tempdir = None
        confinement.hide_memory(False)  # the parent measures it; Landlock keeps siblings out
        confinement.confine(request.confinement)

        from rlm_kernel.kernel import app

        app.main(connection, descriptors)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def main(descriptor: int) -> None:
    """Warm up and serve. ``descriptor`` is this end of the host's socket pair."""
    confinement.adopt_orphans()
    _postpone("jupyter_client", "connect")
    _leave_out_debugpy()
    for name in PRELOADED:
        importlib.import_module(name)
    ForkServer(socket.socket(fileno=descriptor)).serve()


def prepare() -> None:
    """Make, as the user of the kernels, what they all have: it is shared, and takes a fork no time.

    It is frozen: a fork's collector would touch all there is, and so copy every page.
    """
    from rlm_kernel.kernel import app

    app.prepare()
    gc.freeze()
    gc.enable()


def warm_up() -> None:
    """Run cells in a shell that is thrown away: what IPython imports and caches at its first ones, forks then have."""
    from IPython.core.interactiveshell import InteractiveShell

    main_module, displayhook, names = sys.modules["__main__"], sys.displayhook, set(vars(builtins))
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        InteractiveShell(config=config).run_cell("x = 1\nx")
    sys.modules["__main__"], sys.displayhook = main_module, displayhook
    for name in set(vars(builtins)) - names:
        delattr(builtins, name)
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _leave_out_debugpy() -> None:
    # ipykernel loads debugpy where it is installed: 55 ms at the start, and a debugger that nobody can reach.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    importlib.import_module("ipykernel.debugger")
    del sys.modules["debugpy"]


def _postpone(name: str, module: str) -> None:
    """Have a package run its own code when it is first asked for a name that is not in one module of its.

    A kernel needs little of jupyter_client, which imports its clients and managers too: 20 ms.
    """
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    package, run = importlib.util.module_from_spec(spec), spec.loader.exec_module

    def ask(attribute: str) -> Any:
        if "__getattr__" in vars(package) and not hasattr(known, attribute):
            del package.__getattr__
            run(package)
        return getattr(known if "__getattr__" in vars(package) else package, attribute)

    package.__getattr__ = ask  # type: ignore[method-assign]
    sys.modules[name] = package
    known = importlib.import_module(f"{name}.{module}")
