"""What tests of traces are written with: a tracer that keeps its spans, and a run that has every kind of span."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.errors import ModelError
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Usage
from rlm_kernel.host.providers import Reply
from rlm_kernel.sinks.otel import OTelSink
from tests.host import script

USED = Usage(1, 70, 5, 0, 30, 10, 0.25)


class Traced:
    """A tracer provider that keeps spans, and what tests ask of them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.begun = 0
        self.provider.add_span_processor(_Counter(self))

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended; every span that was begun must have."""
        spans = list(self._exporter.get_finished_spans())
        assert len(spans) == self.begun
        return spans

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def parent(self, span: ReadableSpan) -> ReadableSpan | None:
        if span.parent is None:
            return None
        return next((other for other in self.spans if other.context.span_id == span.parent.span_id), None)

    def path(self, span: ReadableSpan) -> str:
        """The names of a span and of those it is part of."""
        above = self.parent(span)
        return span.name if above is None else f"{self.path(above)} > {span.name}"

    @property
    def paths(self) -> list[str]:
        return sorted(map(self.path, self.spans))


class _Counter(SimpleSpanProcessor):
    def __init__(self, traced: Traced) -> None:
        self._traced = traced

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self._traced.begun += 1

    def on_end(self, span: ReadableSpan) -> None: ...

    def shutdown(self) -> None: ...


def attributes(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


def feed(traced: Traced, stream: list[Event], **options: Any) -> None:
    with OTelSink(traced.provider, **options) as sink:
        for event in stream:
            sink(event)


def read(name: str) -> str:
    """A tool."""
    if name == "missing":
        raise FileNotFoundError(name)
    return "contents"


def child(messages: list[dict[str, str]]) -> Reply:
    return Reply(script.done("llm_query('below ' + context)"), USED, finish="stop")


def sub(messages: list[dict[str, str]]) -> Reply:
    if "fail" in messages[-1]["content"]:
        error = ModelError("openai/x at https://h refused. (HTTP 429: slow down)")
        raise error
    return Reply("said", USED)


FAMILY = [
    Reply(script.cell("print(llm_query('one'))\nprint(read('a'))"), USED),
    Reply(
        script.cell("llm_query_batched(['fail', 'two'])\ntry:\n  read('missing')\nexcept Exception: pass\n1/0"), USED
    ),
    Reply(script.done("rlm_query('c')"), USED),
]


def family(**options: Any) -> RLM:
    """A root with three cells, whose third asks a child with a cell and a call of its own."""
    return RLM(
        ScriptedModel(FAMILY, "openai/root"),
        sub_model=ScriptedModel(sub, "anthropic/sub"),
        child_model=ScriptedModel(child, "local/child"),
        max_depth=2,
        tools={"read": read},
        **options,
    )
