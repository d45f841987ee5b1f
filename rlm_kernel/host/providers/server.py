"""Where a provider is, and the small differences in how it wants to be asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from rlm_kernel.errors import MissingKeyError, OptionError
from rlm_kernel.host.providers.base import ModelOptions

__all__ = ["Server"]


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that an SDK can reach.

    Attributes
    ----------
    provider
        What stands before the slash in ``provider/model``.
    base_url
        Its address unless the caller gives another; ``None`` is the SDK's own.
    key_variable, url_variable
        Environment variables with the key and with another address; by default ``<PROVIDER>_API_KEY`` and
        ``<PROVIDER>_BASE_URL``.
    keyless
        Whether it may be asked without a key, as servers on one's own machine are. Elsewhere a key is needed unless
        the caller gives another address.
    limit
        Its name for the largest number of tokens in a reply.
    key_header
        A header that carries the key instead of ``Authorization``.
    extra_body
        Fields of every request beyond the protocol's own.
    cost_header
        A header of whole replies that tells their price in US dollars.
    """

    provider: str
    base_url: str | None = None
    key_variable: str = ""
    url_variable: str = ""
    keyless: bool = False
    limit: str = "max_tokens"
    key_header: str | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    cost_header: str | None = None

    def __post_init__(self) -> None:
        prefix = self.provider.upper().replace("-", "_")
        object.__setattr__(self, "key_variable", self.key_variable or f"{prefix}_API_KEY")
        object.__setattr__(self, "url_variable", self.url_variable or f"{prefix}_BASE_URL")

    def address(self, name: str, options: ModelOptions) -> str | None:
        """Return where to ask, or ``None`` for the SDK's own address.

        Raises
        ------
        OptionError
            It is not an HTTP address.
        """
        given = options.base_url or os.environ.get(self.url_variable)
        if given and not _is_http(given):
            source = "base_url" if options.base_url else self.url_variable
            raise OptionError(f"{source} of {name} is not an address such as http://localhost:8000/v1.")
        return given or self.base_url

    def key(self, name: str, options: ModelOptions) -> str:
        """Return the key, or nothing where none is needed.

        Raises
        ------
        MissingKeyError
            It is needed and not configured.
        """
        key = (options.api_key or os.environ.get(self.key_variable) or "").strip()
        elsewhere = options.base_url or os.environ.get(self.url_variable)
        if not (key or elsewhere or self.keyless):
            raise MissingKeyError(
                f"{name} needs a key: set {self.key_variable}, or pass api_key=. "
                "Without a key use local/smollm2, or a base_url whose server wants none."
            )
        return key


def _is_http(address: str) -> bool:
    try:
        url = urlsplit(address)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:  # a port that is no number, or an open bracket
        return False
