"""``python -m rlm_kernel.kernel BOOT_FD``: the kernel process's first line."""

from __future__ import annotations

import sys

from rlm_kernel.kernel.app import main

main(int(sys.argv[1]))
