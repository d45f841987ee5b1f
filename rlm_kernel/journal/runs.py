"""Where journals are: name a new one, list them, find one, prune old ones."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

from rlm_kernel.errors import OptionError, RLMError
from rlm_kernel.journal.inputs import sweep
from rlm_kernel.journal.saved import SavedRun
from rlm_kernel.journal.writer import EVENTS_FILE

DAY = 86_400.0


def default_runs_dir() -> Path:
    """Return where journals go: ``RLM_RUNS_DIR``, else ``rlm/runs`` in Jupyter's data directory."""
    if chosen := os.environ.get("RLM_RUNS_DIR"):
        return Path(chosen).expanduser()
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir(), "rlm", "runs")


def new_id() -> str:
    """Return a name for a new run: when it began, and a few letters by chance."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def runs(runs_dir: str | Path | None = None) -> list[SavedRun]:
    """Return the runs in a folder, the newest first; what is no run is left out."""
    folder = _folder(runs_dir)
    with suppress(OSError):
        found = [path for path in folder.iterdir() if (path / EVENTS_FILE).exists()]
        return [SavedRun(path) for path in sorted(found, key=_changed, reverse=True)]
    return []


def find(run: str | Path | SavedRun, runs_dir: str | Path | None = None) -> SavedRun:
    """Return the run that is meant: a directory, an id or the beginning of one, or ``last``.

    Raises
    ------
    RLMError
        There is none, or several.
    """
    if isinstance(run, SavedRun):
        return run
    if (Path(run).expanduser() / EVENTS_FILE).exists():
        return SavedRun(run)
    folder = _folder(runs_dir)
    known = runs(folder)
    if run == "last" and known:
        return known[0]
    fitting = [saved for saved in known if saved.id == str(run)] or [s for s in known if s.id.startswith(str(run))]
    if len(fitting) == 1 and str(run):
        return fitting[0]
    if len(fitting) > 1 and str(run):
        raise RLMError(f"{len(fitting)} runs begin with {str(run)!r}: {', '.join(s.id for s in fitting[:5])}, ...")
    raise RLMError(f"There is no run {str(run)!r} in {str(folder)!r}. See `rlm runs`, or give the run's directory.")


def prune(
    runs_dir: str | Path | None = None,
    *,
    keep: int | None = None,
    older_than: float | None = None,
    dry_run: bool = False,
) -> list[SavedRun]:
    """Remove runs for good, and inputs that no run has any more; those that a process is writing stay.

    Parameters
    ----------
    runs_dir
        Where they are.
    keep
        How many of the newest stay, whatever their age.
    older_than
        Days since their last change.
    dry_run
        Only say which.

    Returns
    -------
    list of SavedRun
        What was removed, or would be.

    Raises
    ------
    OptionError
        Neither is given, or one is below 0.
    """
    if (keep is None and older_than is None) or (keep or 0) < 0 or (older_than or 0) < 0:
        raise OptionError("Say what may go: keep= a number of runs, older_than= a number of days, or both.")
    folder, now = _folder(runs_dir), time.time()
    chosen = [
        saved
        for saved in runs(folder)[keep or 0 :]
        if (older_than is None or now - _changed(saved.directory) > older_than * DAY) and not saved.is_live
    ]
    if not dry_run:
        for saved in chosen:
            shutil.rmtree(saved.directory, ignore_errors=True)
        sweep(folder)
    return chosen


def _folder(runs_dir: str | Path | None) -> Path:
    return default_runs_dir() if runs_dir is None else Path(runs_dir).expanduser()


def _changed(run_dir: Path) -> float:
    with suppress(OSError):
        return (run_dir / EVENTS_FILE).stat().st_mtime
    return 0.0
