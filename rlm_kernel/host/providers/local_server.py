"""The process of a local model: llama.cpp's server on loopback, for as long as its parent lives.

Run as ``python -m rlm_kernel.host.providers.local_server --model PATH --context TOKENS --slots N``. Once the model is
loaded it writes one JSON line to standard output: ``{"base_url": ..., "api_key": ...}``. The key keeps other
users of the machine from the prompts. It ends when its standard input closes or its parent is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import select
import sys
import threading
from typing import Any

POLL_SECONDS = 1.0


def main() -> None:
    """Serve until the parent is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--context", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    arguments = parser.parse_args()
    # Before loading, which takes minutes for large weights and must end with the parent too.
    watcher = threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True)
    watcher.start()
    announcement = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what llama.cpp prints is not part of the announcement
    server, key = serve(arguments.model, arguments.context, arguments.slots)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # standard error explains a failed start; later it would only grow
    os.dup2(2, 1)
    with announcement:
        json.dump({"base_url": f"{server.listening_address}/v1", "api_key": key}, announcement)
        announcement.write("\n")
    watcher.join()


def serve(model: str, context: int, slots: int) -> tuple[Any, str]:
    """Load the weights and listen on a free port; ``context`` is tokens per request."""
    import xllamacpp

    key = secrets.token_urlsafe()
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.n_parallel = slots
    params.n_ctx = context * slots
    params.ui = False
    params.verbosity = 1
    return xllamacpp.Server(params), key


def end_with_parent(parent: int) -> None:
    """End this process when standard input closes or ``parent`` is no longer its parent.

    Both are watched: a process forked from the parent may hold the other end of the pipe open.
    """
    while os.getppid() == parent and not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        pass
    os._exit(0)  # llama.cpp's own threads would hold up an orderly end


if __name__ == "__main__":
    main()
