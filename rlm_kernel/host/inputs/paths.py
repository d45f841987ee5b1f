"""Paths as inputs: what can be read, and how folders and globs become one mapping of path to text."""

from __future__ import annotations

import codecs
import glob
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from rlm_kernel.errors import ContextError
from rlm_kernel.host.inputs.decoding import check_decoding

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})
SNIFFED_BYTES = 1 << 16
"""How much of a file decides that it is binary, before the rest is read."""


def check_path(path: Path) -> os.stat_result:
    """Return the status of a file or folder that can be read.

    Raises
    ------
    ContextError
        It does not exist, may not be read, is an empty file, or is neither file nor folder.
    """
    status = _status(path)
    if status is None:
        raise ContextError(f"The context {str(path)!r} does not exist.")
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise ContextError(f"The context {str(path)!r} is {_kind(status.st_mode)}: pass a regular file or a folder.")
    try:
        if stat.S_ISDIR(status.st_mode):
            os.scandir(path).close()
        else:
            path.open("rb").close()
    except OSError as error:
        _unreadable(path, error)
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise ContextError(f"The context {str(path)!r} is an empty file.")
    return status


def from_paths(
    patterns: Iterable[str | Path], encoding: str = "utf-8", encoding_errors: str = "strict"
) -> Path | dict[str, str]:
    """Turn paths, folders and globs into one context: a single file as its path, more as a mapping of path to text.

    In a folder or glob, hidden files, files that are not text in ``encoding`` and links that lead out of it are left
    out (a repository may hold a link to your keys); a file named by itself is not.

    The paths of a folder are relative to it; where several things are named, they begin with its name.

    Raises
    ------
    ContextError
        Nothing matches, something cannot be read, or nothing in it is text.
    OptionError
        The encoding or its policy is unknown.
    """
    check_decoding(encoding, encoding_errors)
    named = [str(pattern) for pattern in patterns]
    if len(named) == 1:
        path = Path(named[0]).expanduser()
        status = _status(path)
        if status is not None and not stat.S_ISDIR(status.st_mode):
            return path
    texts: dict[str, str] = {}
    for pattern in named:
        for name, file in _named_files(pattern, alone=len(named) == 1):
            text = _text(file, encoding, encoding_errors)
            if text is None and name == pattern:
                raise ContextError(f"{pattern!r} is not {encoding.upper()} text. Convert it to text first.")
            if text:
                texts[name] = text
    if not texts:
        raise ContextError(f"No text file at {', '.join(map(repr, named))}.")
    return texts


def text_bytes(folder: Path, encoding: str = "utf-8") -> int:
    """Return about how many bytes `from_paths` takes of a folder. Only the beginnings of files are read.

    Raises
    ------
    ContextError
        Something cannot be read.
    """
    files = (file for _, file in _named_files(str(folder), alone=True))
    return sum(file.stat().st_size for file in files if not _is_binary(file, encoding))


def _named_files(pattern: str, *, alone: bool) -> Iterator[tuple[str, Path]]:
    """Yield the files a pattern stands for, each with its key; a file named by itself has the pattern as its key."""
    path = Path(pattern).expanduser()
    status = _status(path)
    if status is None:
        matches = sorted(_matches(path))
        if not matches:
            raise ContextError(f"The context {pattern!r} does not exist, and nothing matches it.")
        root = _fixed_part(path)
        yield from ((match.as_posix(), match) for match in matches if match.is_file() and _stays_in(root, match))
    elif stat.S_ISDIR(status.st_mode):
        shown = Path() if alone else Path(pattern)
        yield from (
            ((shown / file.relative_to(path)).as_posix(), file)
            for file in sorted(_files(path))
            if file.is_file() and _stays_in(path, file)
        )
    else:
        check_path(path)
        yield pattern, path


def _files(folder: Path) -> Iterator[Path]:
    """Walk a folder without entering what is hidden."""

    def refuse(error: OSError) -> NoReturn:
        _unreadable(Path(error.filename), error)

    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not _hidden(name)]
        yield from (Path(here, name) for name in files if not _hidden(name))


def _matches(pattern: Path) -> Iterator[Path]:
    """Expand a glob; what it names itself is not hidden."""
    for match in glob.glob(str(pattern), recursive=True):  # noqa: PTH207 - it may be absolute
        path = Path(match)
        if not any(_hidden(part) for part in path.parts if part not in pattern.parts):
            yield path


def _fixed_part(pattern: Path) -> Path:
    """Return the folder that a glob begins with."""
    parts = list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    return Path(*parts)


def _stays_in(folder: Path, file: Path) -> bool:
    return not file.is_symlink() or file.resolve().is_relative_to(folder.resolve())


def _hidden(part: str) -> bool:
    return part in SKIPPED_FOLDERS or (part.startswith(".") and part not in (".", ".."))


def _text(path: Path, encoding: str, errors: str) -> str | None:
    """Read a text file; ``None`` when it is not one. NUL makes it binary, whatever it decodes to."""
    try:
        with path.open("rb") as file:
            data = file.read(SNIFFED_BYTES)
            if "\0" in codecs.getincrementaldecoder(encoding)(errors).decode(data):
                return None
            data += file.read()
        text = str(data, encoding, errors)
    except OSError as error:
        _unreadable(path, error)
    except UnicodeError:
        return None
    return None if "\0" in text else text


def _is_binary(path: Path, encoding: str) -> bool:
    try:
        with path.open("rb") as file:
            return "\0" in codecs.getincrementaldecoder(encoding)("replace").decode(file.read(SNIFFED_BYTES))
    except OSError as error:
        _unreadable(path, error)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        _unreadable(path, error)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
    return kinds.get(stat.S_IFMT(mode), "no file")


def _unreadable(path: Path, error: Exception) -> NoReturn:
    raise ContextError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
