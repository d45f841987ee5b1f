"""What every test gets: no keys, a journal folder of its own, and proof that nothing was left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background, and then children ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)
KEYS = [name for name in os.environ if name.endswith("_API_KEY")]


class ByFile(LoadScopeScheduling):
    """Keeps a file in one process, and in one all that use up processes and memory, which others need."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return "greedy" if file.startswith("tests/escapes/") or file == "tests/kernel/test_limits.py" else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Say how ``-n`` shares out tests. Not with its groups: with pytest 9.2, pytest-xdist 3.8 loses them."""
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RLM_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    """Kernels end with their sessions and their folders are removed, whatever the tests did to them."""
    yield
    deadline = time.monotonic() + 5
    while kernels_of(os.getpid()) and time.monotonic() < deadline:
        pass
    assert not kernels_of(os.getpid())
    assert list(Path(tempfile.gettempdir()).glob(f"rlm-{os.getpid()}-*")) == []


def still_there(kernels: list[str], seconds: float = 10.0) -> list[str]:
    """Those of `kernels_of` that have not ended after a while."""
    deadline = time.monotonic() + seconds
    while (left := [row for row in kernels if row in kernels_of(1)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def kernels_of(pid: int) -> list[str]:
    """Id and command line of kernel processes below a process."""
    rows = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    table = [row.split(None, 2) for row in rows.splitlines()]
    family, grew = {str(pid)}, True
    while grew:
        children = {row[0] for row in table if row[1] in family} - family
        grew = bool(children)
        family |= children
    return [f"{row[0]} {row[2]}" for row in table if row[0] in family and "rlm_kernel.kernel" in row[2]]
