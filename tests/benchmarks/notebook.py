"""What the call tree costs a run in a notebook: a real ipykernel runs the same with the tree and without, in turns.

The client does what JupyterLab does: it takes all that the kernel sends, and asks once for the tree over a subshell.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

from rlm_kernel import RLM
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers import OnText, Reply
from rlm_magic.display import watch
from tests.benchmarks import scripts, worker
from tests.benchmarks.worker import Samples

ROOT = Path(__file__).resolve().parents[2]
CONCURRENCY = 64


class Slow:
    """A sub-model in this process, which takes as long as it is told."""

    name = "benchmark/slow"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        await asyncio.sleep(self._seconds)
        return Reply(scripts.OK, Usage.of_call(100, 10))

    async def aclose(self) -> None:
        """Nothing to close."""


class Root:
    """A root model that asks many prompts at once, then answers how many replies came."""

    name = "benchmark/root"

    def __init__(self, calls: int) -> None:
        ask = f"replies = llm_query_batched([f'prompt {{n}}: {{context}}' for n in range({calls})])"
        answer = "answer.update(content=len(replies), ready=True)"
        self._replies = iter([f"```repl\n{code}\n```" for code in (ask, answer)])

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        return Reply(next(self._replies), Usage.of_call(1000, 100))

    async def aclose(self) -> None:
        """Nothing to close."""


def seconds(calls: int, latency: float, *, shown: bool) -> float:
    """Do one run as ``%%rlm`` does, in this kernel; with its tree, or as with ``--quiet``."""
    rlm = RLM(Root(calls), sub_model=Slow(latency), max_concurrency=CONCURRENCY, max_calls=None)
    began = time.monotonic()
    completion = watch(rlm.stream("How many?", "a page " * 30).start(), notebook=True, quiet=not shown)
    took = time.monotonic() - began
    worker.check("replies", completion.answer, calls)
    return took


def notebook(calls: int, milliseconds: int) -> Samples:
    """Run in pairs; the share is what the tree adds to the time of the run without it."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    try:
        client.control_channel.send(client.session.msg("create_subshell_request"))
        client.subshell = client.get_control_msg(timeout=60)["content"]["subshell_id"]
        execute(client, "import json; from tests.benchmarks.notebook import seconds")
        execute(client, f"seconds({min(calls, 100)}, 0, shown=True)")
        pairs = []
        for _ in range(2):
            quiet, shown = (
                float(execute(client, f"print(json.dumps(seconds({calls}, {milliseconds / 1000}, shown={shown})))"))
                for shown in (False, True)
            )
            pairs.append((quiet, shown))
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return {"with": [shown for _, shown in pairs], "share": [(shown - quiet) / quiet for quiet, shown in pairs]}


def execute(client: Any, code: str) -> str:
    """Run a cell, take all that it shows, and return the last line that it printed."""
    printed: list[str] = []

    def take(message: dict[str, Any]) -> None:
        if message["msg_type"] == "comm_open" and "saved" in message["content"]["data"].get("state", {}):
            data = {"method": "custom", "content": {"type": "want", "n": 0}}
            asks = client.session.msg("comm_msg", {"comm_id": message["content"]["comm_id"], "data": data})
            asks["header"]["subshell_id"] = client.subshell
            client.shell_channel.send(asks)
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, output_hook=take, timeout=600)
    worker.check("the cell", reply["content"]["status"], "ok")
    lines = [line for line in "".join(printed).splitlines() if line.strip()]
    return lines[-1] if lines else json.dumps(None)
