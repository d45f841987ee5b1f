"""An input as the text of a prompt, for models that get it whole.

| input | its text |
|---|---|
| text, and files of text, JSON, JSON lines or CSV | as it is |
| bytes | decoded as ``encoding`` says |
| a folder, and a mapping whose values are texts of several lines, as `from_paths` makes it | each below its path |
| lists and dicts, chat messages among them | JSON |
| pandas and polars frames | CSV; JSON lines where polars has nested columns |
| a Parquet file | JSON lines |
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlm_kernel.errors import ContextError
from rlm_kernel.host import inputs
from rlm_kernel.host.inputs import foreign, frames
from rlm_kernel.host.inputs.formats import SMALLER_AS_VALUE, kind_of
from rlm_kernel.host.inputs.json_file import has_text_keys
from rlm_kernel.host.inputs.paths import from_paths
from rlm_kernel.host.options.context import ContextOptions

BYTES_PER_CHARACTER = 4
"""The most, in the encodings that anybody uses."""


def least_characters(context: Any, options: ContextOptions) -> int:
    """Return how many characters a text has at least, without reading or writing it.

    Raises
    ------
    ContextError
        It is empty, missing or can be no input.
    """
    inputs.check(context, encoding=options.encoding, context_format=options.context_format)
    if isinstance(context, str):
        return len(context)
    if isinstance(context, list | tuple | Mapping):
        values = context.values() if isinstance(context, Mapping) else context
        return sum(len(value) for value in values if isinstance(value, str))
    if isinstance(context, Path) and context.is_file():
        binary = kind_of(context, options.encoding, options.context_format) in SMALLER_AS_VALUE
        return 0 if binary else context.stat().st_size // BYTES_PER_CHARACTER
    return 0


def as_text(context: Any, options: ContextOptions) -> str:
    """Return an input as text.

    Raises
    ------
    ContextError
        It cannot be read, is not text, or holds what JSON has not.
    """
    if isinstance(context, str):
        return context
    if isinstance(context, bytes | bytearray | memoryview):
        return _of_bytes(bytes(context), None, options)
    if isinstance(context, Path):
        return _of_path(context, options)
    if library := frames.library(context):
        return _of_pandas(context) if library == "pandas" else _of_polars(context)
    if isinstance(context, Mapping) and context and _are_files(context.values()):
        return "\n\n".join(f"=== {path} ===\n{text}" for path, text in context.items())
    return _json(context)


def _of_path(path: Path, options: ContextOptions) -> str:
    if path.is_dir():
        files = from_paths([path], options.encoding or "utf-8", options.encoding_errors)
        assert isinstance(files, dict)
        return "\n\n".join(f"=== {name} ===\n{text}" for name, text in files.items())
    try:
        return _of_bytes(path.read_bytes(), path, options)
    except OSError as error:
        raise ContextError(f"The context {str(path)!r} cannot be read: {error.strerror}.") from error


def _of_bytes(data: bytes, path: Path | None, options: ContextOptions) -> str:
    if kind_of(path, options.encoding, options.context_format) == "parquet":
        return _of_parquet(data)
    if options.encoding is None:
        raise ContextError("Bytes cannot stand in a prompt. Pass encoding=, such as 'utf-8', to make them text.")
    try:
        return str(data, options.encoding, options.encoding_errors)
    except UnicodeError as error:
        raise ContextError(
            f"The context is not {options.encoding} text ({error.__class__.__name__} near byte "
            f"{getattr(error, 'start', 0):,}). Pass encoding= or encoding_errors='replace'."
        ) from error


def _of_parquet(data: bytes) -> str:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise ContextError("A Parquet file needs pyarrow: pip install 'rlm-kernel[tables]'.") from None
    try:
        rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    except ArrowException as error:
        raise ContextError(f"The context is no Parquet file: {error}.") from error
    return "\n".join(json.dumps(row, ensure_ascii=False, default=str) for row in rows)


def _of_pandas(frame: Any) -> str:
    text: str = frame.to_csv(index=type(frame.index).__name__ != "RangeIndex")
    return text


def _of_polars(frame: Any) -> str:
    nested = any(dtype.is_nested() for dtype in frame.schema.values())
    text: str = frame.write_ndjson() if nested else frame.write_csv()
    return text


def _are_files(values: Any) -> bool:
    """Whether they are texts, and not all of one line: better read as they are than escaped in JSON."""
    return all(isinstance(value, str) for value in values) and any("\n" in value for value in values)


def _json(value: Any) -> str:
    value = dict(value) if isinstance(value, Mapping) else value
    if not has_text_keys(value):
        raise ContextError("The context holds a dict with keys that are not str, and JSON has no others.")
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ContextError(f"The context cannot be written as JSON: {foreign.explain(value) or error}") from error
