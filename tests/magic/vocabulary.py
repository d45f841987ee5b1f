"""A person's notebook kernel, driven over its channels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

SECONDS = 40
WIDGET = "application/vnd.jupyter.widget-view+json"


@dataclass
class Ran:
    """What a cell did: its reply's status and its messages on iopub."""

    reply: dict[str, Any]
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return bool(self.reply["status"] == "ok")

    def stream(self, name: str) -> str:
        return "".join(
            m["content"]["text"] for m in self.messages if m["msg_type"] == "stream" and m["content"]["name"] == name
        )

    @property
    def displays(self) -> list[dict[str, Any]]:
        """MIME bundles shown, first to last, but for widgets; updates replace what stands in the cell."""
        kinds = ("display_data", "update_display_data")
        shown = [m["content"]["data"] for m in self.messages if m["msg_type"] in kinds]
        return [data for data in shown if WIDGET not in data]

    @property
    def widgets(self) -> list[str]:
        """Ids of the widgets shown."""
        shown = [m["content"]["data"] for m in self.messages if m["msg_type"] == "display_data"]
        return [data[WIDGET]["model_id"] for data in shown if WIDGET in data]

    @property
    def trouble(self) -> str:
        """Everything a person would see of an error."""
        errors = ["\n".join(m["content"]["traceback"]) for m in self.messages if m["msg_type"] == "error"]
        return self.stream("stderr") + "".join(errors)


class Notebook:
    """Cells run one after the other in a real kernel."""

    def __init__(self, client: BlockingKernelClient, manager: KernelManager) -> None:
        self.client = client
        self.manager = manager

    def run(self, code: str) -> Ran:
        return self.finish(self.begin(code))

    def begin(self, code: str) -> str:
        msg_id: str = self.client.execute(code, allow_stdin=False)
        return msg_id

    def messages(self, msg_id: str) -> Iterator[dict[str, Any]]:
        """Yield a cell's iopub messages until it is idle."""
        deadline = time.monotonic() + SECONDS
        while True:
            msg = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if msg["parent_header"].get("msg_id") != msg_id:
                continue
            if msg["msg_type"] == "status" and msg["content"]["execution_state"] == "idle":
                return
            yield msg

    def finish(self, msg_id: str, seen: list[dict[str, Any]] | None = None) -> Ran:
        messages = [*(seen or []), *self.messages(msg_id)]
        while True:
            reply = self.client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == msg_id:
                return Ran(reply["content"], messages)

    def value(self, expression: str) -> str:
        """The repr of an expression in the kernel."""
        ran = self.run(f"print(repr({expression}))")
        assert ran.ok, ran.trouble
        return ran.stream("stdout").strip()

    def complete(self, code: str) -> list[str]:
        """What Tab offers at the end of the code."""
        reply = self.client.complete(code, len(code), reply=True, timeout=SECONDS)
        matches: list[str] = reply["content"]["matches"]
        return matches


@contextmanager
def notebook(kernel: str = "python3") -> Iterator[Notebook]:
    """A fresh kernel with the extension loaded."""
    manager = KernelManager(kernel_name=kernel)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield Notebook(client, manager)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
