"""Finds a live kernel of this process by its run."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from rlm_kernel.errors import ReplError
from rlm_kernel.host.live.live_repl import LiveRepl
from rlm_kernel.journal.runs import find

if TYPE_CHECKING:
    from rlm_kernel.host.run import Run

_RUNS: weakref.WeakValueDictionary[str, Run] = weakref.WeakValueDictionary()


def remember(run: Run) -> None:
    """Let a run be found, as long as anybody has it."""
    _RUNS.pop(run.id, None)
    _RUNS[run.id] = run


def attach(run: str = "last", node: str = "0") -> LiveRepl:
    """Return the live kernel of a run in this process.

    Parameters
    ----------
    run
        Its id or the beginning of it, or ``"last"``: the one that was begun last of those whose kernels live.
    node
        ``"0"`` for the root, or a child's id, such as ``"0.3"``.

    Raises
    ------
    ReplError
        There is no such run, it is over and its kernel has ended, or another process has it.
    """
    known = [each for each in reversed(list(_RUNS.values())) if run == "last" or each.id.startswith(run)]
    for each in known:
        if (repl := each.repl_of(node)).is_live:
            return repl
    live = [each for each in known if each.repl.is_live]
    if live or (known and run != "last"):
        _ = (live or known)[0].repl_of(node).connection_file  # says why there is none
    if run == "last":
        raise ReplError(
            "No run has a live kernel in this process. %%rlm --session NAME keeps one, rlm.start(...) begins a run "
            "that can be looked into, and %rlm_names last has the names of a run that is over."
        )
    saved = find(run)
    if saved.is_live:
        raise ReplError(f"The run {saved.id} goes on in another process, and its kernel belongs to that one.")
    raise ReplError(
        f"The run {saved.id} is over, and its kernel has ended with it. Ask in a kernel that stays "
        f"(%%rlm --session NAME), get its names from the journal (%rlm_names {saved.id}), or go on with it "
        f"(%rlm --resume {saved.id})."
    )
