"""Kernels that share a box: what one can learn of another, which is nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rlm_kernel.host.sandboxes.box import Box, BoxOptions
from rlm_kernel.host.session import Session
from tests.kernel.vocabulary import kernel, run

SECRET = "a-secret-of-the-sibling"

TOOLS = """
import ctypes, os, glob
libc = ctypes.CDLL(None, use_errno=True)
def outcome(attempt):
    try: return repr(attempt())
    except OSError as error: return type(error).__name__
"""


@pytest_asyncio.fixture(params=[("bubblewrap", False), ("bubblewrap", True), ("landlock", False)], ids=str)
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Session, Session, int]]:
    """A victim with a secret in its memory, its environment and a file; a spy; and the victim's process id."""
    sandbox, sandbox_per_kernel = request.param
    box = Box(BoxOptions(sandbox=sandbox, sandbox_per_kernel=sandbox_per_kernel))
    try:
        async with kernel(box=box) as spy, kernel(box=box) as victim:
            (victim.inputs / "c").write_text(SECRET)
            made = f"import os; secret = {SECRET!r}; os.environ['S'] = secret\nopen('file', 'w').write(secret)"
            await run(victim, f"{made}\nprint(os.getpid(), os.getcwd())")
            pid, home = (await run(victim, "print(os.getpid(), os.getcwd())")).text.split()
            if sandbox_per_kernel:
                pid = str(int(pid) + 1000)  # its own namespace gives it the number that the spy has too
            await run(spy, f"{TOOLS}\npid, home, inputs = {pid}, {home!r}, {victim._provisioner.inputs_in_box()!r}")
            yield spy, victim, int(pid)
    finally:
        await box.close()


ATTEMPTS = [
    "open(f'/proc/{pid}/mem', 'rb').read(1)",
    "open(f'/proc/{pid}/environ').read()",
    "open(f'/proc/{pid}/maps').read()",
    "os.listdir(f'/proc/{pid}/fd')",
    "os.open(f'/proc/{pid}/cwd/file', os.O_RDONLY)",
    "os.open(f'/proc/{pid}/root/w', os.O_RDONLY)",
    "open(f'{home}/file').read()",
    "open(f'{home}/new', 'w')",
    "os.listdir(home)",
    "os.listdir(inputs)",
    "open(f'{inputs}/c').read()",
    "os.kill(pid, 9)",
    "os.kill(os.getppid(), 9)",
    "os.listdir(f'/proc/{os.getppid()}/fd')",
    "open(f'/proc/{os.getppid()}/environ').read()",
    "os.rename(home, 'mine')",
    "os.link(f'{home}/file', 'mine')",
    "os.pidfd_open(pid) and os.open(f'/proc/{pid}/fd/0', os.O_RDONLY)",
]


async def test_a_kernel_cannot_read_reach_or_stop_its_sibling(pair: tuple[Session, Session, int]) -> None:
    spy, victim, _ = pair
    for attempt in ATTEMPTS:
        said = (await run(spy, f"print(outcome(lambda: {attempt}))")).text.strip()
        assert said.endswith("Error"), f"{attempt}: {said}"
        assert SECRET not in said
    assert (await run(victim, "print(secret)")).text == f"{SECRET}\n"


async def test_system_calls_that_reach_into_another_process_are_refused(pair: tuple[Session, Session, int]) -> None:
    spy, _, _ = pair
    code = """
import errno, json
def refused(name, *arguments):
    ctypes.set_errno(0)
    return [name, libc[name](*arguments) , errno.errorcode.get(ctypes.get_errno())]
print(json.dumps([
    refused("ptrace", 16, pid, 0, 0), refused("process_vm_readv", pid, None, 0, None, 0, 0),
    refused("shmget", 1234, 4096, 0o1666), refused("msgget", 1234, 0o1666), refused("semget", 1234, 1, 0o1666),
]))
"""
    rows = json.loads((await run(spy, code)).text)
    assert [(name, result, code) for name, result, code in rows if (result, code) != (-1, "EPERM")] == []


async def test_each_kernel_knows_its_own_key_and_its_own_sockets(pair: tuple[Session, Session, int]) -> None:
    spy, victim, _ = pair
    key = "get_ipython().kernel.session.key"
    assert (await run(spy, key)).text != (await run(victim, key)).text
    names = """
import socket
mine = []
for fd in range(3, 200):
    try: mine.append(socket.socket(fileno=os.dup(fd)).getsockname())
    except OSError: pass
print(sorted({str(name).rpartition('/')[0] for name in mine if name}))
"""
    await run(victim, "import os")
    folders = [(await run(session, names)).text for session in pair[:2]]
    assert folders[0] != folders[1]
    assert all(text.count("/") and "," not in text for text in folders), folders
