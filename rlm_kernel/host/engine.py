"""The loop: ask the model, run the cells it writes, stop when a cell answers. The same for the root and any child."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm_kernel.errors import LimitReached
from rlm_kernel.host.answers.answer import Answer

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node


async def run(node: Node) -> Answer:
    """Run a node to its end, or on from where a limit had ended it.

    The history only ever grows at its end, so that providers' prompt caches hit; only compaction makes it shorter. A
    spent limit ends the loop with the best answer so far.

    Raises
    ------
    ModelError
        The root model failed; a failed sub-call is only the cell's problem.
    SandboxError
        The box broke and could not be restarted.
    """
    try:
        async with node.ledger.clock():
            while True:
                node.ledger.start_iteration()
                await node.compact()
                text, cells = await node.ask()
                records = [await node.execute(code) for code in cells.code]
                answer = await node.accepted_answer(text, records)
                if answer is not None:
                    return node.finish(answer)
                node.observe(text, cells, records)
    except LimitReached as limit:
        return await node.stop(limit)
