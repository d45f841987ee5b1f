"""Tracebacks end where the cell's own code does: the model reads them, and our frames tell it nothing."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

PACKAGE = str(Path(__file__).parents[1])


def install(shell: Any) -> None:
    """Let an IPython shell show errors without our frames."""
    shell.set_custom_exc((Exception,), _show)


def without_our_frames(tb: TracebackType | None) -> TracebackType | None:
    """Cut the frames of this package from a traceback's end; what is all ours stays."""
    last, frame = None, tb
    while frame is not None:
        if not frame.tb_frame.f_code.co_filename.startswith(PACKAGE):
            last = frame
        frame = frame.tb_next
    if last is not None:
        last.tb_next = None
    return tb


def _show(shell: Any, kind: type[BaseException], error: BaseException, tb: Any, tb_offset: int | None = None) -> None:
    shell.showtraceback((kind, error, without_our_frames(tb)), tb_offset=tb_offset)
