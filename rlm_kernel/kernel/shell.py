"""The IPython shell that runs cells."""

from __future__ import annotations

from ipykernel.zmqshell import ZMQInteractiveShell


class RLMShell(ZMQInteractiveShell):
    """Translates each cell once: ipykernel asks for it, to see whether the cell awaits, and IPython, to run it."""

    _translated: tuple[int, str, str] = (0, "", "")

    def transform_cell(self, raw_cell: str) -> str:
        """Return the Python of a cell, its magics and shell commands translated."""
        number, raw, python = self._translated
        if number != self.execution_count or raw != raw_cell:
            python = super().transform_cell(raw_cell)
            self._translated = (self.execution_count, raw_cell, python)
        return python
