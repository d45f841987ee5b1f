"""The IPython shell that runs cells. The warm parent makes it, and a fork moves in."""

from __future__ import annotations

from pathlib import Path

from ipykernel.zmqshell import ZMQInteractiveShell


class RLMShell(ZMQInteractiveShell):
    """Translates each cell once: ipykernel asks for it, to see whether the cell awaits, and IPython, to run it."""

    _translated: tuple[int, str, str] = (0, "", "")

    def move_in(self) -> None:
        """Take up the folder and the environment of this process: the steps of a shell's making that look at them."""
        folder = Path.cwd()
        self.starting_dir = str(folder)
        self.init_ipython_dir(None)
        self.init_profile_dir(None)
        self.init_pushd_popd_magic()
        self.history_manager.dir_hist[:] = [folder]

    def transform_cell(self, raw_cell: str) -> str:
        """Return the Python of a cell, its magics and shell commands translated."""
        number, raw, python = self._translated
        if number != self.execution_count or raw != raw_cell:
            python = super().transform_cell(raw_cell)
            self._translated = (self.execution_count, raw_cell, python)
        return python
