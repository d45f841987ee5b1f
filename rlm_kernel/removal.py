"""Removes a folder that somebody hostile has filled: too deep for recursion or a path, without permissions, with links.

`shutil.rmtree` recurses, and so ends with a RecursionError in a folder of a thousand folders.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from pathlib import Path

ROUNDS = 3


def remove_tree(path: str | Path) -> None:
    """Remove a folder and all in it; what cannot be removed is left. Follows no link.

    Every folder in it is first moved up to the top, so that no path is ever longer than two names. A second round
    takes what somebody has still put there in the first.
    """
    for _ in range(ROUNDS):
        _remove_once(path)
        if not os.path.lexists(path):
            return


def _remove_once(path: str | Path) -> None:
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        names = itertools.count()
        waiting = _empty(top, top, names)
        while waiting:
            name = waiting.pop()
            with contextlib.suppress(OSError):
                folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
                try:
                    waiting += _empty(folder, top, names)
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        Path(path).rmdir()


def _empty(folder: int, top: int, names: itertools.count[int]) -> list[str]:
    """Remove the files of a folder and move its folders to the top; return their names there."""
    moved = []
    for entry in os.listdir(folder):
        with contextlib.suppress(OSError):
            if not stat.S_ISDIR(os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(entry, dir_fd=folder)
                continue
            os.chmod(entry, 0o700, dir_fd=folder)
            name = f".removed-{os.getpid()}-{next(names)}"
            os.rename(entry, name, src_dir_fd=folder, dst_dir_fd=top)
            moved.append(name)
    return moved
