"""``python -m rlm_kernel.kernel DESCRIPTOR``: the first process of ours in the box."""

from __future__ import annotations

import sys

from rlm_kernel.kernel.forkserver import main

main(int(sys.argv[1]))
