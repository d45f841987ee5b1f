"""Starts our kernel in a sandbox, from a kernelspec that is made here instead of installed."""

from __future__ import annotations

import sys
from pathlib import Path

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from rlm_kernel.host.sandboxes import provisioner_name


class BoxKernelManager(AsyncKernelManager):
    """A stock kernel manager whose kernelspec names the sandbox as its provisioner."""

    def __init__(self, sandbox: str, directory: Path) -> None:
        super().__init__()
        provisioner = {"provisioner_name": provisioner_name(sandbox), "config": {"directory": str(directory)}}
        # -P: a file that model-written code leaves in its folder shadows no module of the next kernel.
        self._spec = KernelSpec(
            argv=[sys.executable, "-P", "-m", "rlm_kernel.kernel"],
            display_name="RLM",
            language="python",
            interrupt_mode="message",
            metadata={"kernel_provisioner": provisioner},
        )

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernelspec; overrides the look-up by name."""
        return self._spec
