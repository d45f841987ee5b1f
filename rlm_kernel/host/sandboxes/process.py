"""The ``process`` sandbox: a kernel in a process of its own that isolates nothing else.

Code in it can read the user's files and reach the network. It is there for machines without a sandbox and for
code that is trusted; nothing ever chooses it but the user.
"""

from __future__ import annotations

from pathlib import Path

from rlm_kernel import wire
from rlm_kernel.host.sandboxes.base import BoxProvisioner, kernel_environment
from rlm_kernel.host.sandboxes.warm import WarmParent


class ProcessProvisioner(BoxProvisioner):
    """Has kernels forked as ordinary processes with the allowlisted environment."""

    sandbox = "process"

    def inputs_in_box(self) -> str:
        """Return the host's own path."""
        return str(self.folder.inputs)

    def homes(self) -> str:
        """Return the folder of the sockets."""
        return str(self.folder.path)

    def show(self, file: Path) -> str | None:
        """Return the host's own path."""
        return str(file.resolve())

    def confinement(self, home: str, limits: dict[str, int]) -> wire.Confinement:
        """Only the limits, against accidents."""
        return wire.Confinement(limits)

    def start_parent(self, cmd: list[str]) -> WarmParent:
        """Start the parent as it is, as the same user."""
        environment = kernel_environment(str(self.folder.path))
        greeting = wire.Warm(packages=list(self.box.options.packages))
        return WarmParent(cmd, environment, [], self.folder.log_file, greeting)
