"""A run as a pandas frame, one row per whatever is to be counted, plotted or compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from rlm_kernel.errors import OptionError
from rlm_kernel.events import codec
from rlm_kernel.events.tree import Iteration, Node, Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.markup import encodable

if TYPE_CHECKING:
    from pandas import DataFrame

Rows = Literal["calls", "nodes", "iterations", "cells", "events"]
Row = dict[str, Any]

_INT, _FLOAT, _BOOL, _TEXT, _TIME = "Int64", "Float64", "boolean", "string", "time"
_USAGE = {
    "model_calls": _INT,
    "input_tokens": _INT,
    "output_tokens": _INT,
    "cache_read_tokens": _INT,
    "cost": _FLOAT,
}
_HOW = {"started": _TIME, "seconds": _FLOAT, **_USAGE, "error": _TEXT}

COLUMNS: dict[str, dict[str, str]] = {
    "calls": {
        "call": _TEXT,
        "parent": _TEXT,
        "iteration": _INT,
        "cell": _INT,
        "kind": _TEXT,
        "depth": _INT,
        "model": _TEXT,
        "state": _TEXT,
        "cached": _BOOL,
        **_HOW,
        "prompt": _TEXT,
        "reply": _TEXT,
    },
    "nodes": {
        "node": _TEXT,
        "depth": _INT,
        "model": _TEXT,
        "state": _TEXT,
        "stop_reason": _TEXT,
        "iterations": _INT,
        "cells": _INT,
        "calls": _INT,
        **_HOW,
        "subtree_model_calls": _INT,
        "subtree_tokens": _INT,
        "subtree_cost": _FLOAT,
        "question": _TEXT,
        "answer": _TEXT,
    },
    "iterations": {
        "node": _TEXT,
        "iteration": _INT,
        "model": _TEXT,
        "cells": _INT,
        "calls": _INT,
        "seconds": _FLOAT,
        "cell_seconds": _FLOAT,
        **_USAGE,
        "text": _TEXT,
    },
    "cells": {
        "node": _TEXT,
        "iteration": _INT,
        "cell": _INT,
        "status": _TEXT,
        "seconds": _FLOAT,
        "calls": _INT,
        "tools": _INT,
        "code": _TEXT,
        "stdout": _TEXT,
        "stderr": _TEXT,
        "error": _TEXT,
    },
    "events": {"seq": _INT, "time": _TIME, "node": _TEXT, "type": _TEXT, "content": _TEXT},
}
"""The columns of each kind of frame, in order, and their pandas types; ``time`` is a time in UTC."""


def to_frame(events: Iterable[Event], of: Rows = "calls") -> DataFrame:
    """Return a run as a frame. What is not known is missing (``NA``), never zero.

    ``seconds`` are wall time; ``cell_seconds`` those of an iteration's cells, ``seconds`` its model's. ``started`` and
    ``time`` are UTC. ``cost`` is in US dollars, of the calls whose price is known. Tokens are summed over the calls
    that reported them; ``input_tokens`` include ``cache_read_tokens``, which the provider's prompt cache gave.
    ``subtree_...`` includes everything below. Types are pandas's nullable ones.

    Parameters
    ----------
    events
        The run's events, in order; any prefix of them will do.
    of
        What a row is: a sub-call, plain or a child RLM (``calls``), an RLM, the root among them (``nodes``), a turn of
        a root model (``iterations``), a cell (``cells``), or an event (``events``), its fields as JSON in ``content``.

    Raises
    ------
    OptionError
        ``of`` is none of these, or pandas is not installed.
    """
    if of not in COLUMNS:
        raise OptionError(f"of={of!r}: expected one of {', '.join(map(repr, COLUMNS))}.")
    try:
        import pandas as pd
    except ImportError:
        raise OptionError("A frame needs the package pandas. Install it: pip install pandas") from None

    rows = list(_events(events)) if of == "events" else list(_MAKERS[of](fold(events)))
    columns = {}
    for name, kind in COLUMNS[of].items():
        values = [row[name] for row in rows]
        if kind == _TIME:
            columns[name] = pd.to_datetime(pd.Series(values, dtype="Float64"), unit="s", utc=True)
        else:
            columns[name] = pd.Series([_storable(value) for value in values], dtype=kind)
    return pd.DataFrame(columns)


def _calls(tree: Tree) -> Iterator[Row]:
    for parent in tree.root.walk():
        places = {
            call.id: (turn.index, cell.index)
            for turn in parent.iterations
            for cell in turn.cells
            for call in cell.calls
        }
        for call in parent.calls:
            iteration, cell = places.get(call.id, (None, None))
            yield {
                "call": call.id,
                "parent": parent.id,
                "iteration": iteration,
                "cell": cell,
                "kind": call.kind,
                "depth": call.depth,
                "model": call.model,
                "state": call.state,
                "cached": call.cached,
                **_how(call),
                "prompt": call.question,
                "reply": call.text,
            }


def _nodes(tree: Tree) -> Iterator[Row]:
    for node in tree.root.walk():
        if node.kind == "rlm":
            below = node.subtree_usage
            yield {
                "node": node.id,
                "depth": node.depth,
                "model": node.model,
                "state": node.state,
                "stop_reason": node.stop_reason,
                "iterations": len(node.iterations),
                "cells": sum(len(turn.cells) for turn in node.iterations),
                "calls": len(node.calls),
                **_how(node),
                "subtree_model_calls": below.calls,
                "subtree_tokens": _known(below.tokens, below.unreported, below),
                "subtree_cost": _known(below.cost, below.unpriced, below),
                "question": node.question,
                "answer": node.text,
            }


def _turns(tree: Tree) -> Iterator[tuple[Node, Iteration]]:
    for node in tree.root.walk():
        for turn in node.iterations:
            yield node, turn


def _iterations(tree: Tree) -> Iterator[Row]:
    for node, turn in _turns(tree):
        yield {
            "node": node.id,
            "iteration": turn.index,
            "model": node.model,
            "cells": len(turn.cells),
            "calls": sum(len(cell.calls) for cell in turn.cells),
            "seconds": turn.seconds,
            "cell_seconds": sum(cell.seconds or 0.0 for cell in turn.cells),
            **_usage(turn.usage if turn.replied else Usage.of_call(None, None)),
            "text": turn.text,
        }


def _cells(tree: Tree) -> Iterator[Row]:
    for node, turn in _turns(tree):
        for cell in turn.cells:
            texts = {"stdout": "", "stderr": "", "error": ""}
            for output in cell.outputs:
                texts[output.kind if output.kind in texts else "stdout"] += output.text
            yield {
                "node": node.id,
                "iteration": turn.index,
                "cell": cell.index,
                "status": cell.status,
                "seconds": cell.seconds,
                "calls": len(cell.calls),
                "tools": len(cell.tools),
                "code": cell.code,
                **texts,
            }


def _events(events: Iterable[Event]) -> Iterator[Row]:
    for event in events:
        content = codec.to_json(event)
        yield {"seq": event.seq, "time": event.time or None, "node": event.node, "type": event.type, "content": content}


_MAKERS: dict[str, Callable[[Tree], Iterator[Row]]] = {
    "calls": _calls,
    "nodes": _nodes,
    "iterations": _iterations,
    "cells": _cells,
}


def _how(node: Node) -> Row:
    """Return when it began, how long it took, what it used and why it failed."""
    return {"started": node.started or None, "seconds": node.seconds, **_usage(node.usage), "error": node.error}


def _usage(usage: Usage) -> Row:
    return {
        "model_calls": usage.calls,
        "input_tokens": _known(usage.input_tokens, usage.unreported, usage),
        "output_tokens": _known(usage.output_tokens, usage.unreported, usage),
        "cache_read_tokens": _known(usage.cache_read_tokens, usage.unreported, usage),
        "cost": _known(usage.cost, usage.unpriced, usage),
    }


def _known(value: float, unknown: int, usage: Usage) -> float | None:
    """Return a sum, unless it is of calls of which none is known."""
    return None if usage.calls and unknown == usage.calls else value


def _storable(value: Any) -> Any:
    return encodable(value) if isinstance(value, str) else value
