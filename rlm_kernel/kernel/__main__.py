"""``python -m rlm_kernel.kernel DESCRIPTOR``: the first process of ours in the box."""

from __future__ import annotations

import gc
import sys

gc.disable()  # while modules are imported there is nothing to collect: 10 ms

from rlm_kernel.kernel.forkserver import main  # noqa: E402

main(int(sys.argv[1]))
