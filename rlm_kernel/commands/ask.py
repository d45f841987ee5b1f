"""``rlm ask``: a question over files and folders."""

from __future__ import annotations

import argparse
from typing import Any

from rlm_kernel.arguments import add_options, decoding, from_file, options
from rlm_kernel.commands.following import add_approve, approving, follow


def add(commands: Any) -> None:
    """Add the command."""
    ask = commands.add_parser("ask", help="answer a question over files and folders")
    ask.add_argument("question")
    ask.add_argument("paths", nargs="+", metavar="FILE_OR_DIR", help="text files, folders of them, or globs")
    ask.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
    ask.add_argument("--config", metavar="FILE", help="options in TOML; those on the command line go first")
    add_approve(ask)
    add_options(ask)
    ask.set_defaults(run=_ask)


def _ask(arguments: argparse.Namespace) -> int:
    from rlm_kernel import RLM, from_paths

    chosen = ({} if arguments.config is None else from_file(arguments.config)) | options(arguments)
    approver, approve = approving(arguments)
    run = RLM(**chosen | approve).start(arguments.question, from_paths(arguments.paths, **decoding(chosen)))
    return follow(run, quiet=arguments.quiet, approver=approver)
