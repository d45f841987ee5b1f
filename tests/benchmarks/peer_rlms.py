"""The side of `rlms`: the same work through its public classes, in its own environment.

The first argument is its environment: ``ipython`` (in subprocess mode, a kernel as ours) or ``local`` (``exec`` in the
host's process, with no kernel).
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from openai import OpenAI
from rlm import RLM
from rlm.clients import BaseLM
from rlm.core.lm_handler import LMHandler
from rlm.core.types import ModelUsageSummary, UsageSummary
from rlm.environments import BaseEnv, get_environment
from rlm.utils.parsing import find_code_blocks

from tests.benchmarks import inputs, processes, scripts, worker
from tests.benchmarks.worker import Samples

ENVIRONMENTS: dict[str, dict[str, Any]] = {"ipython": {"kernel_mode": "subprocess"}, "local": {}}
QUESTION = "What is the answer?"


class Direct(BaseLM):
    """A model in this process, which answers at once."""

    def completion(self, prompt: Any, model: str | None = None) -> str:
        return scripts.OK

    async def acompletion(self, prompt: Any, model: str | None = None) -> str:
        return scripts.OK

    def get_usage_summary(self) -> UsageSummary:
        return UsageSummary(model_usage_summaries={self.model_name: self.get_last_usage()})

    def get_last_usage(self) -> ModelUsageSummary:
        return ModelUsageSummary(total_calls=1, total_input_tokens=1, total_output_tokens=1)


class Side:
    """The measurements, for one of its environments."""

    def __init__(self, environment: str) -> None:
        self._environment = environment

    def start(self, base_url: str) -> Samples:
        with self._opened(inputs.SMALL) as (_, seconds):
            kernel = seconds
        rlm = self._served(base_url, "turns1-0")
        worker.stats(base_url)
        began = time.monotonic()
        rlm.completion(inputs.SMALL, root_prompt=QUESTION)
        return {"kernel": [kernel], "asked": [worker.stats(base_url)["first"] - began]}

    def child(self, count: int) -> Samples:
        """Children have an environment of the same kind as the root, made from nothing."""
        seconds = []
        for _ in range(count):
            with self._opened(inputs.SMALL, depth=2) as (_, second):
                seconds.append(second)
        return {"kernel": seconds}

    def cell(self, code: str, count: int) -> Samples:
        seconds = []
        with self._opened(inputs.SMALL) as (environment, _):
            for _ in range(count):
                began = time.perf_counter()
                result = environment.execute_code(code)
                seconds.append(time.perf_counter() - began)
                worker.check("stderr of a cell", result.stderr, "")
        return {"seconds": seconds}

    def sub_call(self, count: int) -> Samples:
        (code,) = find_code_blocks(scripts.Script.named(f"single{count}-0").reply([]))
        with (
            LMHandler(Direct(model_name="direct")) as handler,
            self._opened(inputs.SMALL, lm_handler_address=handler.address) as (environment, _),
        ):
            return {"seconds": worker.sub_calls(environment.execute_code(code).final_answer)}

    def sub_call_served(self, base_url: str, count: int) -> Samples:
        return {"seconds": worker.sub_calls(self._answer(self._served(base_url, f"single{count}-0", "sleep-0")))}

    def sdk(self, base_url: str, count: int) -> Samples:
        """The same requests by the SDK alone, asked as its client asks: whole replies, from a thread that waits."""
        seconds = []
        with OpenAI(api_key="none", base_url=base_url) as client:
            for number in range(count):
                began = time.perf_counter()
                chat: Any = [{"role": "user", "content": f"prompt {number}"}]
                client.chat.completions.create(model="sleep-0", messages=chat)
                seconds.append(time.perf_counter() - began)
        return {"seconds": seconds}

    def batch(self, base_url: str, size: int, milliseconds: int, concurrency: int | None) -> Samples:
        """Its concurrency is a default of a class that `RLM` makes itself; no option reaches it."""
        worker.check("a concurrency to set", concurrency, None)
        shipped = inspect.signature(LMHandler).parameters["batch_max_concurrent"].default
        rlm = self._served(base_url, f"batch{size}-0", f"sleep-{milliseconds}")
        worker.stats(base_url)
        seconds = worker.sub_calls(self._answer(rlm))
        return worker.batch_samples(seconds, size, milliseconds / 1000, shipped, worker.stats(base_url))

    def turns(self, base_url: str, count: int) -> Samples:
        rlm = self._served(base_url, f"turns{count}-0")
        worker.stats(base_url)
        began = time.perf_counter()
        text = self._answer(rlm)
        seconds, seen = time.perf_counter() - began, worker.stats(base_url)
        worker.check("answer", text, str(count))
        return {"whole": [seconds], "turn": [(seen["last"] - seen["first"]) / (count - 1)]}

    def tree(self, base_url: str, size: int, one_at_a_time: bool = False) -> Samples:
        options: dict[str, Any] = {"max_depth": scripts.TREE_LEVELS, "max_iterations": scripts.TREE_ITERATIONS}
        if one_at_a_time:
            options["max_concurrent_subcalls"] = 1
        rlm = self._served(base_url, f"tree{size}-0", **options)
        worker.stats(base_url)
        began = time.perf_counter()
        text = rlm.completion("level 0", root_prompt=QUESTION).response
        seconds = time.perf_counter() - began
        worker.check("nodes in the answer", text, str(scripts.nodes(size)))
        worker.check("requests at the server", worker.stats(base_url)["requests"], scripts.nodes(size))
        return {"seconds": [seconds]}

    def context(self, characters: int, kind: str) -> Samples:
        """Only a kernel has memory of its own; ``local`` holds the input in the host's process."""
        worker.check("the kind of input", kind, "str")
        text = inputs.text(characters)
        with self._opened(None) as (environment, _):
            pid = self._kernel(environment)
            began = time.perf_counter()
            environment.load_context(text)
            seconds = time.perf_counter() - began
            worker.check("length", environment.execute_code("print(len(context))").stdout, f"{characters}\n")
            peak = [] if pid is None else [float(processes.peak_memory(pid))]
        return {"seconds": [seconds], "peak": peak}

    def memory(self, count: int) -> Samples:
        if count == 0:
            return {"own": [], "pss": []}
        with self._opened(inputs.SMALL) as (environment, _):
            rest = self.memory(count - 1)  # the others live meanwhile
            pid = self._kernel(environment)
            if pid is None:
                return {"own": [], "pss": []}
            own, pss = processes.own_memory(pid), processes.proportional_memory(pid)
        return {"own": [own, *rest["own"]], "pss": [pss, *rest["pss"]]}

    def imports(self) -> Samples:
        return {"seconds": worker.import_seconds("from rlm import RLM")}

    def _served(self, base_url: str, model: str, sub_model: str | None = None, **options: Any) -> RLM:
        """An RLM whose models are the server's; a second client costs it time, so only where there are sub-calls."""
        address = {"base_url": base_url, "api_key": "none"}
        if sub_model is not None:
            options |= {"other_backends": ["openai"], "other_backend_kwargs": [{"model_name": sub_model, **address}]}
        return RLM(
            backend="openai",
            backend_kwargs={"model_name": model, **address},
            environment=self._environment,
            environment_kwargs=ENVIRONMENTS[self._environment],
            **options,
        )

    def _answer(self, rlm: RLM) -> str:
        return str(rlm.completion(inputs.SMALL, root_prompt=QUESTION).response)

    @contextmanager
    def _opened(self, context: str | None, **more: Any) -> Iterator[tuple[BaseEnv, float]]:
        """An environment with an input in it, and how long that took."""
        began = time.perf_counter()
        arguments = {**ENVIRONMENTS[self._environment], "context_payload": context, **more}
        environment: Any = get_environment(self._environment, arguments)
        seconds = time.perf_counter() - began
        try:
            yield environment, seconds
        finally:
            environment.cleanup()

    def _kernel(self, environment: BaseEnv) -> int | None:
        if self._environment == "local":
            return None
        return processes.kernel(int(environment.execute_code("import os; print(os.getpid())").stdout))


def main(environment: str) -> None:
    side = Side(environment)
    calls: list[Callable[..., Samples]] = [
        *(side.start, side.child, side.cell, side.sub_call, side.sub_call_served, side.sdk),
        *(side.batch, side.turns, side.tree, side.context, side.memory, side.imports),
    ]
    worker.serve({call.__name__: call for call in calls})


if __name__ == "__main__":
    main(sys.argv[1])
