"""Before a run: a line that says what past runs came to, and above a threshold the question whether it may begin."""

from __future__ import annotations

import sys
from html import escape
from typing import Any

from IPython.core.error import UsageError
from IPython.display import display

from rlm_kernel import RLM, Estimate

STYLE = "font-size:12px;opacity:0.65"


def look(magics: Any, arguments: Any, rlm: RLM, question: str, context: Any) -> None:
    """Show the line, where there are enough runs like this one, and ask, where that is set.

    Parameters
    ----------
    magics
        With IPython's ``shell``, and what is configured: ``ask_above``, ``show_estimate``.
    arguments
        Of the line, which goes first.
    rlm, question, context
        What is about to begin.

    Raises
    ------
    RLMError
        It may not begin, or cannot.
    """
    above = magics.ask_above if arguments.ask_above is None else arguments.ask_above
    in_notebook = hasattr(magics.shell, "kernel")
    shows = in_notebook and not arguments.quiet and magics.show_estimate is not False
    if above is None and not shows:
        return
    estimate = rlm.estimate(question, context)
    if shows and estimate.is_close:
        _show(estimate)
    if above is not None:
        estimate.confirm(above, input if in_notebook else _read_terminal)


def say(arguments: Any, chosen: dict[str, Any], question: str, context: Any) -> None:
    """Print what a run may come to: ``--estimate``.

    Raises
    ------
    UsageError
        The line is not about a new run.
    RLMError
        It could not begin.
    """
    if arguments.session or arguments.resume or arguments.replay:
        raise UsageError("--estimate needs a new run, and not --session, --resume or --replay.")
    print(RLM(**chosen).estimate(question, context))  # noqa: T201


def _show(estimate: Estimate) -> None:
    line = str(estimate)
    html = escape(line).replace("$", "<span>$</span>")  # two in one element would be a formula
    display({"text/html": f'<div style="{STYLE}">{html}</div>', "text/plain": line}, raw=True)


def _read_terminal(prompt: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():  # as under `ipython script.ipy` in a job
        raise EOFError
    return input(prompt)
