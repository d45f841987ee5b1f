"""Runs as OpenTelemetry traces: which spans there are, what they tell, and that all of them end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from rlm_kernel import RLM, RLMError, ScriptedModel
from rlm_kernel.errors import ModelError
from rlm_kernel.events import types as events
from rlm_kernel.events.types import Event
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.sinks.otel import OTelSink
from tests.events.stories import START, began, call, cell, ended, mystery, numbered, output, turn
from tests.host import script
from tests.sinks.traced import Traced, attributes, family, feed


@pytest.fixture
def traced() -> Traced:
    return Traced()


def test_a_run_is_a_tree_of_spans_with_the_right_parents(traced: Traced) -> None:
    completion = family(on_event=OTelSink(traced.provider)).completion("q", "the input")
    assert completion.stop_reason == "answered"
    root = "invoke_agent rlm"
    below = f"{root} > execute_tool repl > invoke_agent rlm"
    assert traced.paths == sorted(
        [
            root,
            *[f"{root} > chat root"] * 3,
            *[f"{root} > execute_tool repl"] * 3,
            *[f"{root} > execute_tool repl > chat sub"] * 3,
            *[f"{root} > execute_tool repl > execute_tool read"] * 2,
            below,
            f"{below} > chat child",
            f"{below} > execute_tool repl",
            f"{below} > execute_tool repl > chat sub",
        ]
    )
    assert len({span.context.trace_id for span in traced.spans}) == 1
    assert {attributes(span)["rlm.run.id"] for span in traced.spans} == {completion.run_dir.name}


def test_spans_lie_within_their_parents_and_have_the_events_times(traced: Traced) -> None:
    seen: list[Event] = []
    sink = OTelSink(traced.provider)

    def both(event: Event) -> None:
        seen.append(event)
        sink(event)

    family(on_event=both).completion("q", "the input")
    for span in traced.spans:
        assert span.start_time is not None and span.end_time is not None  # noqa: PT018 - for mypy
        above = traced.parent(span)
        if above is not None:
            assert above.start_time is not None and above.end_time is not None  # noqa: PT018
            assert above.start_time <= span.start_time <= span.end_time <= above.end_time
    whole = next(span for span in traced.spans if span.parent is None)
    assert (whole.start_time, whole.end_time) == (int(seen[0].time * 1e9), int(seen[-1].time * 1e9))
    asked = {e.call: e.time for e in seen if isinstance(e, events.CallRequested)}
    for span in traced.named("chat sub"):
        assert span.start_time == int(asked[attributes(span)["rlm.call.id"]] * 1e9)


def test_spans_say_what_the_conventions_ask_for(traced: Traced) -> None:
    sampling = {"temperature": 0.5, "max_tokens": 100, "stop": "END", "seed": 7, "extra_body": {}}
    story = numbered(
        *began(sampling=sampling, sub_sampling={"top_p": 0.9}),
        *turn(1, "Words.", *cell("c", *call(1, "p", "r"))),
        *ended("a", usage=Usage(2, 1300, 120, 0, 0, 0, 0.5, 1)),
    )
    feed(traced, story)
    request, sub_call, code = (
        traced.one("chat gpt-5-mini"),
        traced.one("chat gpt-5-nano"),
        traced.one("execute_tool repl"),
    )
    common = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
    assert {**common, "gen_ai.request.model": "gpt-5-mini"}.items() <= attributes(request).items()
    assert attributes(request)["gen_ai.request.temperature"] == 0.5
    assert attributes(request)["gen_ai.request.max_tokens"] == 100
    assert attributes(request)["gen_ai.request.stop_sequences"] == ("END",)
    assert attributes(request)["gen_ai.request.seed"] == 7
    assert attributes(request)["gen_ai.request.stream"] is True
    assert attributes(request)["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.1, abs=1e-5)
    assert attributes(request)["gen_ai.usage.input_tokens"] == 900
    assert attributes(request)["gen_ai.usage.output_tokens"] == 100
    assert attributes(request)["rlm.iteration"] == 1
    assert "gen_ai.usage.cache_read.input_tokens" not in attributes(request)
    assert attributes(sub_call)["gen_ai.request.top_p"] == 0.9
    assert "gen_ai.request.temperature" not in attributes(sub_call)
    assert attributes(sub_call)["rlm.call.id"] == "0.1"
    assert (request.kind, sub_call.kind, code.kind) == (SpanKind.CLIENT, SpanKind.CLIENT, SpanKind.INTERNAL)
    assert attributes(code)["gen_ai.tool.name"] == "repl"
    assert attributes(code)["rlm.cell.status"] == "ok"
    whole = attributes(traced.one("invoke_agent rlm"))
    assert whole["gen_ai.agent.name"] == "rlm"
    assert whole["gen_ai.request.model"] == "gpt-5-mini"
    assert (whole["rlm.stop_reason"], whole["rlm.iterations"], whole["rlm.node.depth"]) == ("answered", 1, 0)
    assert (whole["rlm.usage.calls"], whole["rlm.usage.input_tokens"], whole["rlm.cost"]) == (2, 1300, 0.5)
    assert whole["rlm.usage.unpriced_calls"] == 1
    assert not [name for name in whole if name.startswith("gen_ai.usage")]  # a sum over the trace must not count twice


def test_usage_adds_up_to_the_runs(traced: Traced) -> None:
    completion = family(on_event=OTelSink(traced.provider)).completion("q", "the input")
    found = [attributes(span) for span in traced.spans]
    for name, total in (("input", completion.usage.input_tokens), ("output", completion.usage.output_tokens)):
        assert sum(a.get(f"gen_ai.usage.{name}_tokens", 0) for a in found) == total > 0
    assert sum(a.get("rlm.cost", 0) for a in found if a["gen_ai.operation.name"] == "chat") == completion.usage.cost
    assert {a.get("gen_ai.usage.cache_read.input_tokens") for a in found} == {None, 30}
    assert {a.get("gen_ai.usage.cache_write.input_tokens") for a in found} == {None, 10}


def test_failures_set_the_status_and_a_class_of_error_without_its_text(traced: Traced) -> None:
    family(on_event=OTelSink(traced.provider)).completion("q", "the input")
    failed = {
        (span.name, attributes(span)["error.type"])
        for span in traced.spans
        if span.status.status_code is StatusCode.ERROR
    }
    assert failed == {
        ("chat sub", "429"),
        ("execute_tool read", "ToolError"),
        ("execute_tool repl", "ZeroDivisionError"),
    }
    assert {span.status.description for span in traced.spans} == {None}
    assert all(("error.type" in attributes(s)) == (s.status.status_code is StatusCode.ERROR) for s in traced.spans)


def texts(traced: Traced) -> str:
    """Everything that an exporter would send."""
    return "".join(span.to_json() for span in traced.spans)


CONTENT = (
    "the question",
    "print(llm_query",
    "one",
    "said",
    "contents",
    "below",
    "slow down",
    "division by zero",
    "missing",
)


def test_why_a_reply_ended_is_told(traced: Traced) -> None:
    feed(traced, [replace(e, finish="length") if isinstance(e, events.ModelReplied) else e for e in mystery()])
    reasons = {attributes(span).get("gen_ai.response.finish_reasons") for span in traced.named("chat gpt-5-mini")}
    assert reasons == {("length",)}


def test_without_content_no_span_holds_a_prompt_a_reply_code_or_an_output(traced: Traced) -> None:
    family(on_event=OTelSink(traced.provider)).completion("the question", "the input")
    found = texts(traced)
    assert [word for word in CONTENT if word in found] == []
    assert "messages" not in found


def test_with_content_spans_hold_all_of_it(traced: Traced) -> None:
    family(on_event=OTelSink(traced.provider, content=True)).completion("the question", "the input")
    found = texts(traced)
    assert [word for word in CONTENT if word not in found] == []
    first = min(traced.named("chat root"), key=lambda span: span.start_time or 0)
    system, user = json.loads(attributes(first)["gen_ai.input.messages"])
    assert (system["role"], user["role"]) == ("system", "user")
    assert "the question" in user["parts"][0]["content"]
    (answer,) = json.loads(attributes(first)["gen_ai.output.messages"])
    assert answer["parts"][0]["type"] == "text"
    assert "print(llm_query('one'))" in answer["parts"][0]["content"]
    code = min(traced.named("execute_tool repl"), key=lambda span: span.start_time or 0)
    assert json.loads(attributes(code)["gen_ai.tool.call.arguments"])["code"].startswith("print(llm_query")
    assert json.loads(attributes(code)["gen_ai.tool.call.result"]) == {"output": "said\ncontents\n"}
    tool = min(traced.named("execute_tool read"), key=lambda span: span.start_time or 0)
    assert json.loads(attributes(tool)["gen_ai.tool.call.arguments"]) == {"args": ["a"], "kwargs": {}}
    assert attributes(tool)["gen_ai.tool.call.result"] == '"contents"'


def test_a_run_that_is_cancelled_leaves_no_span_open(traced: Traced) -> None:
    asked = threading.Event()

    async def never(messages: Any) -> str:
        asked.set()
        await asyncio.Event().wait()
        return ""

    root = ScriptedModel([script.cell("llm_query_batched(['a', 'b'])")])
    run = RLM(root, sub_model=never, on_event=OTelSink(traced.provider)).start("q", "c")
    assert asked.wait(30)
    run.cancel()
    assert run.result().stop_reason == "cancelled"
    assert len(traced.named("chat scripted")) == 3
    whole = next(span for span in traced.spans if span.parent is None)
    assert attributes(whole)["rlm.stop_reason"] == "cancelled"
    assert {attributes(s).get("error.type") for s in traced.spans} == {None, "cancelled"}
    assert attributes(traced.one("execute_tool repl"))["error.type"] == "cancelled"


def test_a_root_model_that_fails_ends_its_request_and_the_run_with_an_error(traced: Traced) -> None:
    sink = OTelSink(traced.provider, content=True)
    with pytest.raises(RLMError):
        RLM(ScriptedModel([ModelError("refused (HTTP 401: bad key)")]), on_event=sink).completion("q", "c")
    for span in (traced.one("chat scripted"), traced.one("invoke_agent rlm")):
        assert attributes(span)["error.type"] == "401"
        assert span.status.description == "refused (HTTP 401: bad key)"


def test_a_limit_is_no_error_but_is_told(traced: Traced) -> None:
    root = ScriptedModel([script.cell("answer['content'] = 'so far'")] * 3)
    completion = RLM(root, max_iterations=2, on_event=OTelSink(traced.provider)).completion("q", "c")
    assert completion.stop_reason == "max_iterations"
    whole = traced.one("invoke_agent rlm")
    assert whole.status.status_code is StatusCode.UNSET
    (told,) = whole.events
    assert told.name == "rlm.limit_reached"
    assert dict(told.attributes or {}) == {"rlm.limit": "max_iterations", "rlm.maximum": 2}


@pytest.mark.parametrize("length", range(0, len(mystery()), 5))
def test_any_beginning_of_a_stream_ends_all_its_spans_when_the_sink_is_closed(traced: Traced, length: int) -> None:
    feed(traced, mystery()[:length])
    whole = [span for span in traced.spans if span.parent is None]
    assert len(whole) == min(length, 1)
    assert all(attributes(span)["error.type"] == "abandoned" for span in whole)


def test_a_process_that_ends_in_the_middle_of_a_run_sends_what_was_open() -> None:
    code = (
        "import threading\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter\n"
        "from rlm_kernel import RLM\n"
        "from rlm_kernel.sinks.otel import OTelSink\n"
        "provider = TracerProvider()\n"
        "provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))\n"
        "asked = threading.Event()\n"
        "async def never(messages):\n"
        "    asked.set()\n"
        "    import asyncio; await asyncio.Event().wait()\n"
        "RLM(never, sandbox='process', on_event=OTelSink(provider)).start('q', 'c')\n"
        "assert asked.wait(30)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count('"error.type": "abandoned"') == 2
    assert "invoke_agent rlm" in done.stdout
    assert "chat never" in done.stdout or "chat scripted" in done.stdout


def test_a_run_that_goes_on_is_a_span_of_its_own_linked_to_the_one_before(traced: Traced) -> None:
    root = ScriptedModel([script.cell("x = 1"), script.done("x"), script.done("'more'")])
    sink = OTelSink(traced.provider)
    with RLM(root, max_iterations=1, on_event=sink) as rlm:
        assert rlm.completion("q", "c").stop_reason == "max_iterations"
        assert rlm.go_on(max_iterations=5).stop_reason == "answered"
    first, second = sorted(traced.named("invoke_agent rlm"), key=lambda span: span.start_time or 0)
    assert attributes(second)["rlm.run.continued"] is True
    assert attributes(first)["rlm.run.id"] == attributes(second)["rlm.run.id"]
    assert [link.context.span_id for link in second.links] == [first.context.span_id]
    assert attributes(second)["gen_ai.request.model"] == "scripted"


def test_what_was_recorded_is_marked_and_has_no_usage(traced: Traced) -> None:
    kinds = (events.ModelReplied, events.CallFinished, events.ToolFinished)
    feed(traced, [replace(e, recorded=True) if isinstance(e, kinds) else e for e in mystery()])
    chats = [attributes(span) for span in traced.spans if span.name.startswith("chat")]
    assert len(chats) > 10
    assert {a["rlm.recorded"] for a in chats} == {True}
    assert not [name for a in chats for name in a if name.startswith("gen_ai.usage") or name == "rlm.cost"]


@pytest.mark.parametrize("live", [True, False])
def test_a_run_that_is_resumed_is_a_span_of_its_own(traced: Traced, live: bool) -> None:
    resumed = events.RunResumed(run="20260101-120000-abcdef", options={}, usage=Usage())
    stream = numbered(*mystery()[:9], resumed, *mystery()[1:])
    feed(traced, stream[9:] if live else stream)  # in a process of its own, or as the journal has both attempts
    *before, last = sorted((s for s in traced.spans if s.parent is None), key=lambda span: span.start_time or 0)
    assert attributes(last)["rlm.run.resumed"] is True
    assert attributes(last)["rlm.stop_reason"] == "answered"
    assert [link.context for link in last.links] == [span.context for span in before]
    assert [attributes(span)["error.type"] for span in before] == ([] if live else ["abandoned"])
    assert {attributes(span)["rlm.run.id"] for span in traced.spans} == {"20260101-120000-abcdef"}


def test_unknown_usage_and_cached_calls_tell_no_tokens(traced: Traced) -> None:
    unknown = Usage.of_call(None, None)
    cached = events.CallFinished(call="0.2", status="ok", text="r", usage=Usage(), seconds=0.0, cached=True)
    asked = events.CallRequested(call="0.2", kind="llm", model="callable-model", prompt="p", cell=1)
    inside = [*call(1, "p", "r", usage=unknown), asked, cached]
    feed(traced, numbered(*began(), *turn(1, "w", *cell("c", *inside)), *ended("a")))
    one, two = attributes(traced.one("chat gpt-5-nano")), attributes(traced.one("chat callable-model"))
    assert not [name for name in (*one, *two) if name.startswith("gen_ai.usage") or name == "rlm.cost"]
    assert one["rlm.usage.unpriced_calls"] == 1
    assert two["rlm.cached"] is True
    assert two["gen_ai.provider.name"] == "callable"
    assert traced.one("chat callable-model").kind is SpanKind.INTERNAL


def test_a_summary_of_the_history_is_a_request_too(traced: Traced) -> None:
    summary = events.Compacted(
        iteration=1,
        summary="short",
        dropped=3,
        messages=(Message("user", "short"),),
        usage=Usage(1, 10, 2, 0, 0, 0, 0.5),
    )
    feed(traced, numbered(*began(), *turn(1, "w", *cell("c", output("o"))), summary, *turn(2, "x"), *ended("a")))
    (compacted,) = [span for span in traced.named("chat gpt-5-mini") if "rlm.compaction" in attributes(span)]
    assert attributes(compacted)["gen_ai.usage.input_tokens"] == 10
    assert compacted.start_time == traced.one("execute_tool repl").end_time
    assert compacted.end_time is not None
    assert compacted.end_time > (compacted.start_time or 0)


def test_hooks_verdicts_are_events_of_the_call(traced: Traced) -> None:
    asked, finished = call(1, "p", "r")
    check = events.CallChecked(call="0.1", when="after", verdict="retry", reason="private")
    stream = numbered(*began(), *turn(1, "w", *cell("c", asked, check, finished)), *ended("a"))
    feed(traced, stream)
    (told,) = traced.one("chat gpt-5-nano").events
    assert dict(told.attributes or {}) == {"rlm.when": "after", "rlm.verdict": "retry"}


def test_unknown_events_and_events_of_no_run_mean_nothing(traced: Traced) -> None:
    class New(Event):
        type = "new"

    stream: list[Event] = [New(), *mystery()]
    stream[5:5] = [New(), New(node="0.99")]
    feed(traced, [*mystery()[1:], *stream, *mystery()[1:]])
    assert len([span for span in traced.spans if span.parent is None]) == 1


def test_a_clock_that_is_set_back_gives_no_negative_duration(traced: Traced) -> None:
    stream = [replace(event, time=START - event.seq) for event in mystery()]
    feed(traced, stream)
    assert all((span.end_time or 0) >= (span.start_time or 0) for span in traced.spans)
