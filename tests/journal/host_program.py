"""A host to be killed. It is forked from a process that has imported everything, so that it begins at once."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection

PRELOAD = ["rlm_kernel.host.rlm", "rlm_kernel.host.providers.openai", "openai", "aiohttp", "jupyter_client"]

forking = multiprocessing.get_context("forkserver")
forking.set_forkserver_preload(PRELOAD)


def begin(url: str, runs_dir: str, run: str, said: Connection) -> None:
    """Begin a run, or resume one; send what it came to."""
    from rlm_kernel import RLM

    os.environ["RLM_RUNS_DIR"] = runs_dir
    if run:
        completion = RLM.resume(run, api_key="sk-test")
    else:
        rlm = RLM("openai/any", base_url=url, api_key="sk-test", max_concurrency=16, max_depth=2)
        completion = rlm.completion("What do the parts say?", context="a b c d")
    said.send((completion.stop_reason, completion.answer))
