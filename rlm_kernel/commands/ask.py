"""``rlm ask``: a question over files and folders."""

from __future__ import annotations

import argparse
from typing import Any

from rlm_kernel.arguments import add_estimate, add_options, decoding, from_file, options
from rlm_kernel.commands.following import add_approve, approving, follow, read_terminal


def add(commands: Any) -> None:
    """Add the command."""
    ask = commands.add_parser("ask", help="answer a question over files and folders")
    ask.add_argument("question")
    ask.add_argument("paths", nargs="+", metavar="FILE_OR_DIR", help="text files, folders of them, or globs")
    ask.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
    ask.add_argument("--config", metavar="FILE", help="options in TOML; those on the command line go first")
    add_approve(ask)
    add_estimate(ask)
    add_options(ask)
    ask.set_defaults(run=_ask)


def _ask(arguments: argparse.Namespace) -> int:
    from rlm_kernel import RLM, from_paths

    chosen = ({} if arguments.config is None else from_file(arguments.config)) | options(arguments)
    configured = chosen.pop("ask_above", None)
    above = configured if arguments.ask_above is None else arguments.ask_above
    approver, approve = approving(arguments)
    rlm, context = RLM(**chosen | approve), from_paths(arguments.paths, **decoding(chosen))
    if arguments.estimate:
        print(rlm.estimate(arguments.question, context))
        return 0
    if above is not None:
        rlm.estimate(arguments.question, context).confirm(above, read_terminal)
    return follow(rlm.start(arguments.question, context), quiet=arguments.quiet, approver=approver)
