"""The journal: a directory per run, from which it can be seen, resumed, replayed and forked."""

from rlm_kernel.journal.reader import read
from rlm_kernel.journal.runs import default_runs_dir, find, new_id, prune, runs
from rlm_kernel.journal.saved import SavedRun
from rlm_kernel.journal.writer import EVENTS_FILE, RUN_FILE, Journal

__all__ = [
    "EVENTS_FILE",
    "RUN_FILE",
    "Journal",
    "SavedRun",
    "default_runs_dir",
    "find",
    "new_id",
    "prune",
    "read",
    "runs",
]
