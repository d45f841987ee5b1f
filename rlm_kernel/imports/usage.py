"""What models have used, as the logs of other harnesses say it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rlm_kernel.events.values import Usage
from rlm_kernel.imports.lines import Record, count, number, record

UNKNOWN = Usage.of_call(None, None)
"""Of a call of which the log does not say what it used."""


def of_summary(value: Any) -> Usage | None:
    """Read a ``usage_summary`` of `rlms`, all models together; ``None`` where it names no model."""
    models = record(record(value).get("model_usage_summaries"))
    return sum((_of_model(record(used)) for used in models.values()), Usage()) if models else None


def of_ours(value: Any) -> Usage | None:
    """Read the fields of our `Usage`; ``None`` where they are not there."""
    if not isinstance(value, dict) or "calls" not in value:
        return None
    names = [field.name for field in fields(Usage) if field.name != "cost"]
    return Usage(**{name: count(value.get(name)) for name in names}, cost=number(value.get("cost")) or 0.0)


def of_step(value: Any) -> Usage:
    """Read a ``usage`` of fast-rlm. Its zeros stand for what it was not told."""
    used = record(value)
    tokens = [count(used.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    known = tokens if any(tokens) else [None, None]
    return Usage.of_call(
        *known, cache_read_tokens=count(used.get("cached_tokens")), cost=number(used.get("cost")) or None
    )


def own(whole: Usage, plain: Usage, replies: int) -> Usage | None:
    """Return what the replies of a child used, out of a total that may hold its plain calls too.

    `rlms` counts those plain calls that went through the child's own handler. The number of calls tells whether all of
    them did, or none; where it tells neither, nothing is known: ``None``.
    """
    if whole.calls == replies:
        return whole
    if whole.calls != replies + plain.calls:
        return None
    left = {field.name: max(0, getattr(whole, field.name) - getattr(plain, field.name)) for field in fields(Usage)}
    return Usage(**left)


def _of_model(used: Record) -> Usage:
    calls = count(used.get("total_calls"))
    cost = number(used.get("total_cost"))
    return Usage(
        calls,
        count(used.get("total_input_tokens")),
        count(used.get("total_output_tokens")),
        min(calls, count(used.get("unreported"))),
        cost=cost or 0.0,
        unpriced=calls if cost is None else min(calls, count(used.get("unpriced"))),
    )
