"""What models behind a vendor's SDK share: one lazy client, streamed replies, and errors a person can act on."""

from __future__ import annotations

import os
import textwrap
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from rlm_kernel.errors import MissingKeyError, ModelError, OptionError, RLMError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import ModelOptions, OnText, Reply

PLACEHOLDER_KEY = "none"  # for servers behind a base_url that want no key; the SDKs insist on one
BROKEN = ("ReadError", "RemoteProtocolError", "WriteError")  # of httpx or httpx2, whichever the SDK brings


class SDKModel(ABC):
    """A model that a vendor's SDK reaches; used from one event loop between two calls of `aclose`.

    A subclass names its provider and variables, connects a client, and turns one request into pieces.

    Raises
    ------
    MissingKeyError
        Neither a key nor another address is configured.
    OptionError
        ``base_url`` is not an HTTP address.
    """

    provider: ClassVar[str]
    key_variable: ClassVar[str]
    url_variable: ClassVar[str]

    def __init__(self, model: str, options: ModelOptions) -> None:
        self.name = f"{self.provider}/{model}"
        self._model = model
        self._sampling = options.sampling
        self._base_url = options.base_url or os.environ.get(self.url_variable) or None
        self._key = (options.api_key or os.environ.get(self.key_variable) or "").strip()
        self._client: Any = None
        if self._base_url and not _is_http(self._base_url):
            raise OptionError(f"base_url of {self.name} is not an address such as http://localhost:8000/v1.")
        if not (self._key or self._base_url):
            raise MissingKeyError(
                f"{self.name} needs a key: set {self.key_variable}, or pass api_key=. "
                "Without a key use local/smollm2, or a base_url whose server wants none."
            )

    @abstractmethod
    def _sdk(self) -> ModuleType:
        """Import the SDK; called at the first request, never at import time."""

    @abstractmethod
    def _connect(self) -> Any:
        """Make the SDK's async client; called inside the event loop that will use it."""

    @abstractmethod
    def _pieces(self, client: Any, messages: Sequence[Message], watched: bool) -> AsyncGenerator[str | Usage, None]:
        """Ask once; yield text as it comes, and the call's usage if the provider tells it.

        Where nobody watches the text come, a provider may ask for the whole reply: a stream costs twice the work.
        """

    async def complete(self, messages: Sequence[Message], on_text: OnText | None = None) -> Reply:
        """Answer a chat; see `rlm_kernel.host.providers.base.Model.complete`."""
        texts: list[str] = []
        usage = Usage.of_call(None, None)
        async with aclosing(self._checked_pieces(messages, on_text is not None)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Usage):
                    usage = piece
                    continue
                texts.append(piece)
                if on_text is not None:
                    on_text(piece)
        return Reply("".join(texts), usage)

    async def aclose(self) -> None:
        """Close the client's connections; a later `complete` opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _checked_pieces(self, messages: Sequence[Message], watched: bool) -> AsyncGenerator[str | Usage, None]:
        # Only SDK and HTTP code runs in here (on_text does not), so whatever is raised is a failed model call.
        try:
            if self._client is None:
                self._client = self._connect()
            async with aclosing(self._pieces(self._client, messages, watched)) as pieces:
                async for piece in pieces:
                    yield piece
        except RLMError:
            raise
        except Exception as error:
            raise self._error(self._what_happened(error)) from error

    def _refused_option(self, error: TypeError) -> OptionError:
        return OptionError(
            f"sampling of {self.name} has what its SDK refuses: {_one_line(error)}. "
            "What only the server knows goes into sampling={'extra_body': {...}}."
        )

    def _error(self, what_happened: str) -> ModelError:
        url = urlsplit(self._base_url or "")
        for secret in filter(None, (self._key, url.password, url.query)):  # a server may echo what it was sent
            what_happened = what_happened.replace(secret, "***")
        return ModelError(f"{self.name} at {self._address()} {what_happened}")

    def _address(self) -> str:
        """Scheme, host and path; user information and query may hold secrets."""
        url = urlsplit(str(self._client.base_url) if self._client is not None else self._base_url or "")
        return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}"

    def _what_happened(self, error: Exception) -> str:
        sdk = self._sdk()
        status = getattr(error, "status_code", 0)
        if status >= 400:
            return f"{self._refusal(status, _detail(error))} (HTTP {status}: {_detail(error)})"
        cause = error.__cause__ or error
        if type(cause).__name__ in BROKEN:
            return f"broke off the connection ({_one_line(cause)}). Try again."
        if (refused := _refused_connection(error)) is not None:  # aiohttp's transport calls it a timeout
            return f"could not be reached ({_one_line(refused)}). Check base_url and that the server is running."
        if isinstance(error, sdk.APITimeoutError) or "Timeout" in type(error).__name__:
            return "gave no reply in time. Try again, or raise the timeout in sampling."
        if isinstance(error, sdk.APIConnectionError):
            return f"could not be reached ({_one_line(cause)}). Check base_url and that the server is running."
        if isinstance(error, sdk.APIError):
            return f"failed while it replied. Try again. ({_detail(error)})"
        what = f"{type(error).__name__}: {_one_line(error)}"
        return f"sent what is not a model's reply ({what}). Check that base_url speaks {self.provider}'s protocol."

    def _refusal(self, status: int, detail: str) -> str:
        if status in (401, 403):
            return f"refused the key. Check {self.key_variable} or api_key."
        if status == 404:
            return "does not have this model or address. Check the model's name and base_url."
        if status == 429:
            return "still limits the rate after retries. Wait, lower max_concurrency, or check the account's quota."
        if status >= 500:
            return "failed on its own side, after retries. Try again later."
        if status == 413 or "context" in detail.lower() or "too long" in detail.lower():
            return "cannot take a prompt this long. Send a smaller piece."
        return "refused the request. Check sampling and the model's name."


def _is_http(address: str) -> bool:
    try:
        url = urlsplit(address)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is no number, or an open bracket
        return False


def _refused_connection(error: BaseException) -> OSError | None:
    """Find the system's refusal among the causes of an SDK's error."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 10:
        causes.append(cause)
    return next((c for c in causes if isinstance(c, OSError) and not isinstance(c, TimeoutError)), None)


def _detail(error: Any) -> str:
    """Find the server's own words in either SDK's error: OpenAI unwraps ``{"error": ...}``, Anthropic does not."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        body = inner.get("message") if isinstance(inner, dict) else inner
    return _one_line(body or error)


def _one_line(text: object) -> str:
    return textwrap.shorten(str(text), 200, placeholder=" ...").rstrip(".")
