"""Reads Arrow files into pandas and polars frames, and says what is in one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal

from rlm_kernel import wire
from rlm_kernel.errors import ContextError

LISTED_CHARACTERS = 2_000
"""How much of a frame's columns a description shows."""
NAME_CHARACTERS = 80


def read_frame(path: str, library: Literal["pandas", "polars"]) -> Any:
    """Return the frame as a ``DataFrame`` of the library that wrote it. The libraries are imported only now.

    Raises
    ------
    ContextError
        A library is missing in the box.
    """
    try:
        if library == "polars":
            import polars

            return polars.read_ipc(path)
        import pandas  # noqa: F401 - registers the types of its own that Arrow files may hold
        import pyarrow
    except ImportError as error:
        raise ContextError(
            f"a {library} DataFrame needs {error.name} where the kernel runs, and it is not there: "
            "pip install 'rlm-kernel[tables]'."
        ) from None
    with pyarrow.memory_map(path) as file, pyarrow.ipc.open_file(file) as reader:
        return reader.read_all().to_pandas()


def describe_frame(value: Any) -> wire.Loaded | None:
    """Say what a frame is: rows, columns, their names and types; ``None`` for what is no frame."""
    for library in ("pandas", "polars"):
        frame: Any = getattr(sys.modules.get(library), "DataFrame", ())
        if isinstance(value, frame):
            rows, columns = value.shape
            line = f"a {library} DataFrame of {rows:,} rows x {columns:,} columns: {_columns(value)}{_index(value)}"
            return wire.Loaded(None, "DataFrame", rows, "rows", line)
    return None


def _columns(frame: Any) -> str:
    listed: list[str] = []
    room = LISTED_CHARACTERS
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        listed.append(f"{_name(name)} {str(dtype)[:NAME_CHARACTERS]}")
        room -= len(listed[-1])
        if room < 0:
            break
    more = len(frame.columns) - len(listed)
    return ", ".join(listed) + (f" and {more:,} more" if more else "")


def _index(frame: Any) -> str:
    """Describe a pandas index that is not just the row's number."""
    index = getattr(frame, "index", None)
    if index is None or (type(index).__name__ == "RangeIndex" and index.name is None):
        return ""
    names = list(_names(index.names))
    return f"; its index is {', '.join(names)}" if names else f"; its index is a {type(index).__name__}"


def _names(names: Any) -> Iterator[str]:
    return (_name(name) for name in names if name is not None)


def _name(name: Any) -> str:
    text = repr(name)
    return text if len(text) <= NAME_CHARACTERS else f"{text[:NAME_CHARACTERS]}..."
