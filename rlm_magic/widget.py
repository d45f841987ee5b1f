"""The live call tree: a widget that is told what has changed, and hears what its reader wants.

The cell's thread, or a background run's own, folds events and sends. Messages of front ends arrive in another thread
while a cell runs, where the kernel has subshells, and else when it has ended; a lock keeps the two apart.
"""

from __future__ import annotations

import base64
import gc
import gzip
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from traitlets import Bool, Int, Unicode

from rlm_kernel import Run
from rlm_kernel.events.tree import Tree
from rlm_kernel.events.types import Event
from rlm_kernel.provenance.for_tree import Reading, led
from rlm_kernel.sinks.calltree import assets
from rlm_kernel.sinks.calltree.deltas import Deltas, Room, parts
from rlm_magic.hearing import Hearing
from rlm_magic.pace import Pace

UPDATE_SECONDS = 0.1
"""Changes are sent no more often than this,"""
UPDATE_SHARE = 0.02
"""nor so often that it takes more than this share of the time."""
SAVE_SECONDS = 15.0
"""How often all there is goes into the widget's state while the run goes on; at first, more often."""
SAVE_SHARE = 0.005
UNHEARD_SAVE_SHARE = 0.05
"""The same where no front end has spoken: messages may wait for the cell, and who came late sees only the saves."""
SAVED_CHARACTERS = 1_500_000
"""About how much text of a run the widget's state holds, and a saved notebook with it; longer texts are cut."""
TEXT_CHARACTERS = 1_000_000
"""How much of one text is sent to who asks for it whole."""
PACKED_FROM = 20_000
"""Messages of this many characters or more are compressed."""


class CallTree(Hearing):
    """The call tree of one run.

    Attributes
    ----------
    saved
        All there is, compressed: what a front end shows that has no kernel, or cannot ask it now.
    saved_n
        How many changes that includes: a front end that has heard them does not unpack it.
    key
        The widget's own id, under which its state is in a notebook.
    background
        Whether the run goes on while other cells run: then the kernel's interrupt is not for it.
    heard
        Whether a front end has spoken.
    """

    _esm = "\n".join((assets.script(), *(assets.static("rlm_magic", name) for name in ("keep.js", "widget.js"))))
    _css = "\n".join((assets.sheet(), assets.static("rlm_magic", "widget.css")))
    saved = Unicode("").tag(sync=True)
    saved_n = Int(0).tag(sync=True)
    key = Unicode("").tag(sync=True)
    background = Bool(False).tag(sync=True)

    def __init__(self, run: Run, *, background: bool = False) -> None:
        super().__init__(background=background)
        self.key = self.model_id
        self.heard = False
        self._run = run
        self._deltas = Deltas()
        self._reading = Reading(run.directory)
        self._lock = threading.Lock()
        self._sent = 0
        self._changed = True
        self._waiting: deque[Event] = deque()
        self._updates = Pace(UPDATE_SECONDS, UPDATE_SHARE)
        self._saves = Pace(1.0, UNHEARD_SAVE_SHARE, first=1.0)
        self.on_msg(self._hear)

    @property
    def tree(self) -> Tree:
        """The tree so far."""
        with self._lock:
            self._fold()
        return self._deltas.rows.tree

    def apply(self, event: Event) -> None:
        """Take an event. It is folded when there is something to tell: the run's own thread has more to do now."""
        self._waiting.append(event)

    def update(self) -> None:
        """Tell the front ends what has changed, if it is time to; called often, also while nothing happens."""
        if self._waiting and self._updates.begin():
            with self._lock, _uncollected():
                sent = self._tell()
            self._updates.end(sent)
        if self.saved_n != self._sent and self._saves.begin():
            self.save(level=1)
            self._saves.seconds = SAVE_SECONDS if self.heard else min(SAVE_SECONDS, 2 * self._saves.seconds)
            self._saves.share = SAVE_SHARE if self.heard else UNHEARD_SAVE_SHARE
            self._saves.end(len(self.saved))

    def save(self, level: int = 6) -> None:
        """Put all there is into the widget's state; ``level`` is how much time its compression may take, 1 to 9."""
        with self._lock, _uncollected():
            self._look()
            self._tell()
            state = {"n": self._sent, "piece": self._deltas.whole(time.time(), Room(SAVED_CHARACTERS))}
            with self.hold_sync():
                self.saved, self.saved_n = _packed(_lines(state), level), self._sent

    def _fold(self) -> None:
        while self._waiting:
            event = self._waiting.popleft()
            self._deltas.apply(event)
            self._reading.apply(event)
            self._changed = True

    def _look(self) -> None:
        """When the run has ended, look up what led to the answer and what was read: what takes time, when asked to."""
        self._fold()
        rows, found = self._deltas.rows, self._deltas.found
        if found or rows.tree.state == "running":
            return
        found |= {"led": led(rows.tree) if rows.tree.answer else None, "input": self._reading.at_once(rows.moments)}
        self._changed = True

    def _read(self) -> None:
        """Compare an input that is too large for doing so at once. Nothing changes any more: the run has ended."""
        found = self._deltas.found
        if "bytes" not in (found.get("input") or {}):
            return
        read = self._reading.read(self._deltas.rows.moments)
        with self._lock:
            found["input"], self._changed = read, True
        self.save()

    def _tell(self) -> int:
        """Send what has changed; return how many characters that were."""
        self._fold()
        if not self._changed:
            return 0
        self._changed = False
        self._sent += 1
        return self._say("delta", n=self._sent, piece=self._deltas.take(time.time()))

    def _say(self, kind: str, **content: Any) -> int:
        lines = _lines(content)
        if len(lines) == 1 and len(lines[0]) < PACKED_FROM:
            self.send({"type": kind, **content})
            return len(lines[0])
        packed = _packed(lines, 1)
        self.send({"type": kind, "packed": packed})
        return len(packed)

    def _hear(self, _widget: object, content: Any, _buffers: object) -> None:
        """Do what a front end asks. It may be a page that somebody has tampered with: nothing is believed."""
        match content:
            case {"type": "want", "n": int(n)}:
                self.heard = True
                with self._lock:
                    self._tell()
                    piece = None if n == self._sent else self._deltas.whole(time.time())
                    self._say("all", n=self._sent, piece=piece)
            case {"type": "text", "index": int(index)}:
                with self._lock:
                    text, missing = self._deltas.text(index, TEXT_CHARACTERS)
                self._say("text", index=index, text=text, missing=missing)
            case {"type": "read"}:
                self._read()
            case {"type": "stop", "node": None}:
                self._run.cancel()
                self._say("stopping", node=None)
            case {"type": "stop", "node": str(node)}:
                self._run.cancel_call(node)
                self._say("stopping", node=node)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Let the garbage collector wait: what is made meanwhile stays, and it would look through the run's objects too."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _lines(content: dict[str, Any]) -> list[str]:
    """Return lines of JSON: the content, with the first part of its piece, then the other parts."""
    contents = [content]
    if content.get("piece"):
        head, *rest = parts(content["piece"])
        contents = [{**content, "piece": head}, *rest]
    return [json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in contents]


def _packed(lines: list[str], level: int) -> str:
    return base64.b64encode(gzip.compress("\n".join(lines).encode(), level, mtime=0)).decode()
