"""Prepares an input for the wall: a value or a path becomes a file that the kernel can read."""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError

ACCEPTED = "text, a list, a dict, or a path to a file or folder"
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules"})


def check(context: Any) -> None:
    """Refuse at once what can never be an input; cheap.

    Raises
    ------
    ContextError
        It is empty, does not exist, or is of a type that cannot cross.
    """
    if isinstance(context, Path):
        if not context.exists():
            raise ContextError(f"The context {str(context)!r} does not exist.")
        if context.is_file() and context.stat().st_size == 0:
            raise ContextError(f"The context {str(context)!r} is an empty file.")
    elif isinstance(context, bytes | bytearray | memoryview):
        raise ContextError(
            "The context is bytes, which have no encoding: decode them first, as in data.decode('utf-8')."
        )
    elif not isinstance(context, str | list | tuple | Mapping):
        raise ContextError(f"A context of type {type(context).__name__} cannot cross into the kernel. Pass {ACCEPTED}.")
    elif not context:
        raise ContextError(f"The context is an empty {type(context).__name__}, so there is nothing to ask about.")


def prepare(context: Any, folder: Path, name: str) -> wire.Load:
    """Write the input below ``folder`` and say how the kernel loads it. A single file is copied, never read.

    Raises
    ------
    ContextError
        It cannot be read, or holds something that is not JSON.
    """
    check(context)
    if isinstance(context, Path) and context.is_file():
        try:
            shutil.copyfile(context, folder / name)
        except OSError as error:
            raise ContextError(f"The context {str(context)!r} cannot be read: {error.strerror}.") from error
        return wire.Load(name, name, "text")
    if isinstance(context, str):
        (folder / name).write_bytes(context.encode("utf-8", "surrogatepass"))
        return wire.Load(name, name, "text", errors="surrogatepass")
    value = from_paths([context]) if isinstance(context, Path) else context
    value = dict(value) if isinstance(value, Mapping) else value
    if not _text_keys(value):
        raise ContextError(
            "The context holds a dict with keys that are not str, and JSON has no others. Make them str first."
        )
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ContextError(
            f"The context holds something that cannot cross into the kernel: {error}. Pass {ACCEPTED}."
        ) from error
    (folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    return wire.Load(name, name, "json")


def from_paths(patterns: Iterable[str | Path]) -> Path | dict[str, str]:
    """Turn paths, folders and globs into one context: a single file as its path, more as a mapping of path to text.

    In a folder or glob, hidden files and files that are not UTF-8 text are left out; a file named by itself is not.

    Raises
    ------
    ContextError
        Nothing matches, or nothing in it is text.
    """
    named = [str(pattern) for pattern in patterns]
    if len(named) == 1 and Path(named[0]).is_file():
        return Path(named[0])
    texts = {name: text for pattern in named for name, text in _texts(pattern)}
    if not texts:
        raise ContextError(f"No text file at {', '.join(map(repr, named))}.")
    return texts


def _text_keys(value: Any) -> bool:
    """Whether every dict in it has only text as keys: JSON would turn 1 into "1" without a word."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            if isinstance(item, dict) and not all(isinstance(key, str) for key in item):
                return False
            waiting.extend(item.values() if isinstance(item, dict) else item)
    return True


def _texts(pattern: str) -> Iterator[tuple[str, str]]:
    path = Path(pattern).expanduser()
    if path.is_file():
        text = _text(path)
        if text is None:
            raise ContextError(f"{pattern!r} is not UTF-8 text. Convert it to text first.")
        yield pattern, text
        return
    base = path if path.is_dir() else None
    found = sorted(path.rglob("*")) if base else [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - it may be absolute
    if not found:
        raise ContextError(f"The context {pattern!r} does not exist, and nothing matches it.")
    for file in found:
        relative = file.relative_to(base) if base else file
        hidden = any(_hidden(part) for part in relative.parts)
        if not hidden and file.is_file() and (text := _text(file)):
            yield relative.as_posix(), text


def _hidden(part: str) -> bool:
    return part in SKIPPED_FOLDERS or (part.startswith(".") and part not in (".", ".."))


def _text(path: Path) -> str | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContextError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None
