"""The ``process`` sandbox: a kernel in a process of its own that isolates nothing else.

Code in it can read the user's files and reach the network. It is there for machines without a sandbox and for
code that is trusted; nothing ever chooses it but the user.
"""

from __future__ import annotations

from rlm_kernel.host.sandboxes.base import BoxProvisioner, kernel_environment


class ProcessProvisioner(BoxProvisioner):
    """Runs the kernel as an ordinary process with the allowlisted environment."""

    dies_with_host = False

    @property
    def inputs_in_box(self) -> str:
        """The host's own path."""
        return str(self.inputs)

    def command(self, argv: list[str]) -> list[str]:
        """Run the kernel as it is."""
        return argv

    def environment(self) -> dict[str, str]:
        """Return the allowlist."""
        return kernel_environment(self.directory)
