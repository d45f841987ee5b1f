"""Finds the sandbox that an option names."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from rlm_kernel.errors import OptionError

GROUP = "jupyter_client.kernel_provisioners"
PREFIX = "rlm-"


@cache
def sandbox_names() -> tuple[str, ...]:
    """Names that ``sandbox=`` takes: the provisioners called ``rlm-...``, without that prefix."""
    # Reading the entry points takes 6 ms, and every kernel's start asks.
    names = {e.name.removeprefix(PREFIX) for e in entry_points(group=GROUP) if e.name.startswith(PREFIX)}
    return tuple(sorted(names))


def provisioner_name(sandbox: str) -> str:
    """Return the kernel provisioner's entry-point name of a sandbox.

    Raises
    ------
    OptionError
        There is no such sandbox.
    """
    if sandbox not in sandbox_names():
        raise OptionError(f"Unknown sandbox {sandbox!r}. Choose one of: {', '.join(sandbox_names())}.")
    return PREFIX + sandbox
