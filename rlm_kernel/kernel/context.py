"""Loads the input: a file that the host put where the box can read it becomes a Python value, and is described."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.kernel.chats import describe_chat
from rlm_kernel.kernel.frames import describe_frame, read_frame
from rlm_kernel.kernel.records import read_json, read_jsonl
from rlm_kernel.kernel.shapes import describe_bytes, describe_dict, describe_list, describe_text
from rlm_kernel.kernel.shown import brief, printable
from rlm_kernel.kernel.tables import one_line, read_csv, read_parquet
from rlm_kernel.kernel.text import read_text

TOO_BIG = "it does not fit into the kernel's memory. Raise memory_mb, or pass less."
DESCRIPTION_CHARACTERS = 2_400
PREVIEW_CHARACTERS = 2_000


def load(request: wire.Load) -> Any:
    """Read and decode the file; text keeps its line ends byte for byte.

    At the peak a text is in memory once, and so are bytes; JSON is there as text and as values, JSON Lines as values.

    Raises
    ------
    ContextError
        The file cannot be read or decoded, is not what it should be, or does not fit into memory.
    """
    try:
        return _load(request)
    except MemoryError:
        reason = TOO_BIG
    except OSError as error:  # a mapping that the limit forbids is one too
        reason = TOO_BIG if error.errno == errno.ENOMEM else f"the kernel cannot read it ({_system_error(error)})."
    except (ContextError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a library's own, of which some are no Exception: the host waits for a reply
        reason = f"{type(error).__name__}: {one_line(error)}"
    raise ContextError(reason)


def describe(value: Any) -> wire.Loaded:
    """Say what an input is: type, length, unit, one line for the model, and a short preview.

    Takes some 50 ms at most, whatever the value holds. Nothing unseen is in the texts: no control characters but
    newlines and tabs, no lone surrogates, which JSON and providers refuse.
    """
    kind = "object"
    try:
        kind = type(value).__name__
        loaded = _describe(value)
        return replace(
            loaded,
            type=printable(loaded.type),
            description=printable(loaded.description.replace("\n", r"\n"))[:DESCRIPTION_CHARACTERS],
            preview=printable(loaded.preview)[:PREVIEW_CHARACTERS],
        )
    except KeyboardInterrupt:
        raise
    except BaseException:  # a value's own methods may raise anything
        kind = printable(str(kind))[:DESCRIPTION_CHARACTERS]
        return wire.Loaded(None, kind, 1, "value", f"a value of type {kind}")


def _load(request: wire.Load) -> Any:
    path, encoding, errors = request.path, request.encoding, request.errors
    match request.kind:
        case "text":
            return read_text(path, encoding, errors)
        case "bytes":
            return Path(path).read_bytes()
        case "json":
            return read_json(path, encoding, errors)
        case "jsonl":
            return read_jsonl(path, encoding, errors)
        case "csv":
            return read_csv(path, encoding, errors)
        case "parquet":
            return read_parquet(path)
        case "pandas" | "polars":
            return read_frame(path, request.kind)


def _describe(value: Any) -> wire.Loaded:
    if isinstance(value, str):
        return describe_text(value)
    if isinstance(value, bytes):
        return describe_bytes(value)
    if isinstance(value, dict):
        return describe_dict(value)
    if isinstance(value, list):
        return describe_chat(value) or describe_list(value)
    if (loaded := describe_frame(value)) is not None:
        return loaded
    kind = type(value).__name__
    return wire.Loaded(None, kind, 1, "value", f"a value of type {kind}", brief(value, PREVIEW_CHARACTERS // 2))


def _system_error(error: OSError) -> str:
    return error.strerror or one_line(error)
