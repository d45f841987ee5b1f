"""What a file is, by its name or by the option ``context_format``. Nothing here reads one: the kernel does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from rlm_kernel.errors import ContextError

Kind = Literal["text", "bytes", "json", "jsonl", "csv", "parquet"]

SUFFIXES: dict[str, Kind] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
"""In lower case. Every other file is text."""

SMALLER_AS_VALUE = ("csv", "parquet")
"""What may need less memory than the file has bytes, so that only the kernel can tell whether it fits."""


def kind_of(path: Path | None, encoding: str | None, context_format: str) -> Kind:
    """Return how the kernel reads a file, or bytes, which have no ``path``.

    Parameters
    ----------
    path
        The file.
    encoding
        The option: ``None`` leaves as bytes whatever is not asked for by name.
    context_format
        ``auto`` goes by the suffix; anything else is the answer.

    Raises
    ------
    ContextError
        A format of text is asked for, and that text is left as bytes.
    """
    if context_format != "auto":
        if encoding is None and context_format != "parquet":
            raise ContextError(
                f"context_format={context_format!r} needs an encoding= other than None, such as 'utf-8'."
            )
        return cast(Kind, context_format)
    if encoding is None:
        return "bytes"
    return "text" if path is None else SUFFIXES.get(path.suffix.lower(), "text")
