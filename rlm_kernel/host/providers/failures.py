"""What went wrong with a request, from either SDK's error: one line that a person can act on, and its HTTP status."""

from __future__ import annotations

import textwrap
from types import ModuleType
from typing import Any

__all__ = ["OVERLOADED", "explain", "status_of"]

OVERLOADED = frozenset({429, 503, 529})
"""Statuses that say: asked too often, or by too many."""

BROKEN = ("ReadError", "RemoteProtocolError", "WriteError")  # of httpx or httpx2, whichever the SDK brings
STATUS_OF_TYPE = {  # of errors that Anthropic sends within a stream, whose own status was 200
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def status_of(error: Exception) -> int | None:
    """Return the HTTP status, also of an error that came within a stream."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and status >= 400:
        return status
    body = _body(error)
    code = body.get("code")  # OpenRouter's is the status
    if isinstance(code, int) and 400 <= code < 600:
        return code
    return STATUS_OF_TYPE.get(str(body.get("type")))


def explain(error: Exception, sdk: ModuleType, provider: str, key_variable: str) -> str:
    """Return what happened, and what to do: the end of a sentence that begins with the model and its address."""
    status = getattr(error, "status_code", 0)
    if status >= 400:
        return f"{_refusal(status, _detail(error), key_variable)} (HTTP {status}: {_detail(error)})"
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
    return f"sent what is not a model's reply ({what}). Check that base_url speaks {provider}'s protocol."


def _refusal(status: int, detail: str, key_variable: str) -> str:
    if status in (401, 403):
        return f"refused the key. Check {key_variable} or api_key."
    if status == 402:
        return "wants to be paid first. Check the account's credit."
    if status == 404:
        return "does not have this model or address. Check the model's name and base_url."
    if status == 408:
        return "gave up waiting for the request, after retries. Try again."
    if status == 429:
        return "still limits the rate after retries. Wait, lower max_concurrency, or check the account's quota."
    if status >= 500:
        return "failed on its own side, after retries. Try again later."
    if status == 413 or "context" in detail.lower() or "too long" in detail.lower():
        return "cannot take a prompt this long. Send a smaller piece."
    return "refused the request. Check sampling and the model's name."


def _refused_connection(error: BaseException) -> OSError | None:
    """Find the system's refusal among the causes of an SDK's error."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and len(causes) < 10:
        causes.append(cause)
    return next((c for c in causes if isinstance(c, OSError) and not isinstance(c, TimeoutError)), None)


def _body(error: Any) -> dict[str, Any]:
    """Return the server's error object: OpenAI's SDK unwraps ``{"error": ...}``, Anthropic's does not."""
    body = getattr(error, "body", None)
    if isinstance(body, dict):
        inner = body.get("error", body)
        return inner if isinstance(inner, dict) else {"message": inner}
    return {"message": body}


def _detail(error: Exception) -> str:
    return _one_line(_body(error).get("message") or error)


def _one_line(text: object) -> str:
    return textwrap.shorten(str(text), 200, placeholder=" ...").rstrip(".")
