"""Reads Arrow files into pandas and polars frames, and says what is in one, with its first rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Literal

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.kernel.shown import brief, spread

LISTED_CHARACTERS = 2_000
"""How much of a frame's columns a description shows."""
NAME_CHARACTERS = 80
SHOWN_ROWS, SHOWN_COLUMNS, CELL_CHARACTERS = 3, 12, 28
FRAME_BLOCKS = 10
COUNTED_CELLS = 1_000_000
"""Of a larger pandas frame, only some rows are looked at for missing values: pandas keeps no count, and looks at each
object."""


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
            return wire.Loaded(None, "DataFrame", rows, "rows", line, _preview(value, library))
    return None


def _preview(frame: Any, library: str) -> str:
    shown = frame.head(SHOWN_ROWS)
    if library == "polars":
        rows = shown[:, :SHOWN_COLUMNS].rows()
    else:
        rows = shown.iloc[:, :SHOWN_COLUMNS].itertuples(index=False, name=None)
    more = " ..." if len(frame.columns) > SHOWN_COLUMNS else ""
    lines = [" | ".join(map(_cell, row)) + more for row in (frame.columns[:SHOWN_COLUMNS], *rows)]
    return "\n".join([_missing(frame, library), f"The first {len(lines) - 1} of {len(frame):,} rows:", *lines])


def _missing(frame: Any, library: str) -> str:
    """Count missing values per column, in some rows of a large pandas frame."""
    rows, columns = frame.shape
    looked = rows
    if library == "polars":
        counts = frame.null_count().row(0)
    else:
        most = max(COUNTED_CELLS // max(columns, 1), FRAME_BLOCKS)
        parts = [frame.iloc[part].isna() for part in spread(rows, most, FRAME_BLOCKS)]
        looked = sum(map(len, parts))
        counts = sum(part.to_numpy().sum(axis=0) for part in parts).tolist()
    part = "" if looked == rows else f" in {looked:,} rows that were looked at"
    found = [f"{_cell(name)} {count:,}" for name, count in zip(frame.columns, counts, strict=True) if count]
    more = f" and {len(found) - SHOWN_COLUMNS:,} columns more" if len(found) > SHOWN_COLUMNS else ""
    return f"Missing values{part}: " + (", ".join(found[:SHOWN_COLUMNS]) + more if found else "none")


def _cell(value: Any, characters: int = CELL_CHARACTERS) -> str:
    """Show a cell on one line; dates and the like as their text, because they come from a table and are small."""
    if value is None or isinstance(value, str | bytes | list | tuple | dict | bool | int | float):
        text = brief(value, characters)
    else:
        text = " ".join(str(value).split())
    return text if len(text) <= characters + 2 else f"{text[:characters]}..."


def _columns(frame: Any) -> str:
    listed: list[str] = []
    room = LISTED_CHARACTERS
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        listed.append(f"{_cell(name, NAME_CHARACTERS)} {str(dtype)[:NAME_CHARACTERS]}")
        room -= len(listed[-1]) + 2
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
    return (_cell(name, NAME_CHARACTERS) for name in names if name is not None)
