"""A run in the JSON lines of the library `rlms`, which its web viewer opens.

The viewer takes every line whose ``type`` is not ``metadata`` for an iteration, a ``final_answer`` that is missing for
one that is there, and calls methods on texts and times. So there are these two kinds of lines only, no key is ever
missing, texts are texts and times numbers. What its format has no place for is in the key ``rlm_kernel`` of the first
line and of children, in ``usage`` of iterations and ``status`` of cells; the viewer ignores them, and
`rlm_kernel.imports.rlms` reads them. As in `rlms`, every iteration holds all messages its model was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rlm_kernel.events.tree import Cell, Node, Tree, fold
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.exports.dialogues import Turn, turns
from rlm_kernel.exports.json_lines import json_lines

Record = dict[str, Any]


def to_viewer(events: Iterable[Event]) -> str:
    """Return a run as the viewer's JSON lines: its configuration, then each iteration of the root that has a reply.

    Children and their iterations are in ``metadata`` of their call, as in `rlms`; the viewer shows their answers only.
    A token count that is not known is ``null``; a call that failed has its reason in ``error``, and as its response.
    """
    stream = list(events)
    tree, said = fold(stream), turns(stream)
    run = _Run(tree, said)
    first = {"type": "metadata", "timestamp": _iso(tree.started), **run.metadata(tree.root)}
    return json_lines((first, *run.iterations(tree.root)))


class _Run:
    """One run's records."""

    def __init__(self, tree: Tree, said: dict[str, list[Turn]]) -> None:
        self._tree = tree
        self._said = said

    def metadata(self, node: Node) -> Record:
        options = self._tree.options
        backend, slash, model = node.model.partition("/")
        about = {"run": self._tree.run, "question": node.question, "context": node.context}
        about["options"] = {name: options.get(name) for name in ("compat", "cells", "fences")}
        ended = {"stop_reason": node.stop_reason, "error": node.error, "state": node.state}
        return {
            "root_model": node.model,
            "max_depth": options.get("max_depth", 1),
            "max_iterations": options.get("max_iterations", len(node.iterations)),
            "backend": backend if slash else "unknown",
            "backend_kwargs": {"model_name": model if slash else node.model},
            "environment_type": str(options.get("sandbox", "unknown")),
            "environment_kwargs": {},
            "other_backends": None,
            "rlm_kernel": about | ended,
        }

    def iterations(self, node: Node) -> Iterator[Record]:
        """Yield a node's turns; one without a reply has nothing to show."""
        replied = [turn for turn in self._said.get(node.id, []) if turn.text is not None]
        cells: dict[int, list[Cell]] = {}
        for iteration in node.iterations:
            cells.setdefault(iteration.index, []).extend(iteration.cells)
        strays = self._strays(node)
        for number, turn in enumerate(replied, 1):
            last = number == len(replied)
            mine = [] if turn.last_words else cells.get(turn.iteration, [])
            blocks = [self._block(cell, node) for cell in mine]
            if last and blocks:
                blocks[-1]["result"]["rlm_calls"] += [self._call(call) for call in strays]
                blocks[-1]["result"]["final_answer"] = node.text if node.stop_reason == "answered" else None
            seconds = [turn.seconds, *(cell.seconds or 0.0 for cell in mine)]
            yield {
                "type": "iteration",
                "iteration": number,
                "timestamp": _iso(turn.ended),
                "prompt": [asdict(message) for message in turn.messages],
                "response": turn.text or "",
                "code_blocks": blocks,
                "final_answer": (node.text or None) if last else None,
                "iteration_time": sum(seconds),
                "usage": asdict(turn.usage),
            }

    def _strays(self, node: Node) -> list[Node]:
        known = {call.id for turn in node.iterations for cell in turn.cells for call in cell.calls}
        return [call for call in node.calls if call.id not in known]

    def _block(self, cell: Cell, node: Node) -> Record:
        texts: dict[str, list[str]] = {"stdout": [], "stderr": []}
        for output in cell.outputs:
            texts["stderr" if output.kind in ("stderr", "error") else "stdout"].append(output.text)
        result = {
            "stdout": "".join(texts["stdout"]),
            "stderr": "".join(texts["stderr"]),
            "locals": {"context": str(node.context.get("description", ""))},
            "execution_time": cell.seconds or 0.0,
            "rlm_calls": [self._call(call) for call in cell.calls],
            "final_answer": None,
            "status": cell.status,
        }
        return {"code": cell.code, "result": result}

    def _call(self, call: Node) -> Record:
        used = _own_and_plain(call)
        total = sum(used.values(), Usage())
        known = total.calls > total.unreported
        record: Record = {
            "root_model": call.model,
            "prompt": call.question,
            "response": f"Error: {call.error}" if call.error else call.text,
            "prompt_tokens": total.input_tokens if known else None,
            "completion_tokens": total.output_tokens if known else None,
            "usage_summary": _summary(used),
            "execution_time": call.seconds or 0.0,
            "cached": call.cached,
        }
        if call.error:
            record["error"] = call.error
        if call.kind == "rlm":
            iterations = list(self.iterations(call))
            record["metadata"] = {"run_metadata": self.metadata(call), "iterations": iterations}
        return record


def _own_and_plain(call: Node) -> dict[str, Usage]:
    """Return usage by model, as `rlms` counts it: a child's own calls and its plain ones, without its children's."""
    used: dict[str, Usage] = {}
    for node in (call, *(below for below in call.calls if below.kind == "llm")):
        if node.usage.calls:
            used[node.model] = used.get(node.model, Usage()) + node.usage
    return used


def _summary(used: dict[str, Usage]) -> Record:
    models: dict[str, Record] = {}
    for model, usage in used.items():
        models[model] = {
            "total_calls": usage.calls,
            "total_input_tokens": usage.input_tokens,
            "total_output_tokens": usage.output_tokens,
            "unreported": usage.unreported,
        }
        if usage.unpriced < usage.calls:
            models[model] |= {"total_cost": usage.cost, "unpriced": usage.unpriced}
    costs = [usage.cost for usage in used.values() if usage.unpriced < usage.calls]
    return {"model_usage_summaries": models} | ({"total_cost": sum(costs)} if costs else {})


def _iso(time: float) -> str | None:
    return datetime.fromtimestamp(time, UTC).isoformat() if time else None
