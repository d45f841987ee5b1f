"""Follows a run in the terminal to its end."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlm_kernel import Approver, Run

ASK_SECONDS = 0.1


def follow(run: Run, *, quiet: bool, approver: Approver | None = None) -> int:
    """Show a run that was started, print its answer, and return the command's exit status.

    An approver asks in the terminal, as soon as a cell is waiting.
    """
    from rlm_kernel.sinks.terminal import TerminalView
    from rlm_kernel.sinks.text import plain

    with TerminalView(quiet=quiet or None) as view:
        try:
            for event in run.events(every=ASK_SECONDS):
                if event is not None:
                    view(event)
                elif approver is not None and approver.waiting is not None:
                    with view.paused():
                        approver.ask(_read, lambda words: print(plain(words), file=sys.stderr))
        except KeyboardInterrupt:
            run.cancel()
        finally:
            if approver is not None:
                approver.close()
    completion = run.result()
    print(plain(completion.text))  # a model's text may hold sequences that command the terminal
    if completion.stop_reason != "answered":
        print(
            f"rlm: stopped by {completion.stop_reason}. Go on with: rlm resume {completion.run_dir.name}; "
            f"journal: {completion.run_dir}",
            file=sys.stderr,
        )
    return {"answered": 0, "cancelled": 130}.get(completion.stop_reason, 1)


def add_approve(parser: argparse.ArgumentParser) -> None:
    """Add ``--approve``."""
    parser.add_argument("--approve", action="store_true", help="show each cell before it runs: run, edit, skip, stop")


def approving(arguments: argparse.Namespace) -> tuple[Approver | None, dict[str, Any]]:
    """Return who approves cells, and the option that says so."""
    from rlm_kernel import Approver

    approver = Approver() if arguments.approve else None
    return approver, {} if approver is None else {"approve": approver}


def read_terminal(prompt: str) -> str:
    """Ask on standard error, and read a line of a terminal; anything else may never give one.

    Raises
    ------
    EOFError
        Standard input is no terminal, or has ended.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise EOFError
    return _read(prompt)


def _read(prompt: str) -> str:
    """Ask on standard error: standard output is for the answer."""
    print(prompt, end="", file=sys.stderr, flush=True)
    if not (row := sys.stdin.readline()):
        raise EOFError
    return row
