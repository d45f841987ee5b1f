"""Attempts of one kernel on what shares its box: the other kernels of the run, and the warm parent of all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import psutil

from rlm_kernel.errors import RLMError
from rlm_kernel.host.session import Session
from tests.escapes.vocabulary import UNHARMED, Attempt, Drive, Scene, Try, attempt, differs, judged
from tests.kernel.vocabulary import kernel, run, until

VICTIM = """
import json, os, socket
home = os.environ["HOME"]
secret = {secret!r}
for path in (home + "/file", "/dev/shm/file"):
    try: open(path, "w").write(secret)
    except OSError: pass
opened, pair = open(home + "/file"), socket.socketpair()
told = {{"sibling": os.getpid(), "parent": os.getppid(), "sibling_home": home, "descriptor": opened.fileno()}}
print(json.dumps(told))
"""
CHECK = "print(open(home + '/file').read() == secret, sorted(os.listdir(home)), open('/dev/null').name)"


def on_a_sibling(code: str) -> Drive:
    """Make the attempt in a kernel that is forked after its victim, and then see how the victim is."""

    async def drive(scene: Scene) -> list[Try]:
        async with scene.siblings() as (victim, attacker):
            told = await prepared(scene, victim)
            before = await run(victim, CHECK)
            tries = await scene.attack(attacker, code, **told)
            await asyncio.sleep(0.1)  # a signal, or a limit, may take a moment
            after = await run(victim, CHECK, ok=False)
            failure: Exception | None = None
            try:
                async with kernel(box=victim._box) as third:
                    await run(third, "1 + 1")
            except (RLMError, KeyError) as error:
                failure = error
            return [
                *tries,
                judged("the sibling was harmed", differs(after.text, before.text)),
                judged("the warm parent was harmed", failure and repr(failure)),
            ]

    return drive


async def prepared(scene: Scene, victim: Session) -> dict[str, Any]:
    """Give a kernel something worth stealing; return what its sibling is told."""
    cell = await run(victim, VICTIM.format(secret=scene.canaries.secret))
    key = victim._channels._session.key
    told: dict[str, Any] = json.loads(cell.text)
    return {**told, "sibling_inputs": victim._provisioner.inputs_in_box(), "digest": hashlib.sha256(key).hexdigest()}


MEMORY = """
pid = host["victim"]
for name in ("mem", "environ", "maps", "auxv", "cwd", "root", f"fd/{host['descriptor']}", "stack", "pagemap"):
    place = f"/proc/{pid}/{name}"
    tried(name, lambda: os.listdir(place) if name in ("cwd", "root") else read(place))
buffer = ctypes.create_string_buffer(16)
local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
tried("process_vm_readv", lambda: system_call("process_vm_readv", pid, local, 1, local, 1, 0))
tried("process_vm_writev", lambda: system_call("process_vm_writev", pid, local, 1, local, 1, 0))
tried("ptrace", lambda: system_call("ptrace", 16, pid, 0, 0))
def take(number):
    process = system_call("pidfd_open", pid, 0)
    try: return system_call("pidfd_getfd", process, number, 0)
    finally: os.close(process)
tried("its descriptor", lambda: take(host["descriptor"]))
"""

SIGNALS = """
import fcntl, socket, threading
pid = host["victim"]
tried("kill", lambda: os.kill(pid, signal.SIGKILL))
tried("stop", lambda: os.kill(pid, signal.SIGSTOP))
tried("group", lambda: os.killpg(os.getpgid(pid), signal.SIGKILL) if os.getpgid(pid) != 1 else found(None))
def by_descriptor():
    process = system_call("pidfd_open", pid, 0)
    try: return system_call("pidfd_send_signal", process, signal.SIGKILL, 0, 0)
    finally: os.close(process)
tried("by descriptor", by_descriptor)
def by_input():
    left, right = socket.socketpair()
    with left, right:
        fcntl.fcntl(left, fcntl.F_SETOWN, pid)
        fcntl.fcntl(left, 10, signal.SIGKILL)  # F_SETSIG
        fcntl.fcntl(left, fcntl.F_SETFL, os.O_ASYNC)
        right.send(b"x")
    raise NothingThereError  # whether it arrived, the victim knows
