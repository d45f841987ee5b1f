"""Follows a run in the terminal to its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rlm_kernel import Run


def follow(run: Run, *, quiet: bool) -> int:
    """Show a run that was started, print its answer, and return the command's exit status."""
    from rlm_kernel.sinks.terminal import TerminalView
    from rlm_kernel.sinks.text import plain

    if not quiet:
        with TerminalView() as view:
            try:
                for event in run:
                    view(event)
            except KeyboardInterrupt:
                run.cancel()
    completion = run.result()
    print(plain(completion.text))  # a model's text may hold sequences that command the terminal
    if completion.stop_reason != "answered":
        print(
            f"rlm: stopped by {completion.stop_reason}. Go on with: rlm resume {completion.run_dir.name}; "
            f"journal: {completion.run_dir}",
            file=sys.stderr,
        )
    return {"answered": 0, "cancelled": 130}.get(completion.stop_reason, 1)
