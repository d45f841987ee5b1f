"""Moves the IPython shell that the warm parent has made into the process that was forked for a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def move_in(shell: Any) -> None:
    """Take up the folder and the environment of this process: the steps of a shell's making that look at them."""
    folder = Path.cwd()
    shell.starting_dir = str(folder)
    shell.init_ipython_dir(None)
    shell.init_profile_dir(None)
    shell.init_pushd_popd_magic()
    shell.history_manager.dir_hist[:] = [folder]
