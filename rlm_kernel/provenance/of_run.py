"""The same for a run in the journal, whose input is there too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlm_kernel.host.resume.loading import loaded_inputs
from rlm_kernel.host.resume.recording import recording
from rlm_kernel.journal import SavedRun, find
from rlm_kernel.provenance.coverage import Coverage, coverage_of
from rlm_kernel.provenance.evidence import Evidence, evidence_of


def coverage(run: str | Path | SavedRun, context: Any = None) -> Coverage:
    """Return which parts of a run's input some model has read, by which call, how often, and which nobody read.

    Shown in a notebook, it is a strip along the input. See `rlm_kernel.provenance.coverage` for what counts as read.

    Parameters
    ----------
    run
        Its directory, its id or the beginning of it, or ``"last"``.
    context
        The input, where the journal does not have it.

    Raises
    ------
    ContextError
        The input is gone, or has changed.
    RLMError
        There is no such run, or it cannot be read.
    """
    saved = find(run)
    if context is None:
        past = recording(saved.events())
        inputs = loaded_inputs(saved, past)
        context = inputs[0] if len(inputs) == 1 else dict(zip(past.inputs, inputs, strict=True))
    return coverage_of(saved.events(), context)


def evidence(run: str | Path | SavedRun) -> Evidence:
    """Return the cells and sub-calls that led to a run's answer.

    Parameters
    ----------
    run
        Its directory, its id or the beginning of it, or ``"last"``.

    Raises
    ------
    RLMError
        There is no such run, or it cannot be read.
    """
    return evidence_of(find(run).tree)
