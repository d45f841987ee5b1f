"""Attempts to use up the machine: processes, memory, disk, descriptors, and the host's own memory."""

from __future__ import annotations

from tests.escapes.memory import HOST_GROWTH, growing
from tests.escapes.vocabulary import UNHARMED, Attempt, Scene, Try, attempt, judged

FILL = """
def fill(folder, limit):
    written, names = 0, []
    try:
        while written <= limit:
            names.append(os.path.join(folder, f"fill{len(names)}"))
            with open(names[-1], "wb", buffering=0) as file:
                for _ in range(64):
                    written += file.write(bytes(1 << 20))
        return written
    finally:
        for name in names:
            if os.path.exists(name): os.unlink(name)
"""

ATTEMPTS: list[Attempt] = [
    attempt(
        "fork bomb",
        "start processes without end",
        "rlimit: NPROC",
        "EAGAIN",
        """
def bomb():
    children = []
    try:
        while len(children) < 300:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                signal.pause()
                os._exit(0)
            children.append(child)
        return len(children)
    finally:
        for child in children: os.kill(child, signal.SIGKILL)
        for child in children: os.waitpid(child, 0)
tried("300 processes", bomb)
""",
        alone=True,
    ),
    attempt(
        "thread bomb",
        "start threads without end",
        "rlimit: NPROC",
        "RuntimeError",
        """
import threading
def bomb():
    end, threads = threading.Event(), []
    try:
        threading.stack_size(65536)
        while len(threads) < 1000:
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            threads.append(thread)
        return len(threads)
    finally:
        end.set()
        threading.stack_size(0)
        for thread in threads: thread.join()
tried("1,000 threads", bomb)
""",
        alone=True,
    ),
    attempt(
        "memory bomb",
        "take more memory than a kernel may have",
        "rlimit: AS",
        "MemoryError",
        """
def bomb():
    taken = []
    while len(taken) < 64: taken.append(bytes(256 << 20))
    return len(taken)
tried("16 GB", bomb)
tried("at once", lambda: len(bytes(64 << 30)))
""",
        alone=True,
    ),
    attempt(
        "full disk",
        "write more than the box's disk holds",
        "size of the disk",
        "ENOSPC EFBIG",
        FILL + 'tried("its folder", lambda: fill(os.environ["HOME"], 1 << 30))',
        alone=True,
    ),
    attempt(
        "full shared memory",
        "write more to /dev/shm than it holds",
        "size of the disk",
        "ENOSPC EFBIG EACCES EROFS ENOENT",
        FILL + 'tried("/dev/shm", lambda: fill("/dev/shm", 256 << 20))',
        alone=True,
    ),
    attempt(
        "files without a name",
        "keep data in anonymous memory files, which no disk's size and no limit on memory counts",
        "seccomp",
        "EPERM",
        """
def fill():
    files, written = [], 0
    try:
        while written < 1 << 30:
            files.append(system_call("memfd_create", b"fill", 0))
            for _ in range(128): written += os.write(files[-1], bytes(1 << 20))
        return written
    finally:
        for file in files: os.close(file)
tried("memfd", fill)
""",
        alone=True,
    ),
    attempt(
        "shared memory segments",
        "keep data in System V segments and message queues, which outlive their process",
        "seccomp",
        "EPERM",
        """
tried("segment", lambda: system_call("shmget", 0, 1 << 20, 0o1777))
tried("semaphores", lambda: system_call("semget", 0, 1, 0o1777))
tried("queue", lambda: system_call("msgget", 0, 0o1777))
tried("POSIX queue", lambda: system_call("mq_open", b"escaped", os.O_CREAT | os.O_RDWR, 0o777, 0))
""",
    ),
    attempt(
        "open files",
        "open files without end",
        "rlimit: NOFILE",
        "EMFILE",
        """
def open_all():
    opened = []
    try:
        while len(opened) < 5000: opened.append(os.open("/dev/null", os.O_RDONLY))
        return len(opened)
    finally:
        for descriptor in opened: os.close(descriptor)
tried("5,000 files", open_all)
""",
        alone=True,
    ),
]


async def _print_for_ever(scene: Scene) -> list[Try]:
    """Half a gigabyte, through everything that prints."""
    code = """
import sys
line = "x" * 1_000_000
for _ in range(150): print(line)
for _ in range(150): sys.stderr.write(line)
for _ in range(100): os.write(1, line.encode())
for _ in range(100): display(line) if "display" in globals() else print(line)
"""
    length = 0

    def count(kind: str, data: dict[str, object]) -> None:
        nonlocal length
        length += sum(len(str(value)) for value in data.values())

    async with scene.kernel() as session:
        with growing() as memory:
            await session.execute(code, count)
        return [
            judged("the host's memory", memory.beyond(HOST_GROWTH)),
            judged("what the host was told", length if length > 100_000_000 else None),
        ]


async def _share_the_work(scene: Scene) -> list[Try]:
    """Each process stays within its own limit."""
    code = """
import time
children = []
taken, took = os.pipe()
for _ in range(6):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        memory = bytearray(b"x") * (300 << 20)
        os.write(took, b"x")
        time.sleep(40)
        os._exit(0)
    children.append(child)
for _ in children: os.read(taken, 1)
time.sleep(4)
print("went on")
"""
    async with scene.kernel(memory_mb=1024) as session:
        cell = await scene.cell(session, code)
        return [judged("1.8 GB where 1 GB was allowed", "went on" in cell.text)]


ATTEMPTS += [
    attempt(
        "memory of many processes",
        "take more memory than a kernel may have, by processes which each have less",
        "sum over the kernel's processes",
        UNHARMED,
        _share_the_work,
    ),
    attempt(
        "endless output",
        "print half a gigabyte",
        "limit on a cell's output",
        UNHARMED,
        _print_for_ever,
    ),
]