tried("by input", by_input)
os.kill(-1, signal.SIGKILL)  # all of the group 1 and everyone else; what it returns says nothing
"""

LIMITS = """
import resource
pid = host["victim"]
tried("limit on files", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0)))
tried("limit on time", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0)))
tried("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
tried("priority of the group", lambda: os.setpriority(os.PRIO_PGRP, os.getpgid(pid), 19))
tried("priority of the user", lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19))
tried("processors", lambda: os.sched_setaffinity(pid, {0}))
tried("scheduler", lambda: scheduled(pid, os.SCHED_IDLE, 0))
"""


def _on(who: str, code: str) -> Drive:
    return on_a_sibling(f'host["victim"] = host[{who!r}]\n' + code)


async def _wake_up(scene: Scene) -> list[Try]:
    """Read everything that comes through inherited pipes: one of them may be how the warm parent hears of ends."""
    async with scene.siblings() as (victim, attacker):
        code = """
import stat, threading, time
own = set()
def steal():
    pipes = []
    for descriptor in range(1024):
        try:
            if stat.S_ISFIFO(os.fstat(descriptor).st_mode): pipes.append(descriptor)
        except OSError: pass
    for descriptor in pipes: os.set_blocking(descriptor, False)
    end = time.monotonic() + 8
    while time.monotonic() < end:
        for descriptor in pipes:
            try: os.read(descriptor, 4096)
            except OSError: pass
threading.Thread(target=steal, daemon=True).start()
"""
        shared = [lines_of(p) & lines_of(child) for p in processes_of(victim) for child in p.children()]
        await scene.attack(attacker, code)
        inherited = judged("pipes of the warm parent in a kernel", set().union(*shared))
        try:
            for _ in range(3):  # it is a race
                async with asyncio.timeout(3):
                    ended = await run(victim, "import os; os._exit(1)", ok=False)
                    works = await run(victim, "1 + 1", ok=False)
        except TimeoutError:
            return [inherited, judged("the host was not told that a kernel had ended", True)]
        return [inherited, judged("a sibling is of no use", differs((ended.result.status, works.text), ("died", "2")))]


DAEMONS = """
import sys
for _ in range({number}):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", {program!r}])
        os._exit(0)
"""
WAIT = "import time\nwhile True: time.sleep(1)"
HOP = """
import ctypes
libc = ctypes.CDLL(None)
fork, end = libc.fork, libc._exit
while True:
    if fork() > 0: end(0)
"""


def processes_of(session: Session) -> list[psutil.Process]:
    """Return what lives in a session's box, as the host sees it."""
    everything = psutil.Process(session._provisioner._parent.process.pid).children(recursive=True)
    return [process for process in everything if process.status() != psutil.STATUS_ZOMBIE]


def lines_of(process: psutil.Process) -> set[str]:
    """Return a process's pipes and sockets, as far as this user may look."""
    found = set()
    for descriptor in (
        Path(f"/proc/{process.pid}/fd").glob("*") if os.access(f"/proc/{process.pid}/fd", os.R_OK) else ()
    ):
        with contextlib.suppress(OSError):
            found.add(os.readlink(descriptor))
    return {name for name in found if name.startswith(("pipe:", "socket:"))}


async def _leave_a_daemon(scene: Scene) -> list[Try]:
    """In a box that goes on, because another kernel is in it."""
    async with scene.siblings() as (first, attacker):
        before = len(processes_of(first))
        await scene.cell(attacker, DAEMONS.format(number=1, program=WAIT))
        await until(lambda: len(processes_of(first)) > before)
        await attacker.close()
        await asyncio.sleep(0.3)
        left = processes_of(first)
        return [judged("processes of a kernel that has ended", left if len(left) >= before else None)]


async def _leave_a_hopping_process(scene: Scene) -> list[Try]:
    """One that is gone whenever somebody has found its number; how fast numbers are used up shows it."""
    number = """
import time
def number(): return int(open("/proc/loadavg").read().split()[4])
before = number()
"""
    used = "time.sleep(0.3)\nprint(number() - before)"
    async with scene.siblings() as (first, attacker):
        started = await scene.cell(attacker, number + DAEMONS.format(number=30, program=HOP) + used)
        assert int(started.text.split()[-1]) > 60, "none of them has hopped"  # Python 3.12 warns of forks first
        await attacker.close()
        await asyncio.sleep(0.3)
        hops = int((await run(first, number + used)).text)
        return [judged("hops after its kernel's end", hops if hops > 5 else None)]


