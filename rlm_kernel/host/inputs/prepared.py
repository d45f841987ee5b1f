"""Prepares an input for the wall: a value or a path becomes a file that the kernel can read."""

from __future__ import annotations

import ctypes
import errno
import shutil
import stat
from collections.abc import Mapping
from dataclasses import replace
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.host.inputs import foreign, frames
from rlm_kernel.host.inputs.formats import SMALLER_AS_VALUE, kind_of
from rlm_kernel.host.inputs.json_file import has_text_keys, write_json
from rlm_kernel.host.inputs.paths import check_path, from_paths

ACCEPTED = "text, bytes, a list, a dict, a pandas or polars DataFrame, or a path to a file or folder"
RAW = (bytes, bytearray, memoryview, Path)
"""What crosses as the bytes it is. Every `Path` is a file here: a folder has become a dict by then."""
CHUNK = 1 << 15
"""Characters of a text that are encoded at a time. 1 MB takes thrice as long: malloc asks the system for each."""
WRITTEN_BYTES = 1 << 18
"""At a time. For 2 MB and more the system takes huge pages, which a virtual machine may have to be given first."""
NOTHING_BOUND: Mapping[Path, str] = MappingProxyType({})

_utf8 = ctypes.pythonapi.PyUnicode_AsUTF8AndSize
_utf8.restype, _utf8.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.POINTER(ctypes.c_ssize_t))


def check(
    context: Any, memory_bytes: int | None = None, *, encoding: str | None = "utf-8", context_format: str = "auto"
) -> None:
    """Refuse at once what can never be an input; cheap.

    Parameters
    ----------
    context
        What the caller passed.
    memory_bytes
        What the kernel may use; ``None`` is no limit.
    encoding
        The option of that name; ``None`` leaves bytes as they are.
    context_format
        The option of that name, for a file or bytes.

    Raises
    ------
    ContextError
        It is empty, does not exist, cannot be read, cannot fit into the kernel, or is of a type that cannot cross.
    """
    size = _size(context, encoding, context_format)
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
    context_format: str = "auto",
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
    context_format
        What a file is: ``text``, ``json``, ``jsonl``, ``csv`` or ``parquet``; ``auto`` goes by its suffix. Bytes have
        none, and are text. The files of a folder are always text.

    Returns
    -------
    wire.Load
        Its ``path`` is absolute for a bound file, else relative to ``folder``.

    Raises
    ------
    ContextError
        It cannot be read or written, or holds something that cannot cross.
    """
    check(context, encoding=encoding, context_format=context_format)
    if isinstance(context, Path) and context.is_dir():
        context = from_paths([context], encoding or "utf-8", encoding_errors)
    target = folder / name
    try:
        if isinstance(context, RAW):
            kind = kind_of(context if isinstance(context, Path) else None, encoding, context_format)
            load = wire.Load(name, name, kind, encoding or "utf-8", encoding_errors)  # type: ignore[arg-type]
            if isinstance(context, Path) and context in bound:
                return replace(load, path=bound[context])
            _copy(context, target)
        else:
            load = _write(context, target)
        target.chmod(0o644)  # the box may run as another user; the folder above lets only this one in
    except OSError as error:
        raise _failure(context, folder, error) from error
    return load


def uploaded(path: Path, kind: Literal["text", "json"], folder: Path, name: str) -> wire.Load:
    """Show a file of UTF-8 text that another kernel has sent below ``folder``, and say how the kernel loads it.

    It is not read, and not trusted: the kernel that loads it says whether it is JSON.

    Parameters
    ----------
    path
        The file; it stays, because other children may get the same. Only the host writes it.
    kind
        Whether it is the text of a ``str``, or JSON.
    folder, name
        As for `prepare`.

    Raises
    ------
    ContextError
        It cannot be shown there.
    """
    target = folder / name
    try:
        path.chmod(0o644)  # the folder it is in lets only this user in
        target.hardlink_to(path)
    except OSError as error:
        raise _failure(None, folder, error) from error
    return wire.Load(name, name, kind, errors="surrogatepass")


def kept(file: Path, load: wire.Load, folder: Path, name: str) -> wire.Load:
    """Copy a file that was prepared for an earlier attempt below ``folder``, and say how the kernel loads it.

    Raises
    ------
    ContextError
        It cannot be copied there.
    """
    target = folder / name
    try:
        shutil.copyfile(file, target)
        target.chmod(0o644)
    except OSError as error:
        raise _failure(file, folder, error) from error
    return replace(load, name=name, path=name)


def single_file(context: Any) -> Path | None:
    """Return the file that a sandbox may bind instead of having it copied; ``None`` for every other input."""
    return context if isinstance(context, Path) and context.is_file() else None


def _size(context: Any, encoding: str | None, context_format: str) -> int:
    """Return the least number of bytes an input has; of a list or dict, those of the texts directly in it."""
    if isinstance(context, Path):
        status = check_path(context)
        if stat.S_ISREG(status.st_mode):
            kind = kind_of(context, encoding, context_format)
            return 0 if kind in SMALLER_AS_VALUE else status.st_size
        if encoding is None:
            raise ContextError("A folder becomes a mapping of path to text, so it needs an encoding= other than None.")
        return 0
    if isinstance(context, bytes | bytearray | memoryview):
        kind_of(None, encoding, context_format)
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
    if foreign.frame_in(items) is not None:
        raise _cannot_cross(context)
    return sum(len(item) for item in items if isinstance(item, str))


def _write(context: Any, target: Path) -> wire.Load:
    name = target.name
    if isinstance(context, str):
        _write_text(context, target)
        return wire.Load(name, name, "text", errors="surrogatepass")
    if frames.library(context):
        return wire.Load(name, name, frames.write_frame(context, target))
    _write_json(context, target)
    return wire.Load(name, name, "json", errors="surrogatepass")


def _copy(context: Any, target: Path) -> None:
    if isinstance(context, Path):
        shutil.copyfile(context, target)
        return
    view = memoryview(context)
    with target.open("wb", buffering=0) as file:
        _write_all(file, view.cast("B") if view.c_contiguous else memoryview(view.tobytes()))


def _write_text(text: str, target: Path) -> None:
    with target.open("wb", buffering=0) as file:
        if text.isascii():
            _write_all(file, _characters(text))
            return
        for start in range(0, len(text), CHUNK):
            _write_all(file, memoryview(text[start : start + CHUNK].encode("utf-8", "surrogatepass")))


def _write_all(file: FileIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data[:WRITTEN_BYTES]) or 0 :]


def _characters(text: str) -> memoryview:
    """Return the characters of an ASCII text where they are; they live as long as it does. It saves two copies."""
    size = ctypes.c_ssize_t()
    address = _utf8(text, ctypes.byref(size))  # for ASCII that is what the text itself holds
    return memoryview((ctypes.c_char * size.value).from_address(address)).cast("B")


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
        raise _cannot_cross(value, error) from error


def _cannot_cross(value: Any, error: Exception | None = None) -> ContextError:
    """Name what cannot cross, and where it is."""
    reason = foreign.explain(value) or f"{error}. Pass {ACCEPTED}."
    return ContextError(f"The context holds something that cannot cross into the kernel: {reason}")


def _failure(context: Any, folder: Path, error: OSError) -> ContextError:
    reason = error.strerror or error
    if isinstance(context, Path) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return ContextError(f"The context {str(context)!r} cannot be read: {reason}.")
    return ContextError(
        f"The context could not be written to {str(folder)!r}: {reason}. Set TMPDIR to a folder with more room."
    )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f}"
