"""What each event of a run means for its spans. `rlm_kernel.sinks.otel` tells what they are."""

from __future__ import annotations

import os
from functools import singledispatchmethod
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message
from rlm_kernel.sinks.otel import genai
from rlm_kernel.sinks.otel.opened import AGENT, REPL, OpenSpan, OpenSpans

ROOT = ("node", "0")
CURRENT = ("chat", "node", "tool")
"""What is its task's current span while it goes on. The root is not: it ends in another task than it began in."""


class RunSpans:
    """The spans of one run. Called with its events, in order and by one thread at a time."""

    def __init__(self, tracer: Tracer, *, content: bool, context: Context | None, attach: bool) -> None:
        self._open = OpenSpans(tracer, content=content, attach=attach)
        self._content = content
        self._given = context
        self._run = ""
        self._options: dict[str, Any] = {}
        self._root: Span | None = None
        self._models: dict[str, str] = {}
        self._iterations: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        """Node -> when its last event came."""

    def __call__(self, event: Event) -> None:
        """Do what an event means; one of a kind that is not known means nothing."""
        self._on(event)
        self._heard[event.node] = _ns(event)

    @property
    def run(self) -> str:
        """The run's id."""
        return self._run

    @property
    def is_open(self) -> bool:
        """Whether any span has not ended."""
        return bool(self._open)

    def close(self) -> None:
        """End what is open, at the time of the last event."""
        for key in self._open.of():
            self._open.end(key, max(self._heard.values(), default=0), "abandoned")

    @singledispatchmethod
    def _on(self, event: Event) -> None:
        """Do what an event means."""

    @_on.register
    def _(self, event: events.RunStarted) -> None:
        self._run, self._options = event.run, event.options
        self._begin_run(event, event.question)

    @_on.register
    def _(self, event: events.RunResumed) -> None:
        self._run, self._options = event.run, event.options
        self._begin_run(event, None, "rlm.run.resumed")

    @_on.register
    def _(self, event: events.RunContinued) -> None:
        self._begin_run(event, None, "rlm.run.continued")

    @_on.register
    def _(self, event: events.NodeStarted) -> None:
        self._models[event.node] = event.model
        if (opened := self._open.get("node", event.node)) is not None:
            opened.span.set_attributes({**_agent(event.model), "rlm.node.depth": event.depth})

    @_on.register
    def _(self, event: events.ModelRequested) -> None:
        self._iterations[event.node] = event.iteration
        opened = self._request(event, _ns(event))
        if self._content:
            opened.span.set_attribute("gen_ai.input.messages", genai.messages(event.messages))

    @_on.register
    def _(self, event: events.TextDelta) -> None:
        opened = self._open.get("chat", event.node)
        if opened is not None and not opened.streams:
            opened.streams = True
            waited = (_ns(event) - opened.started) / 1e9
            opened.span.set_attribute("gen_ai.request.stream", True)
            opened.span.set_attribute("gen_ai.response.time_to_first_chunk", waited)

    @_on.register
    def _(self, event: events.ModelReplied) -> None:
        self._replied(("chat", event.node), event, event.text)

    @_on.register
    def _(self, event: events.Compacted) -> None:
        opened = self._request(event, self._heard.get(event.node, _ns(event)))  # nothing tells when it was asked
        opened.span.set_attribute("rlm.compaction", True)
        self._replied(("chat", event.node), event, event.summary)

    @_on.register
    def _(self, event: events.CellStarted) -> None:
        attributes = _tool(REPL, "extension", f"{event.node}/{event.cell}") | {"rlm.iteration": event.iteration}
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = genai.value("code", event.code)
        self._begin(("cell", event.node, str(event.cell)), event, attributes)

    @_on.register
    def _(self, event: events.CellOutput) -> None:
        opened = self._open.get("cell", event.node, str(event.cell))
        if opened is not None:
            text = str(event.data.get("text/plain", ""))
            opened.error = genai.exception(text) if event.kind == "error" else opened.error
            if self._content:
                opened.output += text[: max(0, genai.CONTENT_CHARACTERS - len(opened.output))]

    @_on.register
    def _(self, event: events.CellFinished) -> None:
        key = ("cell", event.node, str(event.cell))
        if (opened := self._open.get(*key)) is not None:
            opened.span.set_attribute("rlm.cell.status", event.status)
            if self._content:
                opened.span.set_attribute("gen_ai.tool.call.result", genai.value("output", opened.output))
            error = {"ok": "", "error": opened.error or "error"}.get(event.status, event.status)
            self._open.end(key, _ns(event), error)

    @_on.register
    def _(self, event: events.CallRequested) -> None:
        what = _agent(event.model) if event.kind == "rlm" else self._chat(event.model, "sub_sampling")
        attributes = {**what, "rlm.call.id": event.call}
        if self._content:
            attributes["gen_ai.input.messages"] = genai.messages([Message("user", event.prompt)])
        self._begin(("node", event.call), event, attributes, cell=event.cell)

    @_on.register
    def _(self, event: events.CallFinished) -> None:
        self._replied(("node", event.call), event, event.text, event.status)

    @_on.register
    def _(self, event: events.CallChecked) -> None:
        reason = {"rlm.reason": genai.content(event.reason)} if self._content else {}
        self._note(event.call, "rlm.call_checked", {"rlm.when": event.when, "rlm.verdict": event.verdict, **reason})

    @_on.register
    def _(self, event: events.ToolStarted) -> None:
        attributes = _tool(event.tool, "function", f"{event.node}:{event.call}")
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = genai.content(event.arguments)
        self._begin(("tool", event.node, str(event.call)), event, attributes, cell=event.cell)

    @_on.register
    def _(self, event: events.ToolFinished) -> None:
        key = ("tool", event.node, str(event.call))
        if (opened := self._open.get(*key)) is not None:
            if self._content and event.status == "ok":
                opened.span.set_attribute("gen_ai.tool.call.result", genai.content(event.text))
            if event.recorded:
                opened.span.set_attribute("rlm.recorded", True)
            self._open.end(key, _ns(event), *_failure(event.status, event.text, "ToolError"))

    @_on.register
    def _(self, event: events.Note) -> None:
        if self._content:
            self._note(event.node, "rlm.note", {"rlm.note": genai.content(event.text)})

    @_on.register
    def _(self, event: events.LimitHit) -> None:
        self._note(event.node, "rlm.limit_reached", {"rlm.limit": event.limit, "rlm.maximum": event.maximum})

    @_on.register
    def _(self, event: events.NodeAnswered) -> None:
        opened = self._open.get("node", event.node)
        if opened is not None and self._content:
            opened.span.set_attribute("gen_ai.output.messages", genai.messages([Message("assistant", event.text)]))

    @_on.register
    def _(self, event: events.NodeFinished) -> None:
        if (opened := self._open.get("node", event.node)) is not None:
            turns = self._iterations.get(event.node, 0)
            opened.span.set_attributes({"rlm.stop_reason": event.stop_reason, "rlm.iterations": turns})
        reason = event.error or ""
        error = genai.error_type(reason, "ModelError") if event.stop_reason == "error" else event.stop_reason
        for key in self._open.of(event.node):
            if key != ("node", event.node):
                self._open.end(key, _ns(event), error, reason)

    @_on.register
    def _(self, event: events.RunFinished) -> None:
        for key in self._open.of():
            if key != ROOT:
                self._open.end(key, _ns(event), event.stop_reason)
        if (opened := self._open.get(*ROOT)) is not None:
            opened.span.set_attributes({"rlm.stop_reason": event.stop_reason, **genai.totals(event.usage)})
            status = event.stop_reason if event.stop_reason in ("error", "cancelled") else "ok"
            self._open.end(ROOT, _ns(event), *_failure(status, event.error or "", "error"))

    def _begin_run(self, event: Event, question: str | None, how: str = "") -> None:
        """Open the root's span below the caller's."""
        self.close()
        self._open.base = self._parent()
        attributes = _agent(self._models.get("0")) | {"rlm.node.depth": 0}
        if how:
            attributes[how] = True
        if question is not None and self._content:
            attributes["gen_ai.input.messages"] = genai.messages([Message("user", question)])
        links = [] if self._root is None else [Link(self._root.get_span_context())]
        self._root = self._begin(ROOT, event, attributes, links=links).span

    def _parent(self) -> Context:
        """Return where the run belongs."""
        here = contexts.get_current()
        if self._given is not None:
            return self._given
        if trace.get_current_span(here).get_span_context().is_valid:
            return here
        carrier = {name: os.environ.get(name.upper(), "") for name in ("traceparent", "tracestate")}
        return TraceContextTextMapPropagator().extract(carrier, here)

    def _request(self, event: events.ModelRequested | events.Compacted, started: int) -> OpenSpan:
        """Open the span of a request to a node's root model."""
        attributes = self._chat(self._models.get(event.node, ""), "sampling") | {"rlm.iteration": event.iteration}
        return self._begin(("chat", event.node), event, attributes, started=started)

    def _chat(self, model: str, option: str) -> genai.Attributes:
        return {"gen_ai.operation.name": "chat", **genai.model(model), **genai.sampling(self._options.get(option))}

    def _begin(
        self,
        key: tuple[str, ...],
        event: Event,
        attributes: genai.Attributes,
        *,
        cell: int | None = None,
        started: int | None = None,
        links: list[Link] | None = None,
    ) -> OpenSpan:
        """Open a span below its cell, else below its node, else below the root."""
        node = event.node
        above = self._open.get("cell", node, str(cell)) or self._open.get("node", node) or self._open.get(*ROOT)
        ours = {"rlm.run.id": self._run, "rlm.node.id": key[1]}
        begun = _ns(event) if started is None else started
        opened = self._open.begin(key, node, attributes | ours, begun, above, links)
        if key[0] in CURRENT and key != ROOT:
            self._open.enter(opened)
        return opened

    def _replied(self, key: tuple[str, str], event: Any, text: str, status: str = "ok") -> None:
        """End a request with what came of it: a `ModelReplied`, `CallFinished` or `Compacted`."""
        if (opened := self._open.get(*key)) is None:
            return
        attributes = genai.usage(event.usage, paid=not event.recorded)
        for how in ("recorded", "cached"):
            if getattr(event, how, False):
                attributes[f"rlm.{how}"] = True
        if finish := getattr(event, "finish", None):
            attributes["gen_ai.response.finish_reasons"] = [finish]
        if self._content and status == "ok":
            attributes["gen_ai.output.messages"] = genai.messages([Message("assistant", text)])
        opened.span.set_attributes(attributes)
        self._open.end(key, _ns(event), *_failure(status, text, "LLMCallError"))

    def _note(self, node: str, name: str, attributes: genai.Attributes) -> None:
        if (opened := self._open.get("node", node)) is not None:
            opened.span.add_event(name, attributes)


def _agent(model: str | None) -> genai.Attributes:
    asked = {} if model is None else {"gen_ai.request.model": genai.model(model)["gen_ai.request.model"]}
    return {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": AGENT, **asked}


def _tool(name: str, kind: str, call: str) -> genai.Attributes:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": genai.label(name),
        "gen_ai.tool.type": kind,
        "gen_ai.tool.call.id": call,
    }


def _failure(status: str, reason: str, otherwise: str) -> tuple[str, str]:
    """Return the class of a failure, empty where there is none, and its reason."""
    if status == "ok":
        return "", ""
    return ("cancelled", "") if status == "cancelled" else (genai.error_type(reason, otherwise), reason)


def _ns(event: Event) -> int:
    """Return an event's time in nanoseconds since 1970."""
    return int(event.time * 1e9)
