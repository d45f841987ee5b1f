"""Cells that run in the background: all that belongs to each, and models that answer when they may."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.magic.vocabulary import SECONDS, Notebook, Ran
from tests.providers.fake_servers import FakeServer, Hang, Request
from tests.providers.items import Item

ASK = "```repl\nreply = llm_query('slow ' + str(context))\n```"
DONE = "```repl\nanswer['content'] = reply\nanswer['ready'] = True\n```"
VALUE = "```repl\nanswer['content'] = len(context)\nanswer['ready'] = True\n```"
ENDED = "from rlm_magic.background import BACKGROUND\nwhile BACKGROUND.ids: pass"
"""A cell that waits until all runs in the background have ended, and have filled their names."""


class Cells:
    """Cells of a notebook, and all that belongs to each, also what comes when it has ended."""

    def __init__(self, nb: Notebook) -> None:
        self.nb = nb
        self._seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._replies: dict[str, dict[str, Any]] = {}

    def run(self, code: str) -> str:
        """Run a cell to its end; return its id."""
        return self.finish(self.begin(code))

    def begin(self, code: str) -> str:
        return self.nb.begin(code)

    def finish(self, cell: str) -> str:
        while cell not in self._replies:
            reply = self.nb.client.get_shell_msg(timeout=SECONDS)
            self._replies[reply["parent_header"]["msg_id"]] = reply["content"]
        self.until(lambda: any(m["content"].get("execution_state") == "idle" for m in self._seen[cell]))
        return cell

    def until(self, there: Callable[[], Any]) -> None:
        """Read what the kernel says until something is there."""
        deadline = time.monotonic() + SECONDS
        while not there():
            assert time.monotonic() < deadline, {cell: len(seen) for cell, seen in self._seen.items()}
            self._read()

    def _read(self) -> None:
        message = self.nb.client.get_iopub_msg(timeout=SECONDS)
        self._seen[message["parent_header"].get("msg_id", "")].append(message)

    def __getitem__(self, cell: str) -> Ran:
        return Ran(self._replies.get(cell, {"status": "running"}), self._seen[cell])

    def page(self, cell: str) -> str:
        """The tree as HTML, as it stands now."""
        return str(self[cell].displays[-1]["text/html"])

    def value(self, expression: str) -> str:
        cell = self.run(f"print(repr({expression}))")
        assert self[cell].ok, self[cell].trouble
        return self[cell].stream("stdout").strip()

    def say(self, model: str, **content: Any) -> None:
        """Send what a widget's front end would say."""
        data = {"method": "custom", "content": content}
        message = self.nb.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        self.nb.client.shell_channel.send(message)


def ask(server: FakeServer, line: str = "--context book --into verdict", question: str = "Who was it?") -> str:
    return f"%%rlm --background {line} --model openai/any --base-url {server.openai_url}\n{question}"


class Slow:
    """A server's script: the root asks, and its call waits until it may be answered."""

    def __init__(self, answer: str = "THE BUTLER") -> None:
        self.gate = threading.Event()
        self.asked = threading.Event()
        self._answer = answer

    def __call__(self, request: Request) -> Item:
        messages = request.body["messages"]
        if len(messages) == 1:
            self.asked.set()
            return self._answer if self.gate.wait(SECONDS) else Hang()
        return DONE if any(message["role"] == "assistant" for message in messages) else ASK


def waiting(cells: Cells, cell: str) -> list[dict[str, Any]]:
    """The cells that a form was told to show."""
    told = [m["content"] for m in cells[cell].messages if m["msg_type"] == "comm_msg"]
    forms = [content["data"].get("state", {}) for content in told if content["comm_id"] == cells[cell].widgets[-1]]
    return [state["cell"] for state in forms if state.get("cell")]
