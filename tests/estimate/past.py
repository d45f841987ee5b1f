"""Past runs for tests: real ones over scripted models, and journals of runs that never were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rlm_kernel import RLM, Completion, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply
from rlm_kernel.journal import Journal
from tests.host.script import done

PRICES = {"root": (1, 10), "sub": (0.1, 1)}
"""US dollars for a million tokens."""
ROOT, SUB = Usage.of_call(1000, 100), Usage.of_call(200, 20)
"""What each call of the two models uses: $0.002 and $0.00004."""


def rlm(calls: int = 1, root: str = "root", sub: str = "sub", **options: Any) -> RLM:
    """An RLM whose runs make so many sub-calls."""
    asks = done(f"llm_query_batched([f'part {{n}}' for n in range({calls})])")
    return RLM(
        ScriptedModel(lambda messages: Reply(asks, ROOT), name=root),
        sub_model=ScriptedModel(lambda messages: Reply("x", SUB), name=sub),
        **{"prices": PRICES, **options},
    )


async def ran(calls: int, size: int = 1000, **options: Any) -> Completion:
    """A run with so many sub-calls, over so many bytes."""
    return await rlm(calls, **options).acompletion("q", "x" * size)


def wrote(number: int, *, calls: int = 4, size: int | None = 1000, **more: Any) -> Path:
    """The journal of a run that never was, the ``number``-th of a day."""
    options = {"model": "root", "sub_model": "sub"} | more.get("options", {})
    each = more.get("usage", SUB)
    model = options["model"]
    run_dir = Path(os.environ["RLM_RUNS_DIR"], f"20260101-{number:06d}-abcdef")
    usage = sum([each] * calls, Usage())
    journal = Journal(run_dir)
    for event in (
        events.RunStarted(run=run_dir.name, question="q", options=options),
        *([] if size is None else [events.InputKept(load={"name": "context_0"}, path="x", bytes=size)]),
        events.NodeStarted(depth=0, model=model, question="q", context={}),
        *[events.ModelReplied(iteration=n, text="", usage=each, seconds=1) for n in range(calls)],
        events.RunFinished(
            stop_reason=more.get("stop_reason", "answered"), usage=usage, seconds=more.get("seconds", 9)
        ),
    ):
        journal(event)
    journal.close()
    return run_dir
