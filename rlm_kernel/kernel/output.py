"""What a cell may say: its output is bounded here, so that no cell can fill the host's memory by printing.

Code in the kernel can go round this, as it can go round everything in its own process; the host has limits of its
own (`rlm_kernel.host.connection`). This one keeps honest cells readable and says what was dropped.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from ipykernel.iostream import OutStream

from rlm_kernel.kernel.quiet import is_quiet
from rlm_kernel.packing import Messages
from rlm_kernel.wire import CELL_OUTPUT_CHARACTERS

DROPPED = f"\n... output beyond {CELL_OUTPUT_CHARACTERS:,} characters was dropped.\n"

FIELD_CHARACTERS = 10_000
"""The longest text in any other field of a cell's messages, such as an exception's own."""


class Allowance:
    """The characters that the running cell may still send. Any thread of the kernel may take from it."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin a cell."""
        self._left = CELL_OUTPUT_CHARACTERS
        self._told = False

    def take(self, text: str) -> str:
        """Return as much of a text as may still be sent, with a note where it is cut; the note comes once."""
        if len(text) <= self._left:
            self._left -= len(text)
            return text
        text, self._left = text[: self._left], 0
        note, self._told = "" if self._told else DROPPED, True
        return text + note


allowance = Allowance()
"""The kernel's one: there is one running cell."""


class BoundedStream(OutStream):
    """`sys.stdout` or `sys.stderr` of the kernel."""

    _timed = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._sending = threading.RLock()
        super().__init__(*args, **kwargs)
        # ipykernel copies what subprocesses write to the descriptor it had found: the start's log, on the host.
        if self._fid is not None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._original_stdstream_copy)
            os.close(nowhere)

    def write(self, string: str) -> int:
        """Write as much as the cell may still send; the caller is told that all was written."""
        if isinstance(string, str) and is_quiet():
            return len(string)
        if isinstance(string, str):
            length, string = len(string), allowance.take(string)
            if string:
                super().write(string)
            return length
        return super().write(string) or 0  # raises TypeError

    def flush(self) -> None:
        """Send what is buffered, from the calling thread: a round trip through the sending thread takes 0.4 ms.

        What that one is about to send goes first: a cell's end would overtake it otherwise, and it would be lost.
        """
        if is_quiet():
            return
        if not self._is_master_process():  # a fork has the lock's state, but not the thread that may hold it
            self._flush()
            return
        with self._sending:
            if self._buffers:
                self._flush()

    def _schedule_flush(self) -> None:
        """Flush within `flush_interval`, in the sending thread. It is woken once in that time, not for each text."""
        if not self._timed:
            self._timed = True
            self._io_loop.add_callback(self._io_loop.call_later, self.flush_interval, self._flush_in_time)

    def _flush_in_time(self) -> None:
        self._timed = False
        self._flush()

    def _flush(self) -> None:
        if not self._is_master_process():  # a fork has the lock's state, but not the thread that may hold it
            super()._flush()
            return
        with self._sending:
            if threading.current_thread() is self.pub_thread.thread:
                self.pub_thread.send_waiting()  # what other threads have sent before goes first
            super()._flush()


class BoundedSession(Messages):
    """The kernel's messages, with the texts of a cell's results and errors cut to its allowance."""

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Send a message; see `jupyter_client.session.Session.send`."""
        if is_quiet():
            return None
        if isinstance(msg_or_type, str):
            content = _bounded(msg_or_type, content)
        else:
            msg_or_type = {**msg_or_type, "content": _bounded(msg_or_type["msg_type"], msg_or_type["content"])}
        return super().send(stream, msg_or_type, content, *args, **kwargs)


def _bounded(msg_type: str, content: Any) -> Any:
    if msg_type in ("display_data", "update_display_data", "execute_result"):
        return {**content, "data": _each_text(content["data"], allowance.take)}
    if msg_type == "error":
        return {**_each_text(content, _field), "traceback": _each_text(content["traceback"], allowance.take)}
    if msg_type == "execute_reply":
        return _each_text(content, _field)
    return content


def _field(text: str) -> str:
    return text if len(text) <= FIELD_CHARACTERS else text[:FIELD_CHARACTERS] + " ..."


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return value
