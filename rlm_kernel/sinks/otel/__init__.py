"""Runs as OpenTelemetry traces, after the semantic conventions for generative AI (extra ``otel``).

| what | span | parent |
|---|---|---|
| a run, and its root RLM | ``invoke_agent rlm`` | the caller's span, else ``TRACEPARENT``'s |
| a child RLM | ``invoke_agent rlm`` | the cell that asked |
| a request to a root model | ``chat MODEL`` | its RLM |
| a plain sub-call | ``chat MODEL`` | the cell that asked |
| a cell | ``execute_tool repl`` | its RLM |
| a call of a tool of the caller's | ``execute_tool NAME`` | the cell that asked |

Times are the events' own. Prompts, replies, code, outputs and the reasons of failures are left out, unless
``content=True``; a request then has the messages that were added since the one before. The conventions' attributes are
made in `rlm_kernel.sinks.otel.genai`. What they have no name for:

| attribute | on | meaning |
|---|---|---|
| ``rlm.run.id`` | every span | the run, which is also its journal's folder |
| ``rlm.node.id``, ``rlm.node.depth`` | every span, every RLM | the RLM, such as ``0.2``, and its level |
| ``rlm.call.id`` | sub-calls | the call's own id |
| ``rlm.iteration`` | requests, cells | the turn |
| ``rlm.cell.status`` | cells | ``ok``, ``error``, ``interrupted``, ``timeout`` or ``died`` |
| ``rlm.iterations``, ``rlm.stop_reason`` | RLMs | turns, and what ended it |
| ``rlm.cost`` | requests, sub-calls, runs | US dollars, where they are known |
| ``rlm.usage.*`` | runs | the whole tree's calls and tokens; ``unpriced_calls``, ``unreported_calls`` |
| ``rlm.cached`` | sub-calls | an earlier call has answered it |
| ``rlm.recorded`` | requests, sub-calls, tools | answered from a journal: nothing was asked or paid, no usage is told |
| ``rlm.compaction`` | requests | the model summarized its history |
| ``rlm.run.continued``, ``rlm.run.resumed`` | runs | it went on after a limit, or from its journal; see the link |

``error.type`` is an HTTP status, a limit's name, a Python exception of a cell, or the last resort: ``ModelError``,
``LLMCallError``, ``ToolError``, ``cancelled``, ``abandoned`` (the process ended, or the stream did), ``error``.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from rlm_kernel.errors import OptionError
from rlm_kernel.events.types import Event, RunContinued, RunResumed, RunStarted

try:
    from opentelemetry import trace

    from rlm_kernel.sinks.otel.spans import RunSpans
except ImportError:
    raise OptionError("OpenTelemetry is not installed: pip install 'rlm-kernel[otel]'.") from None

if TYPE_CHECKING:
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider

__all__ = ["OTelSink"]

_runs: ContextVar[dict[int, RunSpans]] = ContextVar("rlm_otel_runs", default={})  # noqa: B039 - never changed in place
"""Sink -> the run that this task, or the one that made it, is part of."""


class OTelSink:
    """An event sink that makes a trace of each run; several runs may go on at once.

    Use it as ``on_event=``, or feed it a journal: ``with OTelSink() as sink: ...``. What is open when the sink is
    closed, or when the process ends in order, ends as ``abandoned``.

    Parameters
    ----------
    tracer_provider
        Where spans go; by default the process's own, as set by ``opentelemetry.trace.set_tracer_provider``.
    content
        Whether spans hold prompts, replies, code, outputs and reasons, each cut to `genai.CONTENT_CHARACTERS`.
    context
        The parent of every run. By default the span that is current where a run is started, in whichever thread;
        without one, the environment's ``TRACEPARENT`` and ``TRACESTATE``.
    attach
        Whether the span of a sub-call, a request or a tool is the current one while it goes on. Instrumentation of
        HTTP clients and SDKs, and tools with spans of their own, then hang theirs below it, and ``traceparent`` is
        sent to providers. Events must come in the task that does the work, as they do to ``on_event=``; pass
        ``False`` for events that are read in a task of your own.

    Raises
    ------
    OptionError
        When this module is imported: OpenTelemetry is not installed.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        *,
        content: bool = False,
        context: Context | None = None,
        attach: bool = True,
    ) -> None:
        self._tracer = trace.get_tracer("rlm_kernel", version("rlm-kernel"), tracer_provider)
        self._content = content
        self._context = context
        self._attach = attach
        self._lock = threading.RLock()
        self._open: list[RunSpans] = []
        self._last: RunSpans | None = None

    def __call__(self, event: Event) -> None:
        """Turn an event of any run into what it means for the run's spans."""
        if isinstance(event, RunStarted):
            run: RunSpans | None = self._new()
        elif isinstance(event, RunContinued):
            run = self._last  # its task is gone, and with it what the task knew
        elif isinstance(event, RunResumed):  # in another process, unless it is read in a journal
            run = next((r for r in (*self._open, self._last) if r is not None and r.run == event.run), self._new())
        else:
            run = self._mine()
        if run is not None:
            self._hear(run, event)

    def for_run(self) -> Callable[[Event], None]:
        """Return a sink for one run alone, which needs not find out whose an event is."""
        return partial(self._hear, self._new())

    def _new(self) -> RunSpans:
        return RunSpans(self._tracer, content=self._content, context=self._context, attach=self._attach)

    def close(self) -> None:
        """End what is open. The sink can be used again."""
        with self._lock:
            while self._open:
                self._open.pop().close()
        atexit.unregister(self.close)

    def __enter__(self) -> OTelSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _mine(self) -> RunSpans | None:
        """Return the run of this task; events that come from elsewhere, as in a conversation, are the last run's."""
        run = _runs.get().get(id(self))
        if run is not None and run in self._open:
            return run
        return self._open[-1] if self._open else None

    def _hear(self, run: RunSpans, event: Event) -> None:
        with self._lock:
            run(event)
            if run.is_open and run not in self._open:
                if not self._open:
                    atexit.register(self.close)  # before the tracer provider's own, which was registered earlier
                self._open.append(run)
                _runs.set({**_runs.get(), id(self): run})
            elif not run.is_open and run in self._open:
                self._open.remove(run)
                self._last = run
                if not self._open:
                    atexit.unregister(self.close)
