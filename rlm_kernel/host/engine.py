"""The loop: ask the model, run the cells it writes, stop when a cell answers. The same for the root and any child."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm_kernel.errors import LimitReached
from rlm_kernel.events.values import Message
from rlm_kernel.host import parse, prompts
from rlm_kernel.host.answer import Answer
from rlm_kernel.host.prompts import CellRecord

if TYPE_CHECKING:
    from rlm_kernel.host.node import Node


async def run(node: Node) -> Answer:
    """Run a node to its end.

    The history only ever grows at its end, so that providers' prompt caches hit. A spent limit ends the loop with
    the best answer so far.

    Raises
    ------
    ModelError
        The root model failed; a failed sub-call is only the cell's problem.
    SandboxError
        The box broke and could not be restarted.
    """
    iterations = node.ledger.limits.iterations
    history = prompts.opening(node.question, node.context.description, iterations, node.shared.options.system_prompt)
    try:
        async with node.ledger.clock():
            while True:
                iteration = node.ledger.start_iteration()
                text = await node.ask(history, iteration)
                cells = parse.cells(text)
                records = [await node.execute(code) for code in cells.code]
                if (ready := next(filter(CellRecord.answers, records), None)) is not None:
                    return node.finish(ready)
                history.append(Message("assistant", text))
                history.append(prompts.observation(records, cells.problem, iteration, iterations))
    except LimitReached as limit:
        if limit.limit == "max_iterations" and not node.best.text:
            history.append(prompts.last_resort())
            node.best = Answer.of_text(await node.ask(history, iterations + 1))
        return node.stop(limit)
