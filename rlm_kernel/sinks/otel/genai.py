"""The attributes of OpenTelemetry's semantic conventions for generative AI, out of events' values.

Names follow the repository ``open-telemetry/semantic-conventions-genai`` (2026; status: Development), where they have
moved after v1.41 of the general conventions. What it has no name for is under ``rlm.``, see `rlm_kernel.sinks.otel`.
Nothing here imports OpenTelemetry.
"""

from __future__ import annotations

import builtins
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rlm_kernel.events.values import Message, Usage
from rlm_kernel.sinks.text import line, plain

CONTENT_CHARACTERS = 50_000
"""What an attribute holds of one text; backends refuse what is much longer."""
NAME_CHARACTERS = 100
PROVIDERS = {"azure": "azure.ai.openai", "gemini": "gcp.gemini"}
"""The conventions' names for providers, where they differ from ours."""
IN_PROCESS = ("policy", "callable")
"""Providers that are no other process: a program of ours, and a function of the caller's."""
SAMPLING = {
    "frequency_penalty": "frequency_penalty",
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_tokens",
    "presence_penalty": "presence_penalty",
    "seed": "seed",
    "stop": "stop_sequences",
    "stop_sequences": "stop_sequences",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
}
"""Arguments of ``sampling`` -> what stands behind ``gen_ai.request.``."""

Attributes = dict[str, Any]

_HEADER = re.compile(r"^([A-Za-z]+) +Traceback \(most recent call last\)$", re.MULTILINE)
_HTTP = re.compile(r"\bHTTP (\d{3})\b")
_LIMIT = re.compile(r"limit (max_[a-z_]{1,30})=")


def model(name: str) -> Attributes:
    """Return the attributes of ``provider/model``; a model without a provider is a function of the caller's."""
    provider, slash, rest = name.partition("/")
    if not slash:
        provider, rest = "callable", name
    return {
        "gen_ai.provider.name": PROVIDERS.get(provider, label(provider)),
        "gen_ai.request.model": label(rest),
    }


def sampling(arguments: Any) -> Attributes:
    """Return the request's attributes of a run's ``sampling``."""
    found: Attributes = {}
    for name, value in arguments.items() if isinstance(arguments, Mapping) else ():
        if name not in SAMPLING:
            continue
        if SAMPLING[name] == "stop_sequences":
            value = [value] if isinstance(value, str) else value
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        else:
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        if fits:
            found[f"gen_ai.request.{SAMPLING[name]}"] = value
    return found


def usage(used: Usage, *, paid: bool) -> Attributes:
    """Return what a model call used; nothing is said where nothing is known, or where nothing was asked of a provider.

    ``paid`` is false for a call that was answered from a recording: its tokens are nobody's bill of today.
    """
    if not paid or not used.calls:
        return {}
    found: Attributes = {}
    if used.unreported < used.calls:
        found = {
            "gen_ai.usage.input_tokens": used.input_tokens,
            "gen_ai.usage.output_tokens": used.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": used.cache_read_tokens,
            "gen_ai.usage.cache_write.input_tokens": used.cache_write_tokens,
        }
        found = {name: count for name, count in found.items() if count or "cache" not in name}
    if used.calls > 1:  # a result that was refused, and asked for again
        found["rlm.usage.calls"] = used.calls
    return found | cost(used)


def totals(used: Usage) -> Attributes:
    """Return what a whole run used, outside ``gen_ai.``: whoever adds that up over a trace must not count it twice."""
    tokens = {"rlm.usage.input_tokens": used.input_tokens, "rlm.usage.output_tokens": used.output_tokens}
    unreported = {"rlm.usage.unreported_calls": used.unreported} if used.unreported else {}
    return {"rlm.usage.calls": used.calls, **tokens, **unreported, **cost(used)}


def cost(used: Usage) -> Attributes:
    """Return the US dollars that are known, and how many calls' are not."""
    unpriced = {"rlm.usage.unpriced_calls": used.unpriced} if used.unpriced else {}
    return unpriced if used.unpriced == used.calls else {"rlm.cost": used.cost, **unpriced}


def messages(items: Iterable[Message]) -> str:
    """Return chat messages as the conventions' JSON."""
    return _json([{"role": m.role, "parts": [{"type": "text", "content": content(m.content)}]} for m in items])


def value(name: str, text: str) -> str:
    """Return a text as a JSON object with one field."""
    return _json({name: content(text)})


def content(text: str) -> str:
    """Return a text that any exporter can encode, cut where it is long: one lone surrogate would lose a whole batch."""
    more = len(text) - CONTENT_CHARACTERS
    cut = f"{text[:CONTENT_CHARACTERS]}\n… {more:,} more characters" if more > 0 else text
    return cut.encode("utf-8", "replace").decode()


def label(text: str) -> str:
    """Return a name that a model may have chosen as one short line."""
    return line(text, NAME_CHARACTERS).encode("utf-8", "replace").decode()


def error_type(reason: str, otherwise: str) -> str:
    """Return a class of failures for a reason: the HTTP status or the limit it names, else ``otherwise``.

    The reason itself may quote prompts and replies.
    """
    for pattern in (_HTTP, _LIMIT):
        if found := pattern.search(reason):
            return found[1]
    return otherwise


def exception(traceback: str) -> str:
    """Return the class of the exception that ended a cell; one that is not Python's own is ``error``."""
    if header := _HEADER.search(plain(traceback[:4000])):
        name = header[1]
    else:  # a SyntaxError has none
        name = plain(traceback[-4000:]).strip().rpartition("\n")[2].partition(":")[0].strip()
    kind = getattr(builtins, name, None) if name.isidentifier() else None
    return name if isinstance(kind, type) and issubclass(kind, BaseException) else "error"


def _json(found: Any) -> str:
    return json.dumps(found, ensure_ascii=False)
