"""Says what a text, bytes, a list or a dict is: one line for the model, and a short preview.

Whatever costs time in proportion to the value is done for a part of it when the value is large, and then said so.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from rlm_kernel import wire
from rlm_kernel.kernel.shown import LOOKED_AT, brief, fenced, lengths, named, printable, sized, some, spread

WHOLE_CHARACTERS = 700
"""A shorter text is shown whole."""
EDGE_CHARACTERS = 300
EDGE_BYTES = 64
ITEM_CHARACTERS = 500
SHOWN_KEYS = 20
ROOM = 1_900
"""Characters of a preview, apart from what says that there is more."""
COUNTED_CHARACTERS = 16 << 20
"""The lines of a longer text are estimated: counting these takes up to 30 ms."""
COUNTED_ITEMS = 1_000_000
"""The types and lengths of more items are not looked at one by one: these take 30 ms."""
COUNTED_FILES = 100_000
SAMPLED_CHARACTERS = 1 << 20


def describe_text(text: str) -> wire.Loaded:
    """Describe a ``str``; line ends that are not newlines are named, and escaped where text is shown."""
    size = len(text)
    line = f"a str of {size:,} characters"
    preview = ""
    if size > WHOLE_CHARACTERS:
        first = printable(text[:EDGE_CHARACTERS])[: ROOM // 2 - 80]
        last = printable(text[-EDGE_CHARACTERS:])[-(ROOM // 2 - 80) :]
        edges = f"first {EDGE_CHARACTERS} characters:\n{fenced(first)}\nThe last {EDGE_CHARACTERS}:\n{fenced(last)}"
        preview = f"It has {_lines(text)}. The {edges}"
    elif size:
        preview = f"It has {_lines(text)}. All of it:\n{fenced(printable(text)[: ROOM - 100])}"
    return wire.Loaded(None, type(text).__name__, size, "characters", line, preview)


def describe_bytes(data: bytes) -> wire.Loaded:
    """Describe ``bytes``: the first and last few."""
    size = len(data)
    line = f"a bytes object of {size:,} bytes, not decoded"
    if size <= 2 * EDGE_BYTES:
        preview = f"All of it: {data!r}"
    else:
        preview = f"The first {EDGE_BYTES}: {data[:EDGE_BYTES]!r}\nThe last {EDGE_BYTES}: {data[-EDGE_BYTES:]!r}"
    return wire.Loaded(None, type(data).__name__, size, "bytes", line, preview)


def describe_list(items: list[Any]) -> wire.Loaded:
    """Describe a list: the types of its items, the first and the last, and how long they are."""
    size = len(items)
    if not items:
        return wire.Loaded(None, type(items).__name__, 0, "items", "an empty list")
    line = f"a list of {size:,} items, {_kinds(items)}"
    shown = [f"The first: {brief(items[0], ITEM_CHARACTERS)}"]
    if size > 1:
        shown.append(f"The last: {brief(items[-1], ITEM_CHARACTERS)}")
    looked = some(items, COUNTED_ITEMS // 10)
    kinds = set(map(type, looked))
    if kinds in ({str}, {list}):
        unit = "characters" if kinds == {str} else "items"
        shown.append(f"Their lengths: {lengths(looked)} {unit}{_of_how_many(looked, items)}")
    elif kinds == {dict}:
        rows = some(items, LOOKED_AT // 10)
        names = _shared(rows)
        more = ", and some have others" if any(len(row) > len(names) for row in rows) else ""
        line += f" with the keys {named(names, SHOWN_KEYS, len(names))}{more}" if names else " without a key in common"
        line += _of_how_many(rows, items)
        shown.append(_fields(rows, names))
    return wire.Loaded(None, type(items).__name__, size, "items", line, "\n".join(filter(None, shown)))


def describe_dict(items: dict[Any, Any]) -> wire.Loaded:
    """Describe a dict: its first keys with type and size of their values; of a mapping of paths, the largest."""
    size = len(items)
    if not items:
        return wire.Loaded(None, type(items).__name__, 0, "keys", "an empty dict")
    looked = items if size <= COUNTED_FILES else dict(islice(items.items(), LOOKED_AT))
    if _are_files(looked):
        characters = f"{sum(map(len, looked.values())):,} characters in total"
        line = f"a dict of {size:,} files, each path with its text, {characters}{_of_how_many(looked, items)}"
        if size > 1:
            largest = heapq.nlargest(5, looked, key=lambda path: len(looked[path]))
            line += "; the largest: " + ", ".join(f"{brief(path, 100)} {len(looked[path]):,}" for path in largest)
    else:
        line = f"a dict of {size:,} keys, its values {_kinds(items.values())}"
    shown = [f"- {brief(key, 80)}: {sized(value)}" for key, value in islice(items.items(), SHOWN_KEYS)]
    return wire.Loaded(None, type(items).__name__, size, "keys", line, _listed(shown, size))


def _lines(text: str) -> str:
    """Count lines, and say how they end where that is not only by newlines."""
    if len(text) > COUNTED_CHARACTERS:
        found = sum(text.count("\n", part.start, part.stop) for part in spread(len(text), SAMPLED_CHARACTERS))
        return f"about {found * len(text) // SAMPLED_CHARACTERS + 1:,} lines"
    newlines, returns = text.count("\n"), text.count("\r")
    both = text.count("\r\n") if returns else 0
    ends = {r"\r\n": both, r"\n": newlines - both, r"\r": returns - both}
    lines = sum(ends.values()) + (not text.endswith(("\n", "\r")))
    used = ", ".join(f"{end} {count:,}" for end, count in ends.items() if count)
    return f"{lines:,} line{'s' * (lines != 1)}" + (f" (line ends: {used})" if returns else "")


def _kinds(values: Collection[Any]) -> str:
    looked = some(values) if len(values) > COUNTED_ITEMS else values
    kinds = {kind.__name__ for kind in set(map(type, looked))}
    part = _of_how_many(looked, values)
    if kinds == {"str"}:
        if part:
            return f"all str, {_average(looked)} characters on average{part}"
        return f"all str, {sum(map(len, looked)):,} characters in total"
    if kinds == {"dict"}:
        return f"all dict{part}"
    return f"of type {', '.join(sorted(kinds)[:SHOWN_KEYS])}{part}"


def _average(values: Collection[Any]) -> str:
    return f"{sum(map(len, values)) // len(values):,}"


def _of_how_many(looked: Collection[Any], values: Collection[Any]) -> str:
    return "" if len(looked) == len(values) else f" ({len(looked):,} of them looked at)"


def _shared(rows: Collection[dict[Any, Any]]) -> list[Any]:
    """Return the keys that all rows have, in the first one's order."""
    shared = dict.fromkeys(next(iter(rows)))
    for row in rows:
        if not shared.keys() <= row.keys():
            shared = {name: None for name in shared if name in row}
    return list(shared)


