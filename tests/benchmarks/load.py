"""Asks the server many requests at once with a bare client, to show that it is not what the rows measure."""

from __future__ import annotations

import asyncio
import json
import time
from urllib.parse import urlsplit

from tests.benchmarks.server import END_OF_HEADERS


async def _one(host: str, port: int, request: bytes) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    head = await reader.readuntil(END_OF_HEADERS)
    await reader.readexactly(int(head.rpartition(b":")[2]))  # the server writes the length last
    writer.close()


async def many(base_url: str, size: int, milliseconds: int) -> float:
    """Return the seconds of ``size`` requests on as many connections."""
    url = urlsplit(base_url)
    assert url.hostname is not None
    assert url.port is not None
    body = json.dumps({"model": f"sleep-{milliseconds}", "messages": [{"role": "user", "content": "prompt"}]}).encode()
    head = f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {len(body)}"
    request = head.encode() + END_OF_HEADERS + body
    started = time.perf_counter()
    await asyncio.gather(*(_one(url.hostname, url.port, request) for _ in range(size)))
    return time.perf_counter() - started
