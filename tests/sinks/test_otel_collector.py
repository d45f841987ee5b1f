"""Traces at a real collector, over OTLP and HTTP on loopback; and what hostile texts and many calls do to them."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from rlm_kernel.sinks.otel import OTelSink
from tests.events.stories import began, call, cell, ended, numbered, turn
from tests.sinks import hostile
from tests.sinks.traced import Traced, family, feed


class Collector:
    """A collector that speaks OTLP over HTTP, on loopback."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                assert self.path == "/v1/traces"
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        assert scope.scope.name == "rlm_kernel"
                        collector.spans.extend(scope.spans)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}/v1/traces"

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each span's parent's name, and its own."""
        names = {span.span_id: span.name for span in self.spans}
        return sorted((names.get(span.parent_span_id, ""), span.name) for span in self.spans)


def exporting(collector: Collector) -> TracerProvider:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=collector.endpoint)))
    return provider


def test_a_collector_gets_every_span_with_its_parent() -> None:
    with Collector() as collector:
        provider = exporting(collector)
        family(on_event=OTelSink(provider, content=True)).completion("q", "the input")
        provider.shutdown()
    agent, repl = "invoke_agent rlm", "execute_tool repl"
    assert collector.pairs == sorted(
        [
            ("", agent),
            *[(agent, "chat root")] * 3,
            *[(agent, repl)] * 4,
            *[(repl, "chat sub")] * 4,
            *[(repl, "execute_tool read")] * 2,
            (repl, agent),
            (agent, "chat child"),
        ]
    )
    assert {len(span.trace_id) for span in collector.spans} == {16}
    values = {a.key: a.value for span in collector.spans for a in span.attributes}
    assert values["gen_ai.usage.input_tokens"].int_value == 70
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in collector.spans)


@pytest.mark.parametrize("text", hostile.TEXTS.values(), ids=hostile.TEXTS)
@pytest.mark.parametrize("content", [False, True])
def test_hostile_texts_reach_the_collector_and_are_cut(text: str, content: bool) -> None:
    with Collector() as collector:
        provider = exporting(collector)
        with OTelSink(provider, content=content) as sink:
            for event in hostile.run(text):
                sink(event)
        provider.shutdown()
    assert len([span for span in collector.spans if not span.parent_span_id]) == 1
    for span in collector.spans:
        assert len(span.name) < 200
        for attribute in span.attributes:
            assert len(attribute.value.string_value) < 400_000
            if not content:
                assert len(attribute.value.string_value) <= 200


def test_ten_thousand_calls_cost_little() -> None:
    traced = Traced()
    many = [event for n in range(1, 10_001) for event in call(n, "p", "r")]
    stream = numbered(
        *began(), *turn(1, "w", *cell("c", *many[::2], *many[1::2])), *ended("a")
    )  # all at once in flight
    started = time.process_time()
    feed(traced, stream)
    assert time.process_time() - started < 6  # less than one on an idle machine, and most of it the SDK's
    assert len(traced.spans) == 10_003


def test_without_opentelemetry_the_text_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from rlm_kernel.errors import OptionError\n"
        "try:\n    from rlm_kernel.sinks.otel import OTelSink\n"
        "except OptionError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "OpenTelemetry is not installed: pip install 'rlm-kernel[otel]'.\n"
