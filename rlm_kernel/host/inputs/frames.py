"""Writes pandas and polars frames as Arrow files. Neither library is imported here unless the caller has one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from rlm_kernel.errors import ContextError

Library = Literal["pandas", "polars"]

REASON_CHARACTERS = 200


def library(value: Any) -> Library | None:
    """Return the library a frame is of; ``None`` when it is no frame."""
    for name in ("pandas", "polars"):
        frame: Any = getattr(sys.modules.get(name), "DataFrame", ())  # whoever has a frame has imported its library
        if isinstance(value, frame):
            return name
    return None


def is_frame_type(kind: type[Any]) -> bool:
    """Whether it is the type of a frame, or one derived from it."""
    return any(issubclass(kind, getattr(sys.modules.get(name), "DataFrame", ())) for name in ("pandas", "polars"))


def advice(value: Any) -> str | None:
    """Say how something else of numpy, pandas or polars can be passed; ``None`` where it cannot."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 0) > 0:
        return "Pass context.tolist(), or a pandas DataFrame of it."
    if type(value).__module__.partition(".")[0] not in ("pandas", "polars"):
        return None
    return next((f"Pass context.{verb}()." for verb in ("to_frame", "collect") if hasattr(value, verb)), None)


def size(frame: Any) -> int:
    """Return the bytes of its columns; Python objects in them count as one pointer."""
    if library(frame) == "polars":
        return int(frame.estimated_size())
    return int(frame.memory_usage(deep=False).sum())


def write_frame(frame: Any, path: Path) -> Library:
    """Write an Arrow IPC file. A pandas index survives.

    Columns of Python objects become what Arrow makes of them: a set a list, an int beside ``None`` a float.

    Raises
    ------
    ContextError
        pyarrow is missing (polars needs none), or Arrow cannot hold a column; the text names it.
    OSError
        The file cannot be written.
    """
    if library(frame) == "polars":
        _write_polars(frame, path)
        return "polars"
    _write_pandas(frame, path)
    return "pandas"


def _write_polars(frame: Any, path: Path) -> None:
    objects = [name for name, dtype in frame.schema.items() if str(dtype) == "Object"]
    if objects:
        raise ContextError(f"The context's column {objects[0]!r} is of polars' type Object, which Arrow cannot hold.")
    try:
        frame.write_ipc(path)
    except OSError:
        raise
    except Exception as error:
        raise ContextError(f"The context's frame cannot be written as Arrow: {_brief(error)}") from error


def _write_pandas(frame: Any, path: Path) -> None:
    try:
        import pyarrow
    except ImportError:
        raise ContextError(
            "A pandas DataFrame crosses as an Arrow file, and pyarrow is missing: pip install 'rlm-kernel[tables]'."
        ) from None
    if frame.columns.nlevels == 1 and frame.columns.inferred_type.startswith("mixed"):
        raise ContextError(
            "The context's column names are of several types, and Arrow has only text. "
            "Make them str first: frame.columns = frame.columns.map(str)."
        )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ContextError(f"The context has several columns named {twice!r}. Arrow needs a name for each.")
    try:
        table = pyarrow.Table.from_pandas(frame, preserve_index=None).unify_dictionaries()
    except Exception as error:  # pyarrow raises its own errors, and TypeError, OverflowError, UnicodeError, ...
        raise ContextError(
            f"The context's {_culprit(frame, error)} Give it one type first, such as str, or leave it out."
        ) from error
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _culprit(frame: Any, error: Exception) -> str:
    """Find what Arrow refuses, by trying each column alone."""
    import pyarrow

    for position, name in enumerate(frame.columns):
        try:
            pyarrow.Table.from_pandas(frame.iloc[:, [position]], preserve_index=False)
        except Exception as reason:
            return f"column {name!r} ({frame.dtypes.iloc[position]}) cannot cross as Arrow: {_brief(reason)}"
    return f"index cannot cross as Arrow: {_brief(error)}"


def _brief(error: Exception) -> str:
    """Return an error's first argument that says something, cut, as a sentence."""
    text = str(error) if isinstance(error, UnicodeError) or not error.args else str(error.args[0])
    line = " ".join(text.split()).rstrip(".")
    return f"{line[:REASON_CHARACTERS]}."
