"""Texts of a run as the call tree holds them: harmless to look at and to copy, and each once."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator

CHUNK_CHARACTERS = 250_000
"""About how long a line of data gets: the browser reads line by line and answers the reader in between."""

_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_OVERRIDES = re.compile("[\u202d\u202e]")
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_DIRECTION = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def harmless(text: str, *, code: bool = False) -> str:
    """Return text without colours of terminals, with other control characters as visible signs; UTF-8 can hold it.

    Characters that turn the reading direction around become visible too: in code all of them, for there they hide what
    runs; elsewhere only those that force it, for right-to-left languages need the others.
    """
    if _ODD.search(text) is None:  # as nearly always
        return text
    text = _CONTROL.sub(_sign, _TERMINAL.sub("", text.replace("\r\n", "\n")))
    return (_DIRECTION if code else _OVERRIDES).sub(lambda mark: f"⟨U+{ord(mark[0]):04X}⟩", text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code == 0x0D:
        return "\n"
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


class Table:
    """Things that rows refer to by their index, each kept once."""

    def __init__(self) -> None:
        self._items: list[str] = []
        self._known: dict[str, int] = {}
        self._grown: dict[Hashable, int] = {}
        self._growing: set[int] = set()
        self.fresh: dict[int, None] = {}
        """Indexes of what is new or has changed since somebody cleared it."""

    def __getitem__(self, index: int) -> str:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: str) -> int:
        """Return the index of an item."""
        index = self._known.setdefault(item, len(self._items))
        if index == len(self._items):
            self._items.append(item)
            self.fresh[index] = None
        return index

    def grow(self, key: Hashable, item: str) -> int:
        """Return the index of an item that is not whole yet: what has the same key later takes its place."""
        index = self._grown.setdefault(key, len(self._items))
        if index == len(self._items):
            self._items.append(item)
            self._growing.add(index)
        elif self._items[index] == item:
            return index
        self._items[index] = item
        self.fresh[index] = None
        return index

    def has_grown(self, key: Hashable) -> bool:
        """Whether an item came in pieces."""
        return key in self._grown

    def grows(self, index: int) -> bool:
        """Whether the item at an index came in pieces."""
        return index in self._growing

    def chunks(self) -> Iterator[list[str]]:
        """Yield the items in order, in lists of about `CHUNK_CHARACTERS`."""
        held: list[str] = []
        size = 0
        for item in self._items:
            held.append(item)
            size += len(item) + 4
            if size > CHUNK_CHARACTERS:
                yield held
                held, size = [], 0
        if held:
            yield held
