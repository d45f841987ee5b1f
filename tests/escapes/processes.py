"""Attempts on processes: environments, memory, signals, and what one may do to another."""

from __future__ import annotations

import psutil

from tests.escapes.vocabulary import UNHARMED, Attempt, Scene, Try, attempt, judged
from tests.kernel.vocabulary import until


async def _outlive(scene: Scene) -> list[Try]:
    """Daemons, which have left their parent, its session and its process group."""
    word = f"outlived-{scene.canaries.mark}"
    code = """
import sys
wait = "import time\\nwhile True: time.sleep(1)"
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execv(sys.executable, [sys.executable, "-c", wait, host["outliving"]])
        os._exit(0)
"""

    def alive() -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if word in (p.info["cmdline"] or [])]

    async with scene.kernel() as session:
        await scene.cell(session, code, outliving=word)
        await until(lambda: len(alive()) == 3)
    try:
        await until(lambda: not alive(), seconds=2)
    except TimeoutError:
        left = alive()
        for process in left:
            process.kill()
        return [judged("processes of a closed box", left)]
    return [judged("processes of a closed box", None)]


ATTEMPTS: list[Attempt] = [
    attempt(
        "environment",
        "find a variable outside the allowlist in the environment of any visible process",
        "environment allowlist",
        "NothingThereError",
        """
def names(environment):
    return {entry.partition(b"=")[0].decode() for entry in environment.split(b"\\0") if entry}
def strangers():
    seen = {("own", name) for name in os.environ}
    for pid in pids():
        try: seen |= {(pid, name) for name in names(read(f"/proc/{pid}/environ"))}
        except OSError: pass
    tunables = "glibc."  # the C library takes its own variable apart where it stands
    return sorted(f"{pid} {n}" for pid, n in seen if n not in host["environment"] and not n.startswith(tunables))
tried("every process", lambda: found(strangers()))
tried("the key of a provider", lambda: found(os.environ.get("CANARY_API_KEY")))
""",
    ),
    attempt(
        "command lines",
        "find a process of the host, or a key, in the command line of any visible process",
        "process namespace",
        "NothingThereError",
        """
def lines():
    for pid in pids():
        try: yield pid, read(f"/proc/{pid}/cmdline").decode("utf-8", "replace")
        except OSError: pass
shown = list(lines())
tried("processes of the host", lambda: found([line for line in shown if host["word"] in line[1]]))
others = [line for line in shown if "rlm_kernel" not in line[1] and "bwrap" not in line[1]]
tried("processes that are not ours", lambda: found(others))
""",
    ),
    attempt(
        "a host process in /proc",
        "read environment, memory and files of a process of the host",
        "process namespace",
        "ENOENT",
        """
for pid in (host["pid"], host["test_pid"]):
    for name in ("environ", "mem", "maps", "cmdline", "status", "fd/0", "auxv", "task"):
        tried(f"{pid} {name}", lambda: look(f"/proc/{pid}/{name}"))
""",
    ),
    attempt(
        "memory of the host",
        "copy memory out of and into a process of the host",
        "seccomp",
        "EPERM",
        """
buffer = ctypes.create_string_buffer(16)
local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
for pid in (host["pid"], host["test_pid"]):
    tried("read", lambda: system_call("process_vm_readv", pid, local, 1, local, 1, 0))
    tried("write", lambda: system_call("process_vm_writev", pid, local, 1, local, 1, 0))
""",
    ),
    attempt(
        "ptrace",
        "attach a debugger to a process of the host, to its own parent, and to itself",
        "seccomp",
        "EPERM",
        """
ATTACH, SEIZE, TRACEME = 16, 0x4206, 0
for pid in (host["pid"], host["test_pid"], os.getppid(), 1):
    tried(f"attach to {pid}", lambda: system_call("ptrace", ATTACH, pid, 0, 0))
    tried(f"seize {pid}", lambda: system_call("ptrace", SEIZE, pid, 0, 0))
tried("be traced", lambda: in_child(lambda: system_call("ptrace", TRACEME, 0, 0, 0)))
""",
    ),
    attempt(
        "descriptors of others",
        "take an open descriptor out of another process",
        "seccomp, process namespace",
        "EPERM ESRCH",
        """
tried("open a process of the host", lambda: system_call("pidfd_open", host["pid"], 0))
def take(pid):
    process = system_call("pidfd_open", pid, 0)
    try: return system_call("pidfd_getfd", process, 0, 0)
    finally: os.close(process)
for pid in (os.getpid(), os.getppid(), 1):
    tried(f"from {pid}", lambda: take(pid))
""",
    ),
    attempt(
        "signals to the host",
        "end or stop a process of the host",
        "process namespace",
        "ESRCH",
        """
for pid in (host["pid"], host["test_pid"]):
    for number in (0, signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
        tried(f"{number} to {pid}", lambda: os.kill(pid, number))
    tried(f"its group {pid}", lambda: os.killpg(pid, signal.SIGKILL))
""",
    ),
    attempt(
        "signals to everyone",
        "end every process that can be seen, the first of the box and the warm parent among them",
        "Landlock: signals",
        "EPERM",
        """
for number in (signal.SIGSTOP, signal.SIGINT, signal.SIGKILL):
    for pid in set(pids()) - {os.getpid()}:
        tried(f"{number} to {pid}", lambda: os.kill(pid, number))
    os.kill(-1, number)  # what it returns says nothing
""",
        alone=True,
    ),
    attempt(
        "priorities of the host",
        "change limits, priority and processors of a process of the host",
        "process namespace",
        "ESRCH EPERM",
        """
import resource
pid = host["pid"]
tried("limits", lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (0, 0)))
tried("priority", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
tried("processors", lambda: os.sched_setaffinity(pid, {0}))
tried("scheduler", lambda: scheduled(pid, os.SCHED_IDLE, 0))
""",
    ),
    attempt(
        "ahead of the others",
        "take a real-time or higher priority than other programs have",
        "no capabilities",
        "EPERM EACCES NothingThereError",
        """
tried("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -10))
tried("real time", lambda: scheduled(0, os.SCHED_FIFO, 1))
tried("round robin", lambda: scheduled(0, os.SCHED_RR, 1))
""",
    ),
    attempt(
        "the host's terminal",
        "type into the terminal that the host was started from",
        "session of its own",
        "ENXIO ENOTTY ENOENT EACCES EIO",
        """
import fcntl, termios
tried("open it", lambda: os.close(os.open("/dev/tty", os.O_RDWR)))
for descriptor in (0, 1, 2):
    tried(f"descriptor {descriptor}", lambda: fcntl.ioctl(descriptor, termios.TIOCSTI, b"x"))
""",
    ),
    attempt(
        "outliving the kernel",
        "leave processes that go on when the kernel and its box have ended",
        "die with parent",
        UNHARMED,
        _outlive,
    ),
]
