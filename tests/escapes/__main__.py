"""``python -m tests.escapes [SANDBOX [WORD...]]``: make the attempts named by a word, and say what stopped each.

``python -m tests.escapes table`` writes the table of ``docs/security.md``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from tests.escapes.table import ATTEMPTS, NEEDS_NAMESPACE, markdown
from tests.escapes.vocabulary import escaped, otherwise, staged


async def main(sandbox: str, words: Sequence[str]) -> None:
    """Make attempts and print a line for each."""
    async with staged(sandbox) as scene:
        for attempt in ATTEMPTS:
            if words and not any(word in attempt.name for word in words):
                continue
            if sandbox != "bubblewrap" and attempt.name in NEEDS_NAMESPACE:
                continue
            started = time.monotonic()
            try:
                async with asyncio.timeout(60):
                    outcome = await scene.make(attempt)
            except Exception as error:
                print(f"BROKEN   {attempt.name}: {type(error).__name__} {str(error)[-1000:]}")
                continue
            evidence = escaped(outcome)
            others = otherwise(attempt, outcome)
            ended = "ESCAPED" if evidence else "OTHERWISE" if others else "stopped"
            signs = " ".join(sorted({str(t.error) for t in outcome.tries if t.error is not None}))
            seconds = time.monotonic() - started
            print(f"{ended:9} {attempt.name}  [{attempt.stopped_by}: {signs}]  {seconds:.1f} s", flush=True)
            if evidence or others:
                print(f"          {(evidence or str(others))[:1500]}")


sandbox, *words = sys.argv[1:] or ["bubblewrap"]
if sandbox == "table":
    print(markdown(), end="")
elif sandbox == "process":
    sys.exit("It isolates nothing, and some of the attempts would do harm.")
else:
    asyncio.run(main(sandbox, words))
