"""What a server is told to do while a provider is checked (see `conformance`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from rlm_kernel.errors import RLMError
from rlm_kernel.host.providers.base import Model, ModelOptions

__all__ = ["Behaviour", "Breaks", "Connect", "Fails", "Says", "Unsupported", "Waits"]


class Unsupported(RLMError):
    """Raised by ``connect`` for what the provider's protocol cannot express; the check is left out."""


@dataclass(frozen=True)
class Says:
    """The server gives this reply to every request.

    ``usage`` is (input, output) tokens, ``None`` where it tells none; ``finish`` is in our words (``stop``, ``length``,
    ``refusal``); the first piece comes after ``delay`` seconds. The server notes each request's limit of tokens in
    ``limits``.
    """

    text: str = "four words of text"
    usage: tuple[int, int] | None = (7, 5)
    reasoning: str = ""
    finish: str = "stop"
    delay: float = 0.0
    limits: list[int | None] = field(default_factory=list)


@dataclass(frozen=True)
class Fails:
    """The server refuses every request with an HTTP status, and asks to be tried again at once."""

    status: int
    message: str = "no luck"


@dataclass(frozen=True)
class Breaks:
    """The server breaks off the connection after a piece of a streamed reply."""

    text: str = "half a"


@dataclass(frozen=True)
class Waits:
    """The server sends ``text``, if it is not empty, and then nothing until the client leaves.

    It sets ``reached`` when it has come so far, and ``left`` when the client has closed the connection.
    """

    text: str = ""
    reached: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)


Behaviour = Says | Fails | Breaks | Waits
Connect = Callable[[Behaviour, ModelOptions], AbstractAsyncContextManager[Model]]
