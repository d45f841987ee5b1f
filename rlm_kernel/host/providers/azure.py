"""Models that are deployed on Azure."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from rlm_kernel.errors import MissingKeyError, OptionError
from rlm_kernel.host.providers.base import ModelOptions
from rlm_kernel.host.providers.openai import OpenAIModel
from rlm_kernel.host.providers.server import Server

__all__ = ["AZURE", "AzureModel"]

AZURE = Server(
    provider="azure",
    key_variable="AZURE_OPENAI_API_KEY",
    url_variable="AZURE_OPENAI_ENDPOINT",
    limit="max_completion_tokens",
)
VERSION = "OPENAI_API_VERSION"
EXAMPLE = "https://my-resource.openai.azure.com"


class AzureModel(OpenAIModel):
    """``azure/<deployment>``: the endpoint is ``base_url`` or ``AZURE_OPENAI_ENDPOINT``.

    With ``OPENAI_API_VERSION`` set, or ``?api-version=`` in the endpoint, requests go to the deployment's own path, as
    Azure's dated versions want it; without it to the endpoint's ``/openai/v1``, which needs no version.

    Raises
    ------
    MissingKeyError
        Neither ``api_key`` nor ``AZURE_OPENAI_API_KEY`` is given.
    OptionError
        There is no endpoint, or ``sampling`` has what the SDK does not take.
    """

    def __init__(self, model: str, options: ModelOptions) -> None:
        super().__init__(model, options, AZURE)
        if not self._key:
            raise MissingKeyError(f"{self.name} needs a key: set {AZURE.key_variable}, or pass api_key=.")
        if not self._base_url:
            raise OptionError(f"{self.name} needs your endpoint: set {AZURE.url_variable}, such as {EXAMPLE}.")

    def _connect(self) -> Any:
        endpoint, version = _endpoint(self._base_url or "")
        sdk, arguments = self._sdk(), self._arguments()
        if version is None:
            return self._private(sdk.AsyncOpenAI(**arguments | {"base_url": f"{endpoint}/openai/v1"}))
        address = {"base_url": None, "azure_endpoint": endpoint, "api_version": version}
        return self._private(sdk.AsyncAzureOpenAI(**arguments | address))


def _endpoint(address: str) -> tuple[str, str | None]:
    """Return the endpoint without what the SDK adds to it, and the API version if one is asked for."""
    url = urlsplit(address)
    path = url.path.rstrip("/")
    version = dict(parse_qsl(url.query)).get("api-version") or os.environ.get(VERSION) or None
    if path.endswith("/openai/v1"):
        version = None
    endpoint = path.removesuffix("/v1").removesuffix("/openai")
    return f"{url.scheme}://{url.netloc}{endpoint}", version
