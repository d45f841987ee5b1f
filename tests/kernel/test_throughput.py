"""Many sub-calls: nothing is dropped, whatever the host does, on unix sockets and through a Jupyter Server."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.session import Session as Messages
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from rlm_kernel import wire
from rlm_kernel.host import calls
from tests.kernel.vocabulary import kernel, run, upper

WANTED = """
import asyncio
from concurrent.futures import ThreadPoolExecutor as Pool
wanted = [f"P{i}" for i in range(20_000)]
"""

LOADS = {
    "10,000 in one batch": "r = llm_query_batched([p.lower() for p in wanted[:10_000]])",
    "5,000 from 64 threads": "with Pool(64) as pool: r = list(pool.map(llm_query, [p.lower() for p in wanted[:5000]]))",
    "500 awaited at once": "r = await asyncio.gather(*(allm_query(p.lower()) for p in wanted[:500]))",
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
async def test_every_call_is_answered_in_its_place(load: str) -> None:
    async with kernel() as session:
        assert (await run(session, f"{WANTED}\n{load}\nprint(len(r), r == wanted[:len(r)])")).text.endswith("True\n")


async def test_nothing_is_lost_while_the_host_does_not_read_at_all() -> None:
    """With default high-water marks every channel loses messages: a ROUTER drops what does not fit its queue."""
    async with kernel() as session:
        code = f"{WANTED}\nr = await asyncio.gather(*(allm_query(p.lower()) for p in wanted))\nprint(r == wanted)"
        cell = asyncio.create_task(run(session, code))
        for _ in range(3):
            await asyncio.sleep(0.3)
            time.sleep(1.0)  # the whole host stands still, not one task of it
        assert (await cell).text == "True\n"


async def test_a_batch_of_long_prompts_crosses_in_portions() -> None:
    calls: list[int] = []

    async def count(call: wire.Call) -> wire.Reply:
        calls.append(sum(map(len, call.prompts)))
        return wire.Reply(call.id, [wire.CallResult(text=prompt[:2]) for prompt in call.prompts])

    async with kernel(count) as session:
        made = "wanted = [f'{i:02}' for i in range(60)]\nr = llm_query_batched([w + 'x' * 500_000 for w in wanted])"
        code = f"{made}\nprint(r == wanted)"
        assert (await run(session, code)).text == "True\n"
        assert sum(calls) == 60 * 500_002
        assert max(calls) <= wire.CALL_CHARACTERS
        too_long = await run(session, f"llm_query('x' * {wire.PROMPT_CHARACTERS + 1})", ok=False)
        assert "ValueError: a prompt of 4,000,001 characters; at most 4,000,000 are possible" in too_long.text


async def test_calls_that_would_fill_the_hosts_memory_wait_in_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "WAITING_CALLS", 100)
    most = 0

    async def slow(call: wire.Call) -> wire.Reply:
        nonlocal most
        most = max(most, len(session._calls))
        await asyncio.sleep(0.05)
        return await upper(call)

    async with kernel(slow) as session:
        gathered = "r = await asyncio.gather(*(allm_query(p.lower()) for p in wanted[:2000]))"
        code = f"{WANTED}\n{gathered}\nprint(r == wanted[:2000])"
        assert (await run(session, code)).text == "True\n"
    assert 100 <= most < 1000, "what one read of the socket may bring comes on top"


@contextmanager
def jupyter_server(root: Path) -> Iterator[str]:
    """A real Jupyter Server on loopback, whose RLM kernelspec starts kernels in the box; its base URL."""
    spec = root / "share" / "kernels" / "boxed"
    spec.mkdir(parents=True)
    provisioner = {"provisioner_name": "rlm-bubblewrap"}
    argv = [sys.executable, "-P", "-m", "rlm_kernel.kernel"]
    about = {"argv": argv, "display_name": "Boxed", "language": "python", "interrupt_mode": "message"}
    (spec / "kernel.json").write_text(json.dumps({**about, "metadata": {"kernel_provisioner": provisioner}}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "JUPYTER_PATH": str(root / "share"), "JUPYTER_CONFIG_DIR": str(root / "config")}
    command = ["jupyter", "server", "--allow-root", "--no-browser", f"--port={port}", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={root}", "--ServerApp.port_retries=0"]
    with (
        (root / "log").open("wb") as log,
        subprocess.Popen(
            [f"{Path(sys.executable).parent}/{command[0]}", *command[1:]], env=environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/api/status?token=t", root / "log")
            yield url
        finally:
            process.terminate()


def _wait_for(url: str, log: Path) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(log.read_text()[-2000:])


class Remote:
    """A client of a kernel behind a server: answers calls on the control channel while a cell runs."""

    def __init__(self, connection: WebSocketClientConnection) -> None:
        self._connection = connection
        self._messages = Messages()

    async def send(self, channel: str, msg_type: str, content: dict[str, Any]) -> str:
        message = self._messages.msg(msg_type, content)
        await self._connection.write_message(json.dumps({**message, "channel": channel, "buffers": []}, default=str))
        return str(message["header"]["msg_id"])

    async def run(self, code: str) -> str:
        """Run a cell; return what it printed."""
        content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
        request, printed, ended = await self.send("shell", "execute_request", content), "", 0
        while ended < 2:
            raw = await self._connection.read_message()
            assert raw is not None, "the server closed the connection"
            message = json.loads(raw)
            if message["msg_type"] == "rlm_call":
                call = wire.decode(wire.Call, message["content"])
                await self.send("control", "rlm_reply", wire.encode(await upper(call)))
            elif message["parent_header"].get("msg_id") == request:
                content = message["content"]
                printed += content.get("text", "") if message["msg_type"] == "stream" else ""
                printed += "\n".join(content["traceback"]) if message["msg_type"] == "error" else ""
                idle = message["msg_type"] == "status" and content["execution_state"] == "idle"
                ended += idle or message["msg_type"] == "execute_reply"
        return printed


async def test_the_same_through_a_jupyter_server(tmp_path: Path) -> None:
    with jupyter_server(tmp_path) as url:
        body = json.dumps({"name": "boxed"}).encode()
        request = urllib.request.Request(f"{url}/api/kernels?token=t", body, {"Content-Type": "application/json"})
        started = json.load(await asyncio.to_thread(urllib.request.urlopen, request))
        address = f"{url.replace('http', 'ws')}/api/kernels/{started['id']}/channels?token=t"
        connection = await websocket_connect(HTTPRequest(address), max_message_size=1 << 30)
        remote = Remote(connection)
        await remote.send("control", "rlm_attach_request", wire.encode(wire.Attach()))
        assert await remote.run(f"{WANTED}\nimport os\nprint(os.getpid() < 100)") == "True\n"
        for load in LOADS.values():
            assert (await remote.run(f"{load}\nprint(r == wanted[:len(r)])")) == "True\n"
        assert await remote.run("print(len(llm_query('x' * 500_000)))") == "500000\n"
        connection.close()
