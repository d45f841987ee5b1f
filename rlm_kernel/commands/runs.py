"""``rlm runs``, ``rlm show``, ``rlm prune``, ``rlm compare``: what is on disk."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from rlm_kernel.commands.again import RUN_HELP

if TYPE_CHECKING:
    from rlm_kernel import SavedRun

QUESTION_CHARACTERS = 60


def add(commands: Any) -> None:
    """Add the commands."""
    listed = commands.add_parser("runs", help="list the runs, the newest first")
    listed.add_argument("-n", type=int, default=20, metavar="N", help="how many; 0 is all")
    listed.add_argument("--json", action="store_true", help="as lines of JSON")
    listed.set_defaults(run=_list)

    show = commands.add_parser("show", help="show a run's tree")
    show.add_argument("name", metavar="RUN", help=RUN_HELP)
    show.set_defaults(run=_show)

    prune = commands.add_parser("prune", help="remove old runs for good")
    prune.add_argument("--keep", type=int, metavar="N", help="how many of the newest stay")
    prune.add_argument("--older-than", type=float, metavar="DAYS", help="only those that are older")
    prune.add_argument("--dry-run", action="store_true", help="only say which")
    prune.set_defaults(run=_prune)

    compare = commands.add_parser("compare", help="show runs side by side")
    compare.add_argument("names", nargs="+", metavar="RUN", help=RUN_HELP)
    compare.set_defaults(run=_compare)
    for command in (listed, show, prune, compare):
        command.add_argument("--runs-dir", metavar="DIR", help="where journals are")


def _list(arguments: argparse.Namespace) -> int:
    from rlm_kernel import runs

    found = runs(arguments.runs_dir)
    for saved in found[: arguments.n or None]:
        print(json.dumps(_facts(saved)) if arguments.json else _line(saved))
    if not found and not arguments.json:
        print("There are no runs yet.")
    return 0


def _facts(saved: SavedRun) -> dict[str, Any]:
    usage = getattr(saved.last, "usage", None)
    return {
        "run": saved.id,
        "state": saved.state,
        "started": saved.started,
        "question": saved.question,
        "calls": None if usage is None else usage.calls,
        "cost": None if usage is None or usage.unpriced else usage.cost,
        "forked_from": saved.forked_from,
        "directory": str(saved.directory),
    }


def _line(saved: SavedRun) -> str:
    from rlm_kernel.sinks.text import line

    usage = getattr(saved.last, "usage", None)
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(saved.started))
    used = "" if usage is None else str(usage)
    return f"{saved.id}  {began}  {saved.state:14}  {line(saved.question, QUESTION_CHARACTERS):60}  {used}".rstrip()


def _show(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rlm_kernel.journal import find
    from rlm_kernel.sinks.terminal import render

    Console().print(render(find(arguments.name, arguments.runs_dir).tree))
    return 0


def _prune(arguments: argparse.Namespace) -> int:
    from rlm_kernel.journal import prune

    removed = prune(arguments.runs_dir, keep=arguments.keep, older_than=arguments.older_than, dry_run=arguments.dry_run)
    for saved in removed:
        print(saved.id)
    print(f"{len(removed)} runs {'would be' if arguments.dry_run else 'were'} removed.")
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from rlm_kernel import compare
    from rlm_kernel.journal import find

    saved = {name: find(name, arguments.runs_dir) for name in arguments.names}
    Console().print(compare({run.id: run.tree for run in saved.values()}))
    return 0
