"""What a live view of a run has to be told: what has changed since it heard last, or all there is.

A piece is JSON, as `static/model.js` takes it: ``run`` is what stands above the tree; ``rows`` are rows, and ``at`` for
each of them its number and that of the row above; ``said`` are texts (index, whether it goes behind what is there,
text, how many characters are missing at its end) and ``shown`` pictures; ``new`` says that all before is void. A large
piece goes in parts: the first says what stands above the tree, and texts come before the rows that have them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from rlm_kernel.events.types import Event
from rlm_kernel.sinks.calltree.drawing import finite, usage
from rlm_kernel.sinks.calltree.near import Limits
from rlm_kernel.sinks.calltree.rows import Rows
from rlm_kernel.sinks.calltree.texts import harmless
from rlm_kernel.sinks.text import state

Piece = dict[str, Any]

ROOM_CHARACTERS = 4_000_000
"""About how much text a view is sent unasked; as it fills, texts are cut shorter."""
HEAD_CHARACTERS = 2_000
"""How much of the question, the answer and the error stands above the tree."""
PICTURE_CHARACTERS = 1_000_000
"""Longer pictures are not sent."""

PART = 250
"""How many rows, or texts, a part of a piece has at most."""

_CUTS = ((0.5, 10_000), (0.125, 1_000), (-math.inf, 160))
_LOOKS = {"answered": "ok", "error": "bad", None: "running"}


class Room:
    """How much a view may still be sent, and how long a text may be for that."""

    def __init__(self, characters: int = ROOM_CHARACTERS) -> None:
        self._whole = self._left = characters

    def cut(self, text: str) -> str:
        """Return as much of a text as there is room for, and take up that room."""
        limit = next(limit for share, limit in _CUTS if self._left > share * self._whole)
        self._left -= min(len(text), limit)
        return text[:limit]

    def picture(self, data: str) -> str:
        """Return a picture, or nothing where there is no room for it."""
        if len(data) > min(self._left, PICTURE_CHARACTERS):
            return ""
        self._left -= len(data)
        return data


class Deltas:
    """Folds the stream, and tells what to draw."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.found: Piece = {}
        """What else stands above the tree: what led to the answer (``led``), what was read of the input (``input``)."""
        self._limits = Limits()
        self._room = Room()
        self._heads: dict[int, str] = {}
        """What was sent of texts that may still grow."""

    def apply(self, event: Event) -> None:
        """Fold one event."""
        self.rows.apply(event)
        self._limits.apply(event, self.rows.moments)

    def take(self, now: float) -> Piece:
        """Return what has changed since this was called last; ``now`` is the time, as events have it."""
        rows, changed = self.rows, list(self.rows.changed)
        new, rows.restarted = rows.restarted, False
        if new:
            self._room = Room()
            self._heads.clear()
        piece = {"run": self._run(now), **({"new": True} if new else {}), **self._drawn(changed)}
        texts, images = rows.drawing.texts, rows.drawing.images
        piece["said"] = [self._said(index) for index in texts.fresh]
        piece["shown"] = [(index, self._room.picture(images[index])) for index in images.fresh]
        for told in (rows.changed, texts.fresh, images.fresh):
            told.clear()
        return piece

    def whole(self, now: float, room: Room | None = None) -> Piece:
        """Return all there is, for one who has nothing. Does not count as told to the others."""
        room = room or Room()
        piece = {"run": self._run(now), "new": True, **self._drawn(range(len(self.rows)))}
        texts, images = self.rows.drawing.texts, self.rows.drawing.images
        heads = [room.cut(texts[index]) for index in range(len(texts))]
        piece["said"] = [(index, 0, head, len(texts[index]) - len(head)) for index, head in enumerate(heads)]
        piece["shown"] = [(index, room.picture(images[index])) for index in range(len(images))]
        return piece

    def text(self, index: int, most: int) -> tuple[str, int]:
        """Return a text, and how many characters are missing at its end."""
        texts = self.rows.drawing.texts
        text = texts[index] if 0 <= index < len(texts) else ""
        return text[:most], max(0, len(text) - most)

    def _drawn(self, numbers: Iterable[int]) -> Piece:
        rows = [(number, self.rows.row(number)) for number in numbers]
        return {"at": [(number, self.rows.above(number)) for number, _ in rows], "rows": [row for _, row in rows]}

    def _said(self, index: int) -> tuple[int, int, str, int]:
        texts = self.rows.drawing.texts
        text = texts[index]
        if not texts.grows(index):
            head = self._room.cut(text)
            return index, 0, head, len(text) - len(head)
        before, head = self._heads.get(index, ""), text[: _CUTS[0][1]]
        self._heads[index] = head
        behind = bool(before) and head.startswith(before)
        return index, int(behind), head[len(before) :] if behind else head, len(text) - len(head)

    def _run(self, now: float) -> Piece:
        tree, moments = self.rows.tree, self.rows.moments
        passed = moments.last if tree.state != "running" else moments.passed(now)
        return {
            "id": tree.run,
            "question": harmless(tree.question[:HEAD_CHARACTERS]),
            "answer": harmless(tree.answer[:HEAD_CHARACTERS]),
            "answer_cut": max(0, len(tree.answer) - HEAD_CHARACTERS),
            "error": harmless((tree.error or "")[:HEAD_CHARACTERS]),
            "state": state(tree),
            "look": _LOOKS.get(tree.stop_reason, "warn"),
            "running": tree.state == "running",
            "seconds": finite(passed),
            "usage": usage(tree.usage),
            "near": self._limits.near(moments, passed) if tree.state == "running" else [],
            **self.found,
        }


def parts(piece: Piece) -> list[Piece]:
    """Return a piece in parts, to be taken one after the other; a browser answers its reader in between."""
    said, rows = piece["said"], piece["rows"]
    if max(len(said), len(rows)) <= PART:
        return [piece]
    head = {**piece, "said": said[:PART], "at": [], "rows": []}
    texts = ({"said": said[start : start + PART]} for start in range(PART, len(said), PART))
    drawn = ({key: piece[key][start : start + PART] for key in ("at", "rows")} for start in range(0, len(rows), PART))
    return [head, *texts, *drawn]
