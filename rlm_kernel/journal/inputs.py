"""A run's input, for when it is resumed: each once for all runs, as long as one of them is there."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

FOLDER = "inputs"
STORE = ".inputs"
"""Beside the runs: files named by the SHA-256 of what they hold. A run has a hard link to its own."""


def keep(run_dir: Path, file: Path) -> str:
    """Keep a copy of a file with a run; return its name in the run's ``inputs``. Takes as long as reading it.

    Raises
    ------
    OSError
        It cannot be read or written.
    """
    with file.open("rb") as opened:
        name = hashlib.file_digest(opened, "sha256").hexdigest()
    ours = run_dir / FOLDER / name
    if ours.exists():
        return name
    store = run_dir.parent / STORE
    for folder in (store, ours.parent):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = store / name
    for _ in range(2):
        if not kept.exists():
            _copy(file, kept)
        try:
            ours.hardlink_to(kept)
        except FileNotFoundError:  # pruned at this moment
            continue
        except OSError:  # a file system without hard links
            _copy(file, ours)
        break
    return name


def is_whole(file: Path) -> bool:
    """Whether a kept input is there and holds what its name says."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == file.name
    except OSError:
        return False


def sweep(runs_dir: Path) -> None:
    """Remove inputs that no run has any more."""
    with suppress(OSError):
        for file in (runs_dir / STORE).iterdir():
            with suppress(OSError):
                if file.stat().st_nlink == 1:
                    file.unlink()


def _copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    descriptor, part = tempfile.mkstemp(dir=target.parent)  # mode 0600
    os.close(descriptor)
    try:
        shutil.copyfile(source, part)
        Path(part).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(part).unlink()
        raise
