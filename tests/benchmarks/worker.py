"""A side's process: it takes one request per line of JSON, measures, and writes its samples as one line.

Both environments run this file, so it is standard library only.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import textwrap
import traceback
import urllib.request
from collections.abc import Callable
from typing import Any

Samples = dict[str, list[float]]
"""What a measurement gives: samples by metric, in seconds, bytes or plain numbers."""
Measure = Callable[..., Samples]


class WrongResultError(Exception):
    """The work was done fast and wrong, so its time says nothing."""


def serve(measures: dict[str, Measure]) -> None:
    """Answer requests until stdin ends. What the measured code prints goes to stderr."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            reply: dict[str, Any] = {"samples": measures[request["call"]](**request["arguments"])}
        except Exception as error:  # the other rows are still worth having
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(reply), file=replies)


def stats(base_url: str) -> dict[str, Any]:
    """Return what the server saw since the last call."""
    with urllib.request.urlopen(f"{base_url}/stats") as reply:
        seen: dict[str, Any] = json.load(reply)
    return seen


def check(name: str, value: object, expected: object) -> None:
    """Stop a measurement whose work was not done."""
    if value != expected:
        raise WrongResultError(f"{name}: {_short(value)} instead of {_short(expected)}")


def _short(value: object) -> str:
    return textwrap.shorten(str(value).replace("`", "'"), 40) or "nothing"


def sub_calls(answer: str) -> list[float]:
    """Return the seconds in the answer of a `single` or `batch` script."""
    content = json.loads(answer)
    check("replies that are wrong", content["wrong"], 0)
    seconds: list[float] = content["seconds"]
    return seconds


def batch_samples(seconds: list[float], size: int, latency: float, concurrency: int, seen: dict[str, Any]) -> Samples:
    """Compare a batch with the ideal."""
    check("requests at the server", seen["requests"], size + 1)  # and one of the root model
    shortest = ideal(size, latency, concurrency)
    times_ideal = [second / shortest for second in seconds]
    return {"seconds": seconds, "times_ideal": times_ideal, "in_flight": [seen["most_in_flight"]]}


def ideal(size: int, latency: float, concurrency: int) -> float:
    """Return the seconds of full rounds of calls that take their latency and no more."""
    return math.ceil(size / concurrency) * latency


def import_seconds(statement: str) -> list[float]:
    """Return the time of an import in a fresh process, interpreter start not counted."""
    code = f"import time; started = time.perf_counter(); {statement}; print(time.perf_counter() - started)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return [float(done.stdout)]
