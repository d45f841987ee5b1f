"""``rlm resume``, ``rlm replay``, ``rlm fork``: runs that begin with what a journal holds."""

from __future__ import annotations

import argparse
from typing import Any

from rlm_kernel.arguments import add_options, decoding, options
from rlm_kernel.commands.following import add_approve, approving, follow

RUN_HELP = "a run's id or the beginning of it, its directory, or last"


def add(commands: Any) -> None:
    """Add the commands."""
    resume = commands.add_parser("resume", help="go on with a run where it ended; what was paid for is not paid again")
    replay = commands.add_parser("replay", help="do the same as a run did, with no model at all")
    fork = commands.add_parser("fork", help="begin a new run with the first turns of another one")
    fork.add_argument(
        "--turn", type=int, required=True, metavar="N", help="the last turn that is taken over; 0 is none"
    )
    fork.add_argument("--question", metavar="TEXT", help="another question")
    for command, run in ((resume, _resume), (replay, _replay), (fork, _fork)):
        command.add_argument("name", metavar="RUN", help=RUN_HELP)
        command.add_argument("--context", nargs="+", metavar="FILE_OR_DIR", help="the input, where it is another one")
        command.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
        if command is not replay:
            add_approve(command)
        add_options(command)
        command.set_defaults(run=run)


def _resume(arguments: argparse.Namespace) -> int:
    from rlm_kernel import resume

    approver, approve = approving(arguments)
    run = resume(arguments.name, _context(arguments), **options(arguments) | approve)
    return follow(run.start(), quiet=arguments.quiet, approver=approver)


def _replay(arguments: argparse.Namespace) -> int:
    from rlm_kernel import replay

    run = replay(arguments.name, _context(arguments), **options(arguments))
    return follow(run.start(), quiet=arguments.quiet)


def _fork(arguments: argparse.Namespace) -> int:
    from rlm_kernel import fork

    approver, approve = approving(arguments)
    changes = options(arguments) | approve
    run = fork(arguments.name, arguments.turn, _context(arguments), question=arguments.question, **changes)
    return follow(run.start(), quiet=arguments.quiet, approver=approver)


def _context(arguments: argparse.Namespace) -> Any:
    from rlm_kernel import from_paths

    if arguments.context is None:
        return None
    return from_paths(arguments.context, **decoding(options(arguments)))
