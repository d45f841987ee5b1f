"""Runs measurements: one worker process per side and measurement, asked in turns so that both see the same machine."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.catalogue import IPYTHON, LOCAL, OURS, Measurement
from tests.benchmarks.worker import Samples

DEADLINE_SECONDS = 300.0
ENDED = ""
"""Stands for the line that a worker which is gone does not write."""


@dataclass
class Result:
    """The samples of a measurement by side and metric, and what went wrong instead of samples."""

    measurement: Measurement
    samples: dict[str, Samples] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    errors: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def of(self, side: str, metric: str) -> list[float]:
        return self.samples[side][metric]


class Worker:
    """A side's process, started at ``__enter__``."""

    def __init__(self, side: str, peer: str) -> None:
        ours, theirs = "tests.benchmarks.ours", "tests.benchmarks.peer_rlms"
        self._command = {
            OURS: [sys.executable, "-m", ours],
            IPYTHON: [peer, "-m", theirs, IPYTHON],
            LOCAL: [peer, "-m", theirs, LOCAL],
        }[side]
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def ask(self, call: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Measure once; ``{"samples": ...}`` or ``{"error": ...}``. After a silence the worker is gone."""
        assert self._process.stdin is not None
        try:
            print(json.dumps({"call": call, "arguments": arguments}), file=self._process.stdin, flush=True)
            line = self._replies.get(timeout=DEADLINE_SECONDS)
        except queue.Empty:
            self._process.kill()
            return {"error": f"no result within {DEADLINE_SECONDS:g} s"}
        except BrokenPipeError:
            line = ENDED
        if line == ENDED:
            return {"error": f"the worker ended: {self._last_words()}"}
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(line)
        self._replies.put(ENDED)

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "it wrote nothing"


def run(measurement: Measurement, base_url: str, peer: str, *, quick: bool) -> Result:
    """Measure on every side, in turns."""
    result = Result(measurement)
    arguments = {**measurement.arguments, **({"base_url": base_url} if measurement.served else {})}
    repetitions = measurement.quick if quick else measurement.repetitions
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(side, peer)) for side in measurement.sides}
        for repetition in range(-measurement.warm_up, repetitions):
            for side, worker in workers.items():
                reply = worker.ask(measurement.call, arguments)
                if "error" in reply:
                    result.errors[side].append(reply["error"])
                    print(f"  {side}: {reply['error']}", file=sys.stderr)
                elif repetition >= 0:
                    for metric, samples in reply["samples"].items():
                        result.of(side, metric).extend(samples)
    return result
