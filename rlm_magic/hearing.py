"""Widgets whose front ends are heard while a cell runs."""

from __future__ import annotations

import anywidget


class Hearing(anywidget.AnyWidget):
    """A widget that hears its front ends in the thread that they choose: a subshell's, while the cell's is busy."""

    def open(self) -> None:
        """Open the channel to the front ends.

        ipykernel 7.4 would have them heard in the thread that spoke last: the cell's.
        """
        super().open()
        if self.comm is not None:
            self.comm._reply_subshell_for = None
