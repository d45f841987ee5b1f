"""Recursive Language Models in Jupyter.

Public names load lazily, because the kernel process in the box imports this package too and must never load
the host's side of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from rlm_kernel.comparing import compare as compare
    from rlm_kernel.errors import ContextError as ContextError
    from rlm_kernel.errors import LimitReached as LimitReached
    from rlm_kernel.errors import LLMCallError as LLMCallError
    from rlm_kernel.errors import ModelError as ModelError
    from rlm_kernel.errors import OptionError as OptionError
    from rlm_kernel.errors import ReplError as ReplError
    from rlm_kernel.errors import RLMError as RLMError
    from rlm_kernel.errors import SandboxError as SandboxError
    from rlm_kernel.errors import ToolError as ToolError
    from rlm_kernel.host.completion import Completion as Completion
    from rlm_kernel.host.estimate import Estimate as Estimate
    from rlm_kernel.host.inputs.paths import from_paths as from_paths
    from rlm_kernel.host.live import LiveRepl as LiveRepl
    from rlm_kernel.host.live import attach as attach
    from rlm_kernel.host.own.repl import OwnRepl as OwnRepl
    from rlm_kernel.host.plain import PlainResult as PlainResult
    from rlm_kernel.host.providers.available import Provider as Provider
    from rlm_kernel.host.providers.available import providers as providers
    from rlm_kernel.host.providers.scripted import ScriptedModel as ScriptedModel
    from rlm_kernel.host.resume.begin import fork as fork
    from rlm_kernel.host.resume.begin import resume as resume
    from rlm_kernel.host.resume.names import give_names as give_names
    from rlm_kernel.host.resume.replay import replay as replay
    from rlm_kernel.host.rlm import RLM as RLM
    from rlm_kernel.host.run import Run as Run
    from rlm_kernel.host.sandboxes import sandbox_names as sandbox_names
    from rlm_kernel.host.secret import Secret as Secret
    from rlm_kernel.host.tools import Source as Source
    from rlm_kernel.host.verify import Approver as Approver
    from rlm_kernel.host.verify import ProposedCell as ProposedCell
    from rlm_kernel.host.verify import SubCall as SubCall
    from rlm_kernel.host.verify import Verdict as Verdict
    from rlm_kernel.journal.runs import find as find
    from rlm_kernel.journal.runs import runs as runs
    from rlm_kernel.journal.saved import SavedRun as SavedRun
    from rlm_kernel.kernel.traces import without_our_frames as without_our_frames
    from rlm_kernel.provenance.of_run import coverage as coverage
    from rlm_kernel.provenance.of_run import evidence as evidence
    from rlm_kernel.sinks.otel import OTelSink as OTelSink
    from rlm_kernel.sinks.terminal import TerminalView as TerminalView

_HOME = {
    "Approver": "rlm_kernel.host.verify",
    "Completion": "rlm_kernel.host.completion",
    "ContextError": "rlm_kernel.errors",
    "Estimate": "rlm_kernel.host.estimate",
    "LLMCallError": "rlm_kernel.errors",
    "LimitReached": "rlm_kernel.errors",
    "LiveRepl": "rlm_kernel.host.live",
    "ModelError": "rlm_kernel.errors",
    "OTelSink": "rlm_kernel.sinks.otel",
    "OptionError": "rlm_kernel.errors",
    "OwnRepl": "rlm_kernel.host.own.repl",
    "PlainResult": "rlm_kernel.host.plain",
    "Provider": "rlm_kernel.host.providers.available",
    "ProposedCell": "rlm_kernel.host.verify",
    "RLM": "rlm_kernel.host.rlm",
    "RLMError": "rlm_kernel.errors",
    "ReplError": "rlm_kernel.errors",
    "Run": "rlm_kernel.host.run",
    "SandboxError": "rlm_kernel.errors",
    "SavedRun": "rlm_kernel.journal.saved",
    "ScriptedModel": "rlm_kernel.host.providers.scripted",
    "Secret": "rlm_kernel.host.secret",
    "Source": "rlm_kernel.host.tools",
    "SubCall": "rlm_kernel.host.verify",
    "TerminalView": "rlm_kernel.sinks.terminal",
    "ToolError": "rlm_kernel.errors",
    "Verdict": "rlm_kernel.host.verify",
    "attach": "rlm_kernel.host.live",
    "compare": "rlm_kernel.comparing",
    "coverage": "rlm_kernel.provenance.of_run",
    "evidence": "rlm_kernel.provenance.of_run",
    "find": "rlm_kernel.journal.runs",
    "fork": "rlm_kernel.host.resume.begin",
    "from_paths": "rlm_kernel.host.inputs.paths",
    "give_names": "rlm_kernel.host.resume.names",
    "providers": "rlm_kernel.host.providers.available",
    "replay": "rlm_kernel.host.resume.replay",
    "resume": "rlm_kernel.host.resume.begin",
    "runs": "rlm_kernel.journal.runs",
    "sandbox_names": "rlm_kernel.host.sandboxes",
    "without_our_frames": "rlm_kernel.kernel.traces",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
