"""Every request to a model goes through here: within its window, the provider's width and the run's account."""

from __future__ import annotations

from collections.abc import Sequence

from rlm_kernel.events.values import Message
from rlm_kernel.host.ledger import Ledger
from rlm_kernel.host.models import Models
from rlm_kernel.host.providers import Model, OnText, Reply


async def ask(
    models: Models, ledger: Ledger, model: Model, messages: Sequence[Message], on_text: OnText | None = None
) -> Reply:
    """Ask a model; the reply's usage has its price, where that is known.

    Raises
    ------
    LimitReached
        What is left of the tokens or the money is not enough. Nothing was sent.
    ModelError
        The messages are longer than the model can read, or it failed.
    """
    name = model.name
    models.windows.check(name, sum(len(message.content) for message in messages))
    async with ledger.account.request(name, messages) as reserved, models.widths.of(name):
        reply = await model.complete(messages, on_text, max_tokens=reserved.max_tokens)
        usage = ledger.account.charge(name, messages, reply.text, reply.usage)
        return Reply(reply.text, usage, reply.reasoning, reply.finish)
