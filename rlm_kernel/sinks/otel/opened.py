"""The spans of a run that have not ended, and which of them is the current one of a task."""

from __future__ import annotations

import asyncio
from contextvars import Token
from dataclasses import dataclass
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer

from rlm_kernel.sinks.otel import genai

REPL = "repl"
AGENT = "rlm"

Key = tuple[str, ...]


@dataclass(eq=False)
class OpenSpan:
    """A span that has not ended, of something that node ``node`` does.

    ``output`` is what a cell has printed, as far as it is kept; ``error`` is the exception that ended it.
    """

    span: Span
    context: Context
    node: str
    started: int
    streams: bool = False
    output: str = ""
    error: str = ""
    token: Token[Context] | None = None
    ended: bool = False


class OpenSpans:
    """Opens and ends the spans of one run.

    Parameters
    ----------
    tracer
        Makes them.
    content
        Whether a failure's reason is told.
    attach
        Whether a span is the current one of its task while it is open.
    """

    def __init__(self, tracer: Tracer, *, content: bool, attach: bool) -> None:
        self.base = Context()
        """What the run is part of."""
        self._tracer = tracer
        self._content = content
        self._attach = attach
        self._open: dict[Key, OpenSpan] = {}
        self._attached: dict[asyncio.Task[Any], list[OpenSpan]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def get(self, *key: str) -> OpenSpan | None:
        """Return a span that is open."""
        return self._open.get(key)

    def of(self, node: str | None = None) -> list[Key]:
        """Return what is open, of one node or of all, the innermost first."""
        return [key for key, opened in reversed(self._open.items()) if node in (None, opened.node)]

    def begin(
        self,
        key: Key,
        node: str,
        attributes: genai.Attributes,
        started: int,
        above: OpenSpan | None,
        links: list[Link] | None = None,
    ) -> OpenSpan:
        """Open a span. ``started`` is in nanoseconds since 1970."""
        operation = attributes["gen_ai.operation.name"]
        about = AGENT if operation == "invoke_agent" else attributes.get("gen_ai.tool.name")
        about = about or attributes.get("gen_ai.request.model", "")
        local = operation != "chat" or attributes["gen_ai.provider.name"] in genai.IN_PROCESS
        span = self._tracer.start_span(
            f"{operation} {about}".strip(),
            self.base if above is None else above.context,
            kind=SpanKind.INTERNAL if local else SpanKind.CLIENT,
            attributes=attributes,
            links=links,
            start_time=started,
        )
        opened = self._open[key] = OpenSpan(span, trace.set_span_in_context(span, self.base), node, started)
        return opened

    def end(self, key: Key, ended: int, error: str = "", reason: str = "") -> None:
        """End a span that is open; ``error`` is the class of its failure."""
        opened = self._open.pop(key)
        if error:
            opened.span.set_attribute("error.type", error)
            description = genai.content(reason) if self._content and reason else None
            opened.span.set_status(Status(StatusCode.ERROR, description))
        self._leave(opened)
        opened.span.end(max(ended, opened.started))  # clocks are set back now and then

    def enter(self, opened: OpenSpan) -> None:
        """Make a span the current one of this task, till it ends."""
        if self._attach and (task := _task()) is not None:
            opened.token = contexts.attach(trace.set_span_in_context(opened.span))
            self._attached.setdefault(task, []).append(opened)

    def _leave(self, opened: OpenSpan) -> None:
        """Give this task back the span it had before, also where spans have not ended in the order they began."""
        opened.ended = True
        task = _task()
        if task is None or (stack := self._attached.get(task)) is None:
            return
        while stack and stack[-1].ended:
            token = stack.pop().token
            assert token is not None
            contexts.detach(token)
        if not stack:
            del self._attached[task]


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop here
        return None
