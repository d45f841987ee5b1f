"""Logs of other harnesses as streams of our events, so that every view and export works on them.

```python
tree = fold(imports.read("rlm_2026-01-12_10-20-30_1a2b3c4d.jsonl"))
```
"""

from __future__ import annotations

from pathlib import Path

from rlm_kernel.errors import RLMError
from rlm_kernel.events.codec import EVENTS
from rlm_kernel.events.types import Event
from rlm_kernel.imports import fast_rlm, lines, rlms
from rlm_kernel.imports.stream import choose

__all__ = ["read", "read_all"]


def read(path: str | Path, completion: int | None = None) -> list[Event]:
    """Return the events of a log of `rlms` or of fast-rlm; its first line says which it is.

    Parameters
    ----------
    path
        The ``.jsonl`` file.
    completion
        Which, counted from 1, where the file holds several.

    Raises
    ------
    RLMError
        It is neither, is damaged, or has several completions and none was chosen.
    """
    return choose(read_all(path), path, completion)


def read_all(path: str | Path) -> list[list[Event]]:
    """Return the events of each completion of a log of `rlms` or of fast-rlm.

    Raises
    ------
    RLMError
        It is neither, or is damaged.
    """
    _, first = lines.first(path)
    if rlms.is_log(first):
        return rlms.read_all(path)
    if fast_rlm.is_log(first):
        return fast_rlm.read_all(path)
    if first.get("type") in EVENTS and "seq" in first:
        raise RLMError(f"{str(path)!r} is a journal of this library. Read its folder with rlm_kernel.journal.read.")
    raise RLMError(f"{str(path)!r} is no log that can be read. Expected one of rlms or of fast-rlm.")
