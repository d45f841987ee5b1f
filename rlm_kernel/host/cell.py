"""A cell in a kernel: from the messages that Jupyter sends about it to its outputs and its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import WireError
from rlm_kernel.events.types import CellStatus

REQUEST = {
    "silent": False,
    "store_history": True,
    "user_expressions": {},
    "allow_stdin": False,
    "stop_on_error": False,
}
"""How each cell is run."""

OnOutput = Callable[[str, dict[str, Any]], None]
"""Takes an output's kind and its MIME bundle."""


@dataclass(frozen=True)
class CellResult:
    """How a cell ended.

    ``report`` is ``None`` when the kernel could not say, and then a new one has taken its place: ``restart`` says why.
    """

    status: CellStatus
    seconds: float
    report: wire.CellReport | None
    restart: str | None = None


class RunningCell:
    """A cell between its request and the two messages that end it: the reply, and idle on iopub."""

    def __init__(self, on_output: OnOutput) -> None:
        self.reply: dict[str, Any] | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_output = on_output
        self._idle = False

    def on_shell(self, msg: dict[str, Any]) -> None:
        """Take a message of the shell channel."""
        if msg["msg_type"] == "execute_reply":
            self.reply = msg
            self._settle()

    def on_iopub(self, msg: dict[str, Any]) -> None:
        """Take a message of the iopub channel."""
        if msg["msg_type"] == "status":
            self._idle = self._idle or msg["content"].get("execution_state") == "idle"
            self._settle()
        elif (output := _output(msg["msg_type"], msg["content"])) is not None:
            self._on_output(*output)

    def result(self, seconds: float, overran: bool) -> CellResult:
        """Return how it ended; a cell without a reply had to be killed."""
        if self.reply is None:
            return CellResult("timeout", seconds, None, "it could not be interrupted")
        return CellResult(_status(self.reply, overran), seconds, _report(self.reply))

    @property
    def went_too_far(self) -> bool:
        """Whether it was interrupted, or could start no more processes."""
        return self.reply is not None and self.reply["content"].get("ename") in ("KeyboardInterrupt", "BlockingIOError")

    def _settle(self) -> None:
        if self.reply is not None and self._idle and not self.done.done():
            self.done.set_result(None)


def _output(msg_type: str, content: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Turn an iopub message into a cell output: its kind and MIME bundle."""
    if msg_type == "stream":
        kind = "stderr" if content.get("name") == "stderr" else "stdout"
        return kind, {"text/plain": str(content.get("text", ""))}
    if msg_type in ("display_data", "execute_result"):
        data = content.get("data")
        return msg_type, data if isinstance(data, dict) else {}
    if msg_type == "error":
        traceback = content.get("traceback")
        lines = [str(line) for line in traceback] if isinstance(traceback, list) else []
        return "error", {"text/plain": "\n".join(lines) or f"{content.get('ename')}: {content.get('evalue')}"}
    return None


def _status(reply: dict[str, Any], overran: bool) -> CellStatus:
    if overran:
        return "timeout"
    if reply["content"].get("status") == "ok":
        return "ok"
    return "interrupted" if reply["content"].get("ename") == "KeyboardInterrupt" else "error"


def _report(reply: dict[str, Any]) -> wire.CellReport | None:
    try:
        return wire.decode(wire.CellReport, reply["metadata"].get("rlm"))
    except WireError:
        return None