def _fields(rows: Collection[dict[Any, Any]], names: list[Any]) -> str:
    """Say of each key what its values are."""
    shown = []
    for name in names[:SHOWN_KEYS]:
        values = [row[name] for row in rows]
        kinds = {type(value).__name__ for value in values}
        of = f", {lengths(values)} characters" if kinds == {"str"} else ""
        shown.append(f"- {brief(name, 80)}: {'|'.join(sorted(kinds))[:80]}{of}")
    return _listed(shown, len(names), ROOM - 2 * ITEM_CHARACTERS - 200)


def _listed(lines: Iterable[str], total: int, room: int = ROOM) -> str:
    """Put as many lines below each other as there is room for."""
    shown: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        shown.append(line)
    if total > len(shown):
        shown.append(f"... and {total - len(shown):,} more")
    return "\n".join(shown)


def _are_files(items: dict[Any, Any]) -> bool:
    """Whether this is what a folder becomes: texts whose keys look like paths, most of them with a suffix."""
    if not items or {str} != set(map(type, items)) or {str} != set(map(type, items.values())):
        return False
    paths = list(islice(items, LOOKED_AT // 10))
    if any(len(path) > 1_000 or not path.strip() or "\n" in path for path in paths):
        return False
    suffixes = [PurePosixPath(path).suffix for path in paths]
    return 2 * sum(suffix.isascii() and suffix[1:].isalnum() and not suffix[1:].isdigit() for suffix in suffixes) > len(
        paths
    )
