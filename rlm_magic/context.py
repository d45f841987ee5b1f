"""Finds what ``--context`` names."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from rlm_kernel import ContextError, from_paths
from rlm_magic.cells import from_history


def find(name: str | None, shell: Any, **decoding: Any) -> Any:
    """Return the variable of that name, else the notebook's cells, the file, folder or glob; ``None`` for no name.

    ``decoding`` goes to `rlm_kernel.from_paths`.

    Raises
    ------
    ContextError
        There is none of them, or the file is not text.
    """
    if name is None:
        return None
    if name in shell.user_ns:
        return shell.user_ns[name]
    if (cells := from_history(name, shell)) is not None:
        return cells
    if _exists(name) or glob.glob(name, recursive=True):  # noqa: PTH207 - it may be absolute
        return from_paths([name], **decoding)
    raise ContextError(f"{name!r}: there is no variable of that name, and no file, folder or match.")


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, RuntimeError):  # longer than a path may be; no such user's home
        return False
