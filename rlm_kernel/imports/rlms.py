"""Logs of the library `rlms` (``RLMLogger``), and what `rlm_kernel.exports.viewer` writes, as our events.

What such a log does not say stays unknown: the usage of root models, how a cell ended (it is taken for an error where
its standard error ends like one), and the limit that ended a run. A duration that is not known is 0. Times are made of
what is there: an iteration is logged when it ends, its cells run one after the other, and a call's time is its cell's.
Times without a zone, as `rlms` writes them, are taken as this machine's. Of the configuration only names are taken, for
the rest may hold secrets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from rlm_kernel.errors import RLMError
from rlm_kernel.events import types as events
from rlm_kernel.events.types import CellStatus, Event, StopReason
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.imports import usage
from rlm_kernel.imports.lines import Record, moment, number, objects, record, records, text
from rlm_kernel.imports.stream import Stream
from rlm_kernel.imports.trajectory import Trajectory

_ENDS_LIKE_ERROR = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit)\b.*\Z", re.MULTILINE | re.DOTALL)
NOTE = "Imported from a log of rlms: it does not say what the root model used, nor how its cells ended."

_TAIL = 2_000
"""Of a standard error, where its end is looked for."""


def read_all(path: str | Path) -> list[list[Event]]:
    """Return the events of each completion of a log: its iterations are numbered anew.

    Raises
    ------
    RLMError
        It is no such log, or is damaged.
    """
    lines, name = objects(path), str(path)
    if not is_log(lines[0][1]):
        raise RLMError(f"{name!r} is no log of rlms: its first line is neither 'metadata' nor an 'iteration'.")
    metadata: Record = {}
    runs: list[tuple[Record, list[Record]]] = []
    before = 0
    for line, found in lines:
        if found.get("type") == "metadata":
            metadata, before = found, 0
        elif found.get("type") == "iteration":
            index = number(found.get("iteration"))
            if index is None or not isinstance(found.get("code_blocks"), list) or "response" not in found:
                raise RLMError(f"{name!r}, line {line}, is an iteration without its number, response or code_blocks.")
            if not before or index <= before or not runs:
                runs.append((metadata, []))
            runs[-1][1].append(found)
            before = int(index)
    stem = Path(path).stem
    try:
        return [
            _Completion(stem if len(runs) < 2 else f"{stem}-{place}").read(*run)
            for place, run in enumerate(runs or [(metadata, [])], 1)
        ]
    except RecursionError:
        raise RLMError(f"{name!r} has children nested too deep to read.") from None


def is_log(first: Record) -> bool:
    """Whether a file that begins with this object is such a log."""
    kind = first.get("type")
    return (kind == "metadata" and "root_model" in first) or (kind == "iteration" and "code_blocks" in first)


class _Completion:
    """One completion on its way into events."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._out = Stream()

    def read(self, metadata: Record, iterations: Sequence[Record]) -> list[Event]:
        ours, out = record(metadata.get("rlm_kernel")), self._out
        node = Trajectory("0", 0, metadata, iterations)
        names = {"max_depth": number, "max_iterations": number, "backend": text, "environment_type": text}
        options = {name: value(metadata.get(name)) for name, value in names.items() if metadata.get(name) is not None}
        options |= {"imported_from": "rlms"} | node.options
        run = text(ours.get("run")) or self._run
        out.add(events.RunStarted(run=run, question=node.question, options=options), node.clock)
        if not ours:
            out.add(events.Note(text=NOTE), node.clock)
        reason, error, seconds = self._node(node)
        out.add(events.RunFinished(stop_reason=reason, usage=out.usage, seconds=seconds, error=error), node.clock)
        return out.events

    def _node(self, node: Trajectory) -> tuple[StopReason, str | None, float]:
        """Tell of an RLM, from its start to its end; return how it ended."""
        out, name = self._out, node.id
        about = {"depth": node.depth, "model": node.model, "question": node.question, "context": node.context}
        out.add(events.NodeStarted(node=name, **about), node.clock)  # type: ignore[arg-type]
        for index, iteration in enumerate(node.iterations, 1):
            self._iteration(node, index, iteration)
        reason, error = node.end()
        seconds = max(0.0, node.clock - node.began)
        if node.answer is not None:
            out.add(events.NodeAnswered(node=name, value=node.answer, text=node.answer), node.clock)
        out.add(events.NodeFinished(node=name, stop_reason=reason, seconds=seconds, error=error), node.clock)
        return reason, error, seconds

    def _iteration(self, node: Trajectory, index: int, iteration: Record) -> None:
        """Tell of a turn. It was logged when it ended, and took as long as it says."""
        out, name, blocks = self._out, node.id, records(iteration["code_blocks"])
        end, whole = moment(iteration.get("timestamp")), number(iteration.get("iteration_time"))
        if end is not None and whole is not None:
            node.clock = max(node.clock, end - whole)
        cells = sum(number(record(block.get("result")).get("execution_time")) or 0.0 for block in blocks)
        seconds = max(0.0, (end or node.clock) - node.clock if whole is None else whole - cells)
        last = whole is None and not blocks and index == len(node.iterations)
        reply, used = text(iteration.get("response")), usage.of_ours(iteration.get("usage")) or node.of_reply
        new, compacted = node.listen(iteration.get("prompt"), reply)
        if compacted is not None:
            self._compacted(node, index, *compacted)
        out.add(events.ModelRequested(node=name, iteration=index, messages=new, last=last), node.clock)
        node.clock += seconds
        replied = events.ModelReplied(node=name, iteration=index, text=reply, usage=used, seconds=seconds)
        out.add(replied, node.clock)
        for block in blocks:
            self._cell(node, index, block)
        node.clock = max(node.clock, end or 0.0)

    def _compacted(self, node: Trajectory, index: int, dropped: int, messages: tuple[Message, ...]) -> None:
        summary = next((message.content for message in messages if message.role == "assistant"), "")
        about = {"summary": summary, "dropped": dropped, "messages": messages, "usage": usage.UNKNOWN}
        self._out.add(events.Compacted(node=node.id, iteration=index, **about), node.clock)  # type: ignore[arg-type]

    def _cell(self, node: Trajectory, index: int, block: Record) -> None:
        """Tell of a cell, whose calls came before its outputs as far as the log says."""
        out, name, result = self._out, node.id, record(block.get("result"))
        node.cells += 1
        cell, seconds = node.cells, number(result.get("execution_time")) or 0.0
        started = events.CellStarted(node=name, iteration=index, cell=cell, code=text(block.get("code")))
        out.add(started, node.clock)
        for call in records(result.get("rlm_calls")):
            self._call(node, cell, call)
        node.clock += seconds
        said: dict[Literal["stdout", "stderr"], str] = {
            "stdout": text(result.get("stdout")),
            "stderr": text(result.get("stderr")),
        }
        for kind, output in said.items():
            if output:
                data = {"text/plain": output}
                out.add(events.CellOutput(node=name, cell=cell, kind=kind, data=data), node.clock)
        status: CellStatus = "error" if _ENDS_LIKE_ERROR.search(said["stderr"][-_TAIL:].rstrip()) else "ok"
        if result.get("status") in get_args(CellStatus):
            status = result["status"]
        out.add(events.CellFinished(node=name, cell=cell, status=status, seconds=seconds), node.clock)

    def _call(self, node: Trajectory, cell: int, call: Record) -> None:
        """Tell of a sub-call, and of the child if it was one. Of a plain one the log has no time but its length."""
        out, trajectory = self._out, record(call.get("metadata"))
        node.calls += 1
        name, prompt, model = f"{node.id}.{node.calls}", text(call.get("prompt")), text(call.get("root_model"))
        used, reply, below = usage.of_summary(call.get("usage_summary")), text(call.get("response")), None
        # What `rlms` made up itself where a call failed has no model's usage.
        failed = call.get("error") is not None or (used is None and reply.startswith("Error:"))
        if trajectory:
            about, iterations = record(trajectory.get("run_metadata")), records(trajectory.get("iterations"))
            below = Trajectory(name, node.depth + 1, about, iterations, prompt=prompt, whole=used)
            below.began = below.clock = below.began or node.clock
            used = below.own or Usage()
        elif used is None:
            used = Usage() if failed else usage.UNKNOWN
        kind: events.Kind = "llm" if below is None else "rlm"
        asked = events.CallRequested(node=node.id, call=name, kind=kind, model=model, prompt=prompt, cell=cell)
        out.add(asked, node.clock if below is None else below.began)
        if below is not None:
            self._node(below)
        finished = events.CallFinished(
            node=node.id,
            call=name,
            status="error" if failed else "ok",
            text=text(call.get("error")) or reply if failed else reply,
            usage=used,
            seconds=number(call.get("execution_time")) or 0.0,
            cached=call.get("cached") is True,
        )
        out.add(finished, node.clock if below is None else below.clock)
