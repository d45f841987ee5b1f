"""Where runs and their spans belong: the caller's span, the environment's, and what lies below ours elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

from rlm_kernel import RLM, ScriptedModel
from rlm_kernel.events import types as events
from rlm_kernel.sinks.otel import OTelSink
from tests.events.stories import began, call, mystery, numbered
from tests.host import script
from tests.providers.fake_servers import FakeServer
from tests.sinks.traced import Traced, attributes, family, feed

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.mark.parametrize("how", ["completion", "acompletion", "start", "conversation"])
def test_a_run_belongs_to_the_span_that_is_current_where_it_is_started(traced: Traced, how: str) -> None:
    rlm = RLM(ScriptedModel([script.done("1")]), on_event=OTelSink(traced.provider))
    with traced.provider.get_tracer("test").start_as_current_span("mine") as mine:
        if how == "completion":
            rlm.completion("q", "c")
        elif how == "start":
            rlm.start("q", "c").result()
        elif how == "acompletion":
            asyncio.run(rlm.acompletion("q", "c"))
        else:
            with rlm:
                rlm.completion("q", "c")
        assert trace.get_current_span() is mine
    assert traced.path(traced.one("invoke_agent rlm")) == "mine > invoke_agent rlm"


def test_a_run_belongs_to_the_environments_traceparent(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
    monkeypatch.setenv("TRACESTATE", "vendor=1")
    feed(traced, mystery())
    whole = traced.named("invoke_agent rlm")[-1]
    assert whole.parent is not None
    assert f"{whole.context.trace_id:032x}-{whole.parent.span_id:016x}" == TRACEPARENT[3:-3]
    assert whole.context.trace_state["vendor"] == "1"


def test_a_traceparent_that_is_nonsense_is_none(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", "00-nonsense")
    feed(traced, mystery())
    assert traced.named("invoke_agent rlm")[-1].parent is None


def test_a_context_that_is_given_goes_before_both(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
    tracer = traced.provider.get_tracer("test")
    with tracer.start_as_current_span("given") as given:
        context = trace.set_span_in_context(given)
    with tracer.start_as_current_span("current"):
        feed(traced, mystery(), context=context)
    assert traced.path(traced.named("invoke_agent rlm")[-1]) == "given > invoke_agent rlm"


def test_spans_of_tools_and_of_models_own_lie_below_ours_and_nothing_stays_current(traced: Traced) -> None:
    tracer = traced.provider.get_tracer("test")

    def look(word: str) -> str:
        with tracer.start_as_current_span("in the tool"):
            return word

    async def asked(messages: Any) -> str:
        with tracer.start_as_current_span("in the model"):
            await asyncio.sleep(0)
        return "said"

    async def main() -> None:
        root = ScriptedModel(
            [script.cell("llm_query_batched(['a', 'b', 'c'])\nllm_query('d')"), script.done("look('w')")]
        )
        rlm = RLM(root, sub_model=asked, tools={"look": look}, on_event=OTelSink(traced.provider))
        await rlm.acompletion("q", "c")
        assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(main())
    above = "invoke_agent rlm > execute_tool repl"
    assert {traced.path(span) for span in traced.named("in the model")} == {f"{above} > chat scripted > in the model"}
    assert len({span.parent.span_id for span in traced.named("in the model") if span.parent}) == 4
    assert traced.path(traced.one("in the tool")) == f"{above} > execute_tool look > in the tool"


@pytest.fixture
def instrumented(traced: Traced) -> Iterator[None]:
    AioHttpClientInstrumentor().instrument(tracer_provider=traced.provider)
    yield
    AioHttpClientInstrumentor().uninstrument()


@pytest.mark.usefixtures("instrumented")
def test_requests_to_providers_carry_the_trace_where_http_is_instrumented(traced: Traced) -> None:
    with FakeServer([script.cell("print(llm_query('a'))"), "said", script.done("'x'")]) as server:
        options = {"base_url": server.openai_url, "api_key": "k"}
        RLM("openai/m", on_event=OTelSink(traced.provider), **options).completion("q", "c")
        headers = [request.headers["traceparent"] for request in server.requests]
    posts = {f"{span.context.trace_id:032x}-{span.context.span_id:016x}": span for span in traced.named("POST")}
    above = [traced.path(posts[header[3:-3]]) for header in headers]
    root, sub = "invoke_agent rlm > chat m > POST", "invoke_agent rlm > execute_tool repl > chat m > POST"
    assert above == [root, sub, root]
    assert len({header[3:35] for header in headers}) == 1


def test_without_attach_nothing_is_current(traced: Traced) -> None:
    seen = []

    async def asked(messages: Any) -> str:
        seen.append(trace.get_current_span())
        return script.done("1")

    RLM(asked, on_event=OTelSink(traced.provider, attach=False)).completion("q", "c")
    assert seen == [trace.INVALID_SPAN]
    assert len(traced.spans) == 3


async def test_events_that_are_read_in_one_task_leave_its_current_span_as_it_was(traced: Traced) -> None:
    root = ScriptedModel([script.cell("llm_query_batched(['a', 'b', 'c', 'd'])"), script.done("1")])
    rlm, sink = RLM(root, sub_model=lambda messages: "r"), OTelSink(traced.provider)
    with traced.provider.get_tracer("test").start_as_current_span("mine") as mine:
        async for event in rlm.stream("q", "c"):
            sink(event)
        assert trace.get_current_span() is mine
    assert traced.path(traced.named("invoke_agent rlm")[0]) == "mine > invoke_agent rlm"


async def test_what_is_current_is_never_a_span_that_has_ended(traced: Traced) -> None:
    (first, first_ends), (second, second_ends) = (list(call(n, "p", "r")) for n in (1, 2))
    sink = OTelSink(traced.provider)
    for event in numbered(*began(), first, second, first_ends):
        sink(event)
    current = trace.get_current_span()
    assert current.is_recording()
    sink(second_ends)
    assert not current.is_recording()
    assert trace.get_current_span() is trace.INVALID_SPAN
    sink.close()


async def test_runs_at_once_with_one_sink_keep_their_spans_apart(traced: Traced) -> None:
    sink = OTelSink(traced.provider)
    completions = await asyncio.gather(
        *(family(on_event=sink, sandbox="process").acompletion("q", "c") for _ in range(3))
    )
    roots = [span for span in traced.spans if span.parent is None]
    assert len(roots) == 3
    for completion in completions:
        mine = [span for span in traced.spans if attributes(span)["rlm.run.id"] == completion.run_dir.name]
        assert len({span.context.trace_id for span in mine}) == 1
        assert len(mine) == 16


def test_a_sink_for_one_run_takes_no_others_events(traced: Traced) -> None:
    sink = OTelSink(traced.provider)
    first, second = sink.for_run(), sink.for_run()
    for event in mystery():  # interleaved, which nothing else could tell apart
        first(event)
        second(replace(event, run="other") if isinstance(event, events.RunStarted) else event)
    by_run: dict[str, set[int]] = {}
    for span in traced.spans:
        by_run.setdefault(attributes(span)["rlm.run.id"], set()).add(span.context.trace_id)
    assert len(by_run) == 2
    assert all(len(ids) == 1 for ids in by_run.values())


def test_a_sink_keeps_nothing_of_runs_that_have_ended(traced: Traced) -> None:
    sink = OTelSink(traced.provider)
    for _ in range(3):
        for event in mystery():
            sink(event)
    assert sink._open == []
