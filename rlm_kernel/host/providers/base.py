"""The contract of a provider: one async method over plain values.

A provider is found through the entry-point group ``rlm_kernel.providers``: the entry's name is what stands
before the slash in ``provider/model``, its object is a callable ``(model, ModelOptions) -> Model``.
`scripted.py` is the smallest one to copy.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rlm_kernel.events.values import Message, Usage

OnText = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What a provider may need to reach a model.

    Attributes
    ----------
    base_url
        Another address that speaks the provider's protocol.
    api_key
        The key; the provider's own environment variable when ``None``. Never printed.
    sampling
        Arguments for every request, such as ``temperature`` or ``max_tokens``, under the provider's own names.
    on_overload
        Called, in the event loop, each time the provider says that it is asked too often (429, 503, 529), also where
        the SDK then tries again by itself.
    clients
        What is connected, by what it was made of: the models of a run share it.
    """

    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    sampling: Mapping[str, Any] = field(default_factory=dict)
    on_overload: Callable[[], None] | None = field(default=None, repr=False)
    clients: dict[Hashable, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's reply: its text (possibly empty, never ``None``) and the call's own usage.

    ``reasoning`` is what the model thought aloud, where the provider tells it apart. ``finish`` is why it ended:
    ``stop``, ``length`` (cut off by the limit of tokens), ``refusal``, or ``None`` where the provider does not say.
    """

    text: str
    usage: Usage
    reasoning: str = ""
    finish: str | None = None


class Model(Protocol):
    """A model that can be asked."""

    @property
    def name(self) -> str:
        """``provider/model``, as shown to people and written to the journal."""

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        """Answer a chat.

        The engine calls this for a node's every iteration, and the broker for every plain sub-call, many at
        once. ``on_text`` receives pieces of the reply as they stream in, when the provider can. ``max_tokens`` is what
        the run's limits leave for the reply; a lower number in ``sampling`` goes before it.

        Raises
        ------
        ModelError
            The model could not be reached, refused, or sent what is not a reply. The SDK's own retries have
            already happened. Cancelling the call must end the request.
        """

    async def aclose(self) -> None:
        """Release connections. Called once, when the run that owns the model ends."""
