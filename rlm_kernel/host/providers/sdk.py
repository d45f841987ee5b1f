"""What models behind a vendor's SDK share: one lazy client, streamed replies, and errors a person can act on."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from rlm_kernel.errors import ModelError, RLMError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import ModelOptions, OnText, Reply
from rlm_kernel.host.providers.failures import OVERLOADED, explain, status_of
from rlm_kernel.host.providers.sampling import check_sampling
from rlm_kernel.host.providers.server import Server

__all__ = ["PLACEHOLDER_KEY", "Piece", "SDKModel", "count", "number"]

SECRET_LEAST = 6  # characters; "key" or "EMPTY" for a server that wants none would hide half of an error
PLACEHOLDER_KEY = "none"  # for servers that want no key; the SDKs insist on one
_connecting = threading.Lock()  # a thread may be getting a model ready


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a reply, as it comes: texts add up, of the rest the last one counts."""

    text: str = ""
    reasoning: str = ""
    usage: Usage | None = None
    finish: str | None = None


class SDKModel(ABC):
    """A model that a vendor's SDK reaches; used from one event loop between two calls of `aclose`.

    The models of a run that are behind one server have one client, with its connections.

    A subclass names the parameters that are not the caller's to give, connects a client, and turns one request into
    pieces.

    Raises
    ------
    MissingKeyError
        A key is needed and not configured.
    OptionError
        ``base_url`` is not an HTTP address, or ``sampling`` has what the SDK does not take.
    """

    reserved: ClassVar[Iterable[str]] = ()

    def __init__(self, model: str, options: ModelOptions, server: Server) -> None:
        self.name = f"{server.provider}/{model}"
        self._model = model
        self._server = server
        self._sampling = options.sampling
        self._on_overload = options.on_overload
        self._base_url = server.address(self.name, options)
        self._key = server.key(self.name, options)
        self._clients = options.clients
        self._place = (type(self), server.provider, self._base_url, self._key)
        if self._sampling:  # importing the SDK takes half a second, which the first request would take anyway
            check_sampling(self.name, self._sampling, self._create(), self.reserved)

    def get_ready(self) -> None:
        """Do what the first request would wait for: import the SDK, load certificates. It may be called in a thread."""
        self._connected()

    @property
    def key(self) -> str:
        """The key, so that it can be kept out of what is written down; empty where there is none."""
        return self._key

    @property
    def secrets(self) -> list[str]:
        """What no error and no event may hold: the key, and what the address and extra headers may hide."""
        url = urlsplit(self._base_url or "")
        headers = self._sampling.get("extra_headers") or {}
        texts = [self._key, url.password or "", url.query, *map(str, headers.values())]
        return [text for text in texts if len(text) >= SECRET_LEAST]

    @abstractmethod
    def _sdk(self) -> ModuleType:
        """Import the SDK; never called at import time."""

    @abstractmethod
    def _create(self) -> Callable[..., Any]:
        """Return the SDK's method that a request goes through."""

    @abstractmethod
    def _connect(self) -> Any:
        """Make the SDK's async client, which opens no connection yet."""

    @abstractmethod
    def _pieces(
        self, client: Any, messages: Sequence[Message], watched: bool, max_tokens: int | None
    ) -> AsyncGenerator[Piece, None]:
        """Ask once; yield what comes.

        Where nobody watches the text come, a provider may ask for the whole reply: a stream costs twice the work.
        """

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        """Answer a chat; see `rlm_kernel.host.providers.base.Model.complete`."""
        texts: list[str] = []
        thoughts: list[str] = []
        usage, finish = Usage.of_call(None, None), None
        async with aclosing(self._checked_pieces(messages, on_text is not None, max_tokens)) as pieces:
            async for piece in pieces:
                texts.append(piece.text)
                thoughts.append(piece.reasoning)
                usage = piece.usage or usage
                finish = piece.finish or finish
                if piece.text and on_text is not None:
                    on_text(piece.text)
        text, thought = without_thoughts("".join(texts))
        return Reply(text, usage, "".join(thoughts) + thought, finish)

    async def aclose(self) -> None:
        """Close the client's connections; a later `complete` opens new ones."""
        client = self._clients.pop(self._place, None)
        if client is not None:
            await client.close()

    async def _checked_pieces(
        self, messages: Sequence[Message], watched: bool, max_tokens: int | None
    ) -> AsyncGenerator[Piece, None]:
        # Only SDK and HTTP code runs in here (on_text does not), so whatever is raised is a failed model call.
        try:
            async with aclosing(self._pieces(self._connected(), messages, watched, max_tokens)) as pieces:
                async for piece in pieces:
                    yield piece
        except RLMError:
            raise
        except Exception as error:
            raise self._failure(error) from error

    @property
    def _client(self) -> Any:
        return self._clients.get(self._place)

    def _connected(self) -> Any:
        with _connecting:
            if self._place not in self._clients:
                self._clients[self._place] = self._connect()
            return self._clients[self._place]

    @property
    def _hooks(self) -> dict[str, list[Any]]:
        """Event hooks for the HTTP client: they see every response, also those after which the SDK tries again."""
        return {} if self._on_overload is None else {"response": [self._watch]}

    async def _watch(self, response: Any) -> None:
        if response.status_code in OVERLOADED:
            self._overloaded()

    def _overloaded(self) -> None:
        if self._on_overload is not None:
            self._on_overload()

    def _failure(self, error: Exception) -> ModelError:
        status = status_of(error)
        if status in OVERLOADED and getattr(error, "status_code", 0) != status:
            self._overloaded()  # told within a stream, which no hook sees
        return self._error(explain(error, self._sdk(), self._server.provider, self._server.key_variable), status)

    def _error(self, what_happened: str, status: int | None = None) -> ModelError:
        for secret in self.secrets:  # a server may echo what it was sent
            what_happened = what_happened.replace(secret, "***")
        error = ModelError(f"{self.name} at {self._address()} {what_happened}")
        error.status = status
        return error

    def _unfinished(self, response: Any) -> ModelError:
        kind = response.headers.get("content-type", "no content type")
        return self._error(f"ended its reply before it was complete ({kind}). Try again, or check base_url.")

    def _address(self) -> str:
        """Scheme, host and path; user information and query may hold secrets."""
        url = urlsplit(str(self._client.base_url) if self._client is not None else self._base_url or "")
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}"


def number(body: Any, *path: str) -> float | None:
    """Read a number that is not negative out of an SDK's object or a dict; ``None`` where there is none."""
    for name in path:
        body = body.get(name) if isinstance(body, dict) else getattr(body, name, None)
    plain = isinstance(body, int | float) and not isinstance(body, bool)
    return body if plain and body >= 0 else None


def count(body: Any, *path: str) -> int | None:
    """Read a number of tokens, as `number` does."""
    found = number(body, *path)
    return None if found is None else int(found)


def without_thoughts(text: str) -> tuple[str, str]:
    """Tell a reply from the thoughts before it, which some servers leave in the text between ``<think>`` tags."""
    thought, closed, rest = text.partition("</think>")
    if not closed or not thought.lstrip().startswith("<think>"):
        return text, ""
    return rest.lstrip("\n"), thought.lstrip().removeprefix("<think>")
