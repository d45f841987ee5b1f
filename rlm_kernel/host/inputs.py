"""Prepares an input for the wall: a value or a path becomes a file that the kernel can read."""

from __future__ import annotations

import errno
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.host import frames
from rlm_kernel.host.json_file import has_text_keys, write_json
from rlm_kernel.host.paths import check_path, from_paths

ACCEPTED = "text, bytes, a list, a dict, a pandas or polars DataFrame, or a path to a file or folder"
RAW = (bytes, bytearray, memoryview, Path)
"""What crosses as the bytes it is. Every `Path` is a file here: a folder has become a dict by then."""
CHUNK = 1 << 15
"""Characters of a text that are encoded at a time. 1 MB takes thrice as long: malloc asks the system for each."""
NOTHING_BOUND: Mapping[Path, str] = MappingProxyType({})


def check(context: Any, memory_bytes: int | None = None, *, encoding: str | None = "utf-8") -> None:
    """Refuse at once what can never be an input; cheap.

    Parameters
    ----------
    context
        What the caller passed.
    memory_bytes
        What the kernel may use; ``None`` is no limit.
    encoding
        The option of that name; ``None`` leaves bytes as they are.

    Raises
    ------
    ContextError
        It is empty, does not exist, cannot be read, cannot fit into the kernel, or is of a type that cannot cross.
    """
    size = _size(context, encoding)
    copies = 2 if isinstance(context, list | tuple | Mapping) else 1  # JSON, then values
    if memory_bytes is not None and size * copies > memory_bytes:
        raise ContextError(
            f"The context has {_mib(size)} MiB and needs {_mib(size * copies)} MiB of memory while it is loaded, "
            f"but memory_mb={memory_bytes >> 20}. Raise memory_mb, or pass less."
        )


def prepare(
    context: Any,
    folder: Path,
    name: str,
    bound: Mapping[Path, str] = NOTHING_BOUND,
    *,
    encoding: str | None = "utf-8",
    encoding_errors: str = "strict",
) -> wire.Load:
    """Write the input below ``folder`` and say how the kernel loads it. A single file is copied or bound, never read.

    Parameters
    ----------
    context
        What `check` accepts.
    folder
        The session's inputs folder; all of the box may read what is put there.
    name
        The file's name, and the variable's.
    bound
        Files that the box sees already: the path as the caller passed it -> the absolute path in the box.
    encoding, encoding_errors
        How bytes and files become text; ``encoding=None`` leaves them bytes.

    Returns
    -------
    wire.Load
        Its ``path`` is absolute for a bound file, else relative to ``folder``.

    Raises
    ------
    ContextError
        It cannot be read or written, or holds something that cannot cross.
    """
    check(context, encoding=encoding)
    if isinstance(context, Path):
        if context.is_dir():
            context = from_paths([context], encoding or "utf-8", encoding_errors)
        elif context in bound:
            return _load_raw(name, bound[context], encoding, encoding_errors)
    target = folder / name
    try:
        load = _write(context, target, encoding, encoding_errors)
        target.chmod(0o644)  # the box may run as another user; the folder above lets only this one in
    except OSError as error:
        raise _failure(context, folder, error) from error
    return load


def single_file(context: Any) -> Path | None:
    """Return the file that a sandbox may bind instead of having it copied; ``None`` for every other input."""
    return context if isinstance(context, Path) and context.is_file() else None


def _size(context: Any, encoding: str | None) -> int:
    """Return the least number of bytes an input has; of a list or dict, those of the texts directly in it."""
    if isinstance(context, Path):
        status = check_path(context)
        if stat.S_ISREG(status.st_mode):
            return status.st_size
        if encoding is None:
            raise ContextError("A folder becomes a mapping of path to text, so it needs an encoding= other than None.")
        return 0
    if isinstance(context, bytes | bytearray | memoryview):
        size = memoryview(context).nbytes
        if size == 0:
            raise ContextError(f"The context is an empty {type(context).__name__}, so there is nothing to ask about.")
        return size
    if library := frames.library(context):
        if 0 in context.shape:
            raise ContextError(f"The context is an empty {library} DataFrame, so there is nothing to ask about.")
        return frames.size(context)
    if not isinstance(context, str | list | tuple | Mapping):
        advice = frames.advice(context) or f"Pass {ACCEPTED}."
        raise ContextError(f"A context of type {type(context).__name__} cannot cross into the kernel. {advice}")
    if not context:
        raise ContextError(f"The context is an empty {type(context).__name__}, so there is nothing to ask about.")
    if isinstance(context, str):
        return len(context)
    items = context.values() if isinstance(context, Mapping) else context
    return sum(len(item) for item in items if isinstance(item, str))


def _write(context: Any, target: Path, encoding: str | None, errors: str) -> wire.Load:
    name = target.name
    if isinstance(context, RAW):
        _copy(context, target)
        return _load_raw(name, name, encoding, errors)
    if isinstance(context, str):
        _write_text(context, target)
        return wire.Load(name, name, "text", errors="surrogatepass")
    if frames.library(context):
        return wire.Load(name, name, frames.write_frame(context, target))
    _write_json(context, target)
    return wire.Load(name, name, "json")


def _load_raw(name: str, path: str, encoding: str | None, errors: str) -> wire.Load:
    if encoding is None:
        return wire.Load(name, path, "bytes")
    return wire.Load(name, path, "text", encoding, errors)  # type: ignore[arg-type]


def _copy(context: Any, target: Path) -> None:
    if isinstance(context, Path):
        shutil.copyfile(context, target)
        return
    view = memoryview(context)
    target.write_bytes(view if view.c_contiguous else view.tobytes())


def _write_text(text: str, target: Path) -> None:
    with target.open("wb") as file:
        for start in range(0, len(text), CHUNK):
            file.write(text[start : start + CHUNK].encode("utf-8", "surrogatepass"))


def _write_json(value: Any, target: Path) -> None:
    value = dict(value) if isinstance(value, Mapping) else value
    if not has_text_keys(value):
        raise ContextError(
            "The context holds a dict with keys that are not str, and JSON has no others. Make them str first."
        )
    try:
        with target.open("wb") as file:
            write_json(value, file)
    except (TypeError, ValueError, RecursionError) as error:
        raise ContextError(
            f"The context holds something that cannot cross into the kernel: {error}. Pass {ACCEPTED}."
        ) from error


def _failure(context: Any, folder: Path, error: OSError) -> ContextError:
    reason = error.strerror or error
    if isinstance(context, Path) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ContextError(f"The context {str(context)!r} cannot be read: {reason}.")
    return ContextError(
        f"The context could not be written to {str(folder)!r}: {reason}. Set TMPDIR to a folder with more room."
    )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
