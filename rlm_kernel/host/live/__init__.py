"""Live kernels in a person's hands: looked into while a run goes on, worked in between two questions."""

from __future__ import annotations

from rlm_kernel.host.live.found import attach
from rlm_kernel.host.live.live_repl import LiveRepl

__all__ = ["LiveRepl", "attach"]
