"""Finds the sandbox that an option names."""

from __future__ import annotations

from functools import cache

from jupyter_client.provisioning.factory import KernelProvisionerFactory

from rlm_kernel.errors import OptionError

PREFIX = "rlm-"


@cache
def sandbox_names() -> tuple[str, ...]:
    """Names that ``sandbox=`` takes: the provisioners called ``rlm-...``, without that prefix."""
    # The factory reads the entry points once (6 ms), and has them when a kernel starts.
    provisioners = KernelProvisionerFactory.instance().provisioners
    names = {name.removeprefix(PREFIX) for name in provisioners if name.startswith(PREFIX)}
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
