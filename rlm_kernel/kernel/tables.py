"""Reads CSV and Parquet files: a pandas frame where pandas is there. The libraries are imported only now."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

from rlm_kernel.errors import ContextError
from rlm_kernel.kernel.records import AS_TEXT, BYTE_ORDER_MARK
from rlm_kernel.kernel.text import check_text, read_pieces

DELIMITERS = ",\t;|"
SAMPLE_BYTES = 1 << 16
SAMPLE_ROWS = 50
REASON_CHARACTERS = 200


def read_csv(path: str, encoding: str, errors: str) -> Any:
    """Return a table whose first row names the columns: a pandas frame, else a list of dicts with text values.

    The delimiter is the one of comma, tab, semicolon and bar that cuts the first rows most evenly. Types are what
    pandas takes them for: a column of 007 becomes numbers. In a list of dicts, a field that a row lacks is ``None``.

    Raises
    ------
    ContextError
        It cannot be decoded, has no rows, or a row has more fields than the header; the text names the line.
    """
    delimiter = _delimiter(path, encoding, errors)
    read: Callable[..., Any] = _read_frame
    try:
        import pandas  # noqa: F401
    except ImportError:
        read = _read_rows
    try:
        table = read(path, encoding, errors, delimiter)
    except UnicodeError as error:
        check_text(path, encoding, errors)  # says which byte
        raise ContextError(f"its text cannot be a table's: {error}. {AS_TEXT}") from None
    if len(table) == 0:
        raise ContextError(f"its table has no rows. {AS_TEXT}")
    return table


def read_parquet(path: str) -> Any:
    """Return a pandas frame, or a polars frame where only polars is there.

    Raises
    ------
    ContextError
        A library is missing in the box, it is not Parquet, or it has no rows.
    """
    read = _parquet_reader()
    Path(path).open("rb").close()  # else each library has its own way to say that there is no file
    try:
        table = read(path)
    except OSError as error:
        if error.errno is not None:
            raise
        raise _not_parquet(error) from None
    except MemoryError:
        raise
    except Exception as error:  # each library has its own
        raise _not_parquet(error) from None
    if 0 in table.shape:
        raise ContextError(f"its table has {table.shape[0]:,} rows and {table.shape[1]:,} columns.")
    return table


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line, cut, without the full stop."""
    text = " ".join(str(error).split())
    return text[:REASON_CHARACTERS].rstrip(" .") or type(error).__name__


def _read_frame(path: str, encoding: str, errors: str, delimiter: str) -> Any:
    import pandas
    from pandas.errors import DtypeWarning, EmptyDataError, ParserError, ParserWarning

    read = partial(
        pandas.read_csv,
        path,
        sep=delimiter,
        encoding=encoding,
        encoding_errors=errors,
        index_col=False,  # else a row with one field too many makes the first column an index
        compression=None,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DtypeWarning)
            warnings.simplefilter("error", ParserWarning)
            try:
                return read()
            except DtypeWarning:  # a column is numbers in some pieces of the file, and text in others
                return read(low_memory=False)
    except ParserWarning:
        reason = "its rows have more fields than its header"
    except (EmptyDataError, ParserError) as error:
        reason = one_line(error).removeprefix("Error tokenizing data. C error: ")
        if "out of memory" in reason:
            raise MemoryError from None
    raise ContextError(f"it is not a table: {reason}. {AS_TEXT}")


def _read_rows(path: str, encoding: str, errors: str, delimiter: str) -> list[dict[str, str | None]]:
    saved = csv.field_size_limit(sys.maxsize)
    try:
        with Path(path).open(encoding=encoding, errors=errors, newline="") as file:
            if file.read(1) != BYTE_ORDER_MARK:
                file.seek(0)
            return list(_rows(csv.reader(file, delimiter=delimiter, strict=True)))
    except csv.Error as error:
        raise ContextError(f"it is not a table: {one_line(error)}. {AS_TEXT}") from None
    finally:
        csv.field_size_limit(saved)


def _rows(reader: Any) -> Iterator[dict[str, str | None]]:
    rows = filter(None, reader)
    names = _names(next(rows, []))
    for row in rows:
        if any(row[len(names) :]):
            reason = f"Expected {len(names)} fields in line {reader.line_num}, saw {len(row)}"
            raise ContextError(f"it is not a table: {reason}. {AS_TEXT}")
        yield dict(zip_longest(names, row[: len(names)]))


def _names(header: list[str]) -> list[str]:
    """Make the columns' names differ, in pandas' way: a second ``a`` is ``a.1``."""
    names: dict[str, None] = {}
    for position, name in enumerate(header):
        unique = first = name or f"Unnamed: {position}"
        count = 0
        while unique in names:
            count += 1
            unique = f"{first}.{count}"
        names[unique] = None
    return list(names)


def _delimiter(path: str, encoding: str, errors: str) -> str:
    """Find what cuts the first rows into as many fields as the header; of several, what cuts into most."""
    sample = next(read_pieces(path, encoding, errors, SAMPLE_BYTES), "").removeprefix(BYTE_ORDER_MARK)
    best, chosen = (0.0, 0), DELIMITERS[0]
    for delimiter in DELIMITERS:
        rows = list(islice(filter(None, csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)), SAMPLE_ROWS))
        widths = [len(row) for row in (rows[:-1] if 1 < len(rows) < SAMPLE_ROWS else rows)]  # the last may be cut off
        if widths and widths[0] > 1:
            score = (widths.count(widths[0]) / len(widths), widths[0])
            if score > best:
                best, chosen = score, delimiter
    return chosen


def _parquet_reader() -> Any:
    try:
        import pandas
        import pyarrow.parquet  # noqa: F401

        # A folder's name in the path, such as year=2020, is no column.
        return partial(pandas.read_parquet, engine="pyarrow", partitioning=None)
    except ImportError as error:
        missing = error.name
    try:
        import polars

        return partial(polars.read_parquet, hive_partitioning=False)
    except ImportError:
        raise ContextError(
            f"a Parquet file needs pandas and pyarrow (or polars) where the kernel runs, and {missing} is not there. "
            "Name an environment that has them in packages=, or set encoding=None for its bytes."
        ) from None


def _not_parquet(error: Exception) -> ContextError:
    return ContextError(
        f"it is not Parquet that can be read: {one_line(error)}. Another context_format= reads it as something else."
    )
