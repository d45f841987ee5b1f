"""Starts our kernel in a box, from a kernelspec that is made here instead of installed."""

from __future__ import annotations

import sys

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from rlm_kernel.host.sandboxes import provisioner_name
from rlm_kernel.host.sandboxes.box import Box, KernelFolder


class BoxKernelManager(AsyncKernelManager):
    """A stock kernel manager whose kernelspec names the sandbox as its provisioner, and that brings the box."""

    def __init__(self, box: Box, folder: KernelFolder) -> None:
        super().__init__()
        self.box = box
        self.folder = folder
        # -P: a file that model-written code leaves in its folder shadows no module of the next kernel.
        self._spec = KernelSpec(
            argv=[sys.executable, "-P", "-m", "rlm_kernel.kernel"],
            display_name="RLM",
            language="python",
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": provisioner_name(box.options.sandbox)}},
        )

    async def begin(self) -> None:
        """Start the kernel, without waiting for it.

        The steps of ``start_kernel``, which sleeps 10 ms for the sake of its own tests, and opens a control channel
        that a session has already.
        """
        command, options = await self.pre_start_kernel()
        assert self.provisioner is not None
        await self.provisioner.launch_kernel(command, **options)

    async def end(self) -> None:
        """Kill the kernel, which has nothing to save, and wait until it is gone. Safe to call at any time."""
        if self.provisioner is not None:
            await self.provisioner.kill()
            await self.provisioner.cleanup()
            self.provisioner = None

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernelspec; overrides the look-up by name."""
        return self._spec
