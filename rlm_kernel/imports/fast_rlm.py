"""Logs of fast-rlm (its ``logs/*.jsonl``) as our events.

Such a log has no prompts, no question, no model and no reply: only the code of each step, what it printed, what the
model reasoned, and final results. So a reply is put together from the reasoning and the code; a question is what the
log shows of an agent's context, in which fast-rlm puts it, and is the whole of it where the context is short. Sub-calls
are agents with a REPL of their own; which step called one follows from the order of the lines. Where a time is not in
the log, that of the event before it stands; a duration that is not known is 0. A cell has failed where the log's own
``hasError`` says so. What a cell printed that ended its agent is not in the log.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel.errors import RLMError
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event, StopReason
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.imports import usage
from rlm_kernel.imports.lines import Record, count, moment, objects, record, text
from rlm_kernel.imports.stream import Stream

STEPS = ("code_generated", "execution_result")
NOTE = "Imported from a log of fast-rlm: it names no models and holds no prompts; replies are reasoning and code."

_KIND = re.compile(r"Context type: +(?:<class '(\w{1,50})'>|(\w{1,50}))")
_LENGTH = re.compile(r"Context length: (\d{1,18})")
_WHOLE = re.compile(r"^Context: {1,2}(.*)\Z", re.DOTALL | re.MULTILINE)
_PART = re.compile(r"^First 500 characters of str\(context\): {1,2}(.*?)\n---$", re.DOTALL | re.MULTILINE)
_WHOLE_OUTPUT = "[FULL OUTPUT SHOWN]... "
_NO_OUTPUT = "[EMPTY OUTPUT]"


def read_all(path: str | Path) -> list[list[Event]]:
    """Return the events of each run of a log.

    Raises
    ------
    RLMError
        It is no such log, or is damaged.
    """
    lines, name = objects(path), str(path)
    if not is_log(lines[0][1]):
        raise RLMError(f"{name!r} is no log of fast-rlm: its first line has no 'event_type' with a 'run_id'.")
    roots = _agents(lines)
    if not roots:
        raise RLMError(f"{name!r} has no agent that was not called by another: it is no whole log of fast-rlm.")
    try:
        return [_Told().run(agent) for agent in roots]
    except RecursionError:
        raise RLMError(f"{name!r} has agents nested too deep to read.") from None


def is_log(first: Record) -> bool:
    """Whether a file that begins with this object is such a log."""
    return isinstance(first.get("event_type"), str) and isinstance(first.get("run_id"), str)


@dataclass
class _Agent:
    """One agent: its lines, and the agents it called."""

    id: str
    parent: str
    line: int
    began: float
    ended: float
    clock: float
    """How far it has been told."""
    probe: Record = field(default_factory=dict)
    """Step 0, which looks at the context before the model is asked."""
    steps: list[tuple[int, Record]] = field(default_factory=list)
    children: list[_Agent] = field(default_factory=list)
    result: Any = None
    has_result: bool = False

    def take(self, line: int, entry: Record) -> None:
        self.ended = max(self.ended, moment(entry.get("time")) or 0.0)
        kind = entry.get("event_type")
        if kind == "final_result":
            self.result, self.has_result = entry.get("result"), True
        elif kind in STEPS:
            if count(entry.get("step")) == 0:
                self.probe = entry
            else:
                self.steps.append((line, entry))

    def called_by(self, place: int) -> list[_Agent]:
        """Return the agents that a step called: they begin behind the step before, and it is logged when they ended."""
        before = self.steps[place - 1][0] if place else 0
        line = self.steps[place][0] if place < len(self.steps) else float("inf")
        return [child for child in self.children if before < child.line < line]


def _agents(lines: list[tuple[int, Record]]) -> list[_Agent]:
    """Return the agents that no other has called, with all below them."""
    agents: dict[str, _Agent] = {}
    for line, entry in lines:
        if is_log(entry):
            name, parent = text(entry["run_id"]), text(entry.get("parent_run_id"))
            began = moment(entry.get("time")) or 0.0
            agent = agents.setdefault(name, _Agent(name, parent, line, began, began, began))
            agent.parent = agent.parent or parent
            agent.take(line, entry)
    roots = []
    for agent in agents.values():
        if agent.parent in agents:
            agents[agent.parent].children.append(agent)
        else:
            roots.append(agent)
    return roots


class _Told:
    """A run on its way into events."""

    def __init__(self) -> None:
        self._out = Stream()

    def run(self, agent: _Agent) -> list[Event]:
        out = self._out
        options = {"imported_from": "fast-rlm"}
        out.add(events.RunStarted(run=agent.id, question=_input(agent.probe)[0], options=options), agent.clock)
        out.add(events.Note(text=NOTE), agent.clock)
        reason, error, seconds = self._agent(agent, "0", 0)
        finished = events.RunFinished(stop_reason=reason, usage=out.usage, seconds=seconds, error=error)
        out.add(finished, agent.clock)
        return out.events

    def _agent(self, agent: _Agent, node: str, depth: int) -> tuple[StopReason, str | None, float]:
        """Tell of an agent, from its start to its end; return how it ended."""
        out, (question, context), calls = self._out, _input(agent.probe), itertools.count(1)
        started = events.NodeStarted(node=node, depth=depth, model="", question=question, context=context)
        out.add(started, agent.clock)
        for place, (_, step) in enumerate(agent.steps):
            self._step(agent, node, place, step, calls, depth)
        for child in agent.called_by(len(agent.steps)):  # of a step that was not logged any more
            self._call(child, node, next(calls), None, depth)
        agent.clock = max(agent.clock, agent.ended)
        seconds = max(0.0, agent.clock - agent.began)
        reason: StopReason = "answered" if agent.has_result else "error"
        error = None if agent.has_result else "The log has no final result of it."
        if agent.has_result:
            answer = events.NodeAnswered(node=node, value=agent.result, text=text(agent.result))
            out.add(answer, agent.clock)
        out.add(events.NodeFinished(node=node, stop_reason=reason, seconds=seconds, error=error), agent.clock)
        return reason, error, seconds

    def _step(self, agent: _Agent, node: str, place: int, step: Record, calls: Iterator[int], depth: int) -> None:
        """Tell of a step: a reply and, if there was one in it, a cell."""
        out, index, code = self._out, place + 1, text(step.get("code"))
        times = {name: moment(time) for name, time in record(step.get("timestamps")).items()}
        asked, replied = times.get("llm_call_start"), times.get("llm_call_end")
        agent.clock = max(agent.clock, asked or 0.0)
        shown = () if place else _shown(agent.probe)
        out.add(events.ModelRequested(node=node, iteration=index, messages=shown), agent.clock)
        agent.clock = max(agent.clock, replied or 0.0)
        reply, used = _reply(text(step.get("reasoning")), code), usage.of_step(step.get("usage"))
        took = _between(asked, replied)
        out.add(events.ModelReplied(node=node, iteration=index, text=reply, usage=used, seconds=took), agent.clock)
        began, ended = times.get("execution_start"), times.get("execution_end")
        agent.clock = max(agent.clock, began or 0.0)
        if code:
            out.add(events.CellStarted(node=node, iteration=index, cell=index, code=code), agent.clock)
        for child in agent.called_by(place):
            self._call(child, node, next(calls), index if code else None, depth)
        agent.clock = max(agent.clock, ended or moment(step.get("time")) or 0.0)
        if code:
            output = text(step.get("output")).removeprefix(_WHOLE_OUTPUT)
            if output and output != _NO_OUTPUT:
                data = {"text/plain": output}
                out.add(events.CellOutput(node=node, cell=index, kind="stdout", data=data), agent.clock)
            status: events.CellStatus = "error" if step.get("hasError") is True else "ok"
            took = _between(began, ended)
            out.add(events.CellFinished(node=node, cell=index, status=status, seconds=took), agent.clock)

    def _call(self, child: _Agent, node: str, number: int, cell: int | None, depth: int) -> None:
        """Tell of an agent that a cell called."""
        out, name, prompt = self._out, f"{node}.{number}", _input(child.probe)[0]
        asked = events.CallRequested(node=node, call=name, kind="rlm", model="", prompt=prompt, cell=cell)
        out.add(asked, child.clock)
        _, error, seconds = self._agent(child, name, depth + 1)
        finished = events.CallFinished(
            node=node,
            call=name,
            status="ok" if error is None else "error",
            text=text(child.result) if error is None else error,
            usage=Usage(),
            seconds=seconds,
        )
        out.add(finished, child.clock)


def _input(probe: Record) -> tuple[str, dict[str, Any]]:
    """Return what an agent was asked, as far as the log shows it, and what its context is."""
    shown = text(probe.get("output")).removeprefix(_WHOLE_OUTPUT)
    kind, length = _KIND.search(shown), _LENGTH.search(shown)
    if kind is None:
        return "", {}
    name = kind[1] or kind[2]
    if length is None:
        return "", {"type": name, "description": f"a {name}"}
    characters = int(length[1])
    unit = "characters" if name == "str" else "items"
    about = {"type": name, "length": characters, "unit": unit, "description": f"a {name} of {characters:,} {unit}"}
    if whole := _WHOLE.search(shown):
        return (whole[1][:characters] if name == "str" else whole[1]), about
    part = _PART.search(shown)
    return (f"{part[1]}…" if part else ""), about


def _shown(probe: Record) -> tuple[Message, ...]:
    """Return what the model saw of its context before its first step."""
    output = text(probe.get("output"))
    return (Message("user", output),) if output else ()


def _reply(reasoning: str, code: str) -> str:
    """Return a reply with the reasoning and the code, in a fence that the code cannot close."""
    if not code:
        return reasoning
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{reasoning}\n\n{fence}repl\n{code}\n{fence}".lstrip("\n")


def _between(begin: float | None, end: float | None) -> float:
    return 0.0 if begin is None or end is None else max(0.0, end - begin)