ATTEMPTS: list[Attempt] = [
    attempt(
        "a sibling's memory",
        "read the memory, environment and descriptors of another kernel of the same run",
        "Landlock: tracing, seccomp",
        "EACCES EPERM",
        _on("sibling", MEMORY),
    ),
    attempt(
        "the warm parent's memory",
        "read the memory, environment and descriptors of the process that all kernels are forked from",
        "Landlock: tracing, seccomp",
        "EACCES EPERM EBADF",
        _on("parent", MEMORY),
    ),
    attempt(
        "a sibling's files",
        "find, read and change the files and inputs of another kernel of the same run",
        "Landlock: paths",
        "EACCES EROFS EXDEV",
        on_a_sibling("""
home = host["sibling_home"]
tried("all folders", lambda: os.listdir(os.path.dirname(home)))
tried("its folder", lambda: os.listdir(home))
tried("its file", lambda: read(home + "/file"))
tried("write it", lambda: write(home + "/file"))
tried("truncate it", lambda: os.truncate(home + "/file", 0))
tried("remove it", lambda: os.unlink(home + "/file"))
tried("link to it", lambda: os.link(home + "/file", os.environ["HOME"] + "/stolen"))
tried("move it", lambda: os.rename(home + "/file", os.environ["HOME"] + "/stolen"))
tried("a new file", lambda: write(home + "/new"))
tried("its shared memory", lambda: read("/dev/shm/file"))
tried("shared memory", lambda: os.listdir("/dev/shm"))
tried("its input", lambda: read(host["sibling_inputs"] + "/input.txt"))
tried("its inputs", lambda: os.listdir(host["sibling_inputs"]))
"""),
    ),
    attempt(
        "a sibling's files, by other calls",
        "lock another kernel out of its folder, watch it, learn names and sizes: Landlock knows none of these calls",
        "a name nobody can guess",
        "ENOENT EACCES EPERM NothingThereError",
        on_a_sibling("""
home = os.path.join(os.path.dirname(os.environ["HOME"]), "1")
tried("status", lambda: os.stat(home))
tried("size of a file", lambda: os.stat(home + "/file").st_size)
tried("watch", lambda: found(libc.inotify_add_watch(libc.inotify_init(), home.encode(), 0xFFF) >= 0))
tried("times", lambda: os.utime(home + "/file", (0, 0)))
tried("attribute", lambda: os.setxattr(home + "/file", "user.x", b"x"))
tried("mode of a file", lambda: os.chmod(home + "/file", 0))
tried("mode of the folder", lambda: os.chmod(home, 0))
"""),
    ),
    attempt(
        "signals to a sibling",
        "end or stop another kernel of the same run",
        "Landlock: signals",
        "EPERM NothingThereError",
        _on("sibling", SIGNALS),
    ),
    attempt(
        "signals to the warm parent",
        "end or stop the process that all kernels are forked from",
        "Landlock: signals",
        "EPERM NothingThereError",
        _on("parent", SIGNALS),
    ),
    attempt(
        "a sibling's limits",
        "set the limits, priority and processors of another kernel of the same run",
        "seccomp",
        "EPERM NothingThereError",
        _on("sibling", LIMITS),
    ),
    attempt(
        "the warm parent's limits",
        "set the limits, priority and processors of the process that all kernels are forked from",
        "seccomp",
        "EPERM NothingThereError",
        _on("parent", LIMITS),
    ),
    attempt(
        "a sibling's key",
        "find another kernel's key in memory that was inherited from the warm parent",
        "nothing is inherited",
        "NothingThereError EACCES",
        on_a_sibling("""
import hashlib, re
def keys():
    for line in open("/proc/self/maps"):
        span, rights = line.split()[:2]
        begin, end = (int(part, 16) for part in span.split("-"))
        if rights.startswith("rw") and end - begin < 1 << 28:
            yield from re.findall(rb"[0-9a-f]{8}-[0-9a-f]{24}", ctypes.string_at(begin, end - begin))
memory = set(keys())
assert get_ipython().kernel.session.key in memory
right = [key for key in memory if hashlib.sha256(key).hexdigest() == host["digest"]]
tried("each text that looks like one", lambda: found(right))
"""),
    ),
    attempt(
        "the warm parent's ears",
        "swallow what comes through inherited pipes, so that nobody hears that a kernel has ended",
        "nothing is inherited",
        UNHARMED,
        _wake_up,
    ),
    attempt(
        "processes left behind",
        "leave a daemon in a box that goes on",
        "sweep of orphans",
        UNHARMED,
        _leave_a_daemon,
    ),
    attempt(
        "a process that hops",
        "leave a process that becomes another one every millisecond, so that nobody can kill it",
        "sweep of orphans",
        UNHARMED,
        _leave_a_hopping_process,
    ),
]
