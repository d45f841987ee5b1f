"""Loads the input: a file that the host put where the box can read it becomes a Python value."""

from __future__ import annotations

import errno
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ContextError
from rlm_kernel.kernel.frames import describe_frame, read_frame
from rlm_kernel.kernel.text import read_text

TOO_BIG = "it does not fit into the kernel's memory. Raise memory_mb, or pass less."


def load(request: wire.Load) -> Any:
    """Read and decode the file; text keeps its line ends byte for byte.

    At the peak a text is in memory once, and so are bytes; a list or dict is there as text and as values.

    Raises
    ------
    ContextError
        The file cannot be read or decoded, or does not fit into memory.
    """
    try:
        return _load(request)
    except MemoryError:
        reason = TOO_BIG
    except OSError as error:  # a mapping that the limit forbids is one too
        reason = TOO_BIG if error.errno == errno.ENOMEM else f"the kernel cannot read it ({error.strerror or error})."
    except ContextError:
        raise
    except Exception as error:  # JSON nested too deeply, or a library's own: without a reply the host would wait
        reason = f"{type(error).__name__}: {error}"
    raise ContextError(reason)


def describe(value: Any) -> wire.Loaded:
    """Say what an input is, without showing it: type, length, unit and one line for the model."""
    kind = type(value).__name__
    if isinstance(value, str):
        return wire.Loaded(None, kind, len(value), "characters", f"a str of {len(value):,} characters")
    if isinstance(value, bytes):
        return wire.Loaded(None, kind, len(value), "bytes", f"a bytes object of {len(value):,} bytes, not decoded")
    if isinstance(value, dict):
        line = f"a dict of {len(value):,} keys, its values {_kinds(value.values())}"
        return wire.Loaded(None, kind, len(value), "keys", line)
    if isinstance(value, list):
        return wire.Loaded(None, kind, len(value), "items", f"a list of {len(value):,} items, {_kinds(value)}")
    return describe_frame(value) or wire.Loaded(None, kind, 1, "value", f"a value of type {kind}")


def _load(request: wire.Load) -> Any:
    if request.kind == "bytes":
        return Path(request.path).read_bytes()
    if request.kind == "json":
        return json.loads(read_text(request.path, "utf-8", "surrogatepass"))
    if request.kind == "text":
        return read_text(request.path, request.encoding, request.errors)
    return read_frame(request.path, request.kind)


def _kinds(values: Collection[Any]) -> str:
    kinds = {type(item).__name__ for item in values}
    if kinds == {"str"}:
        return f"all str, {sum(map(len, values)):,} characters in total"
    return f"of type {', '.join(sorted(kinds))}"
