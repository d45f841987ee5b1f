"""The ``rlm`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rlm_kernel import __version__
from rlm_kernel.arguments import add_options, decoding, from_file, options
from rlm_kernel.errors import RLMError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except RLMError as error:
        print(f"rlm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rlm: interrupted", file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rlm", description="Recursive Language Models in Jupyter.")
    parser.add_argument("--version", action="version", version=f"rlm-kernel {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ask = commands.add_parser("ask", help="answer a question over files and folders")
    ask.add_argument("question")
    ask.add_argument("paths", nargs="+", metavar="FILE_OR_DIR", help="text files, folders of them, or globs")
    ask.add_argument("-q", "--quiet", action="store_true", help="print the answer only")
    ask.add_argument("--config", metavar="FILE", help="options in TOML; those on the command line go first")
    add_options(ask)
    ask.set_defaults(run=_ask)

    doctor = commands.add_parser("doctor", help="say what works on this machine")
    doctor.add_argument("--sandbox", metavar="NAME", help="check everything that a sandbox has to do and to prevent")
    doctor.set_defaults(run=_doctor)

    models = commands.add_parser("models", help="the embedded models")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    install = actions.add_parser("install", help="fetch a model's weights")
    install.add_argument("name", help="such as smollm2")
    install.set_defaults(run=_install)
    return parser


def _ask(arguments: argparse.Namespace) -> int:
    from rlm_kernel import RLM, from_paths
    from rlm_kernel.sinks.terminal import TerminalView
    from rlm_kernel.sinks.text import plain

    chosen = ({} if arguments.config is None else from_file(arguments.config)) | options(arguments)
    run = RLM(**chosen).start(arguments.question, from_paths(arguments.paths, **decoding(chosen)))
    if not arguments.quiet:
        with TerminalView() as view:
            try:
                for event in run:
                    view(event)
            except KeyboardInterrupt:
                run.cancel()
    completion = run.result()
    print(plain(completion.text))  # a model's text may hold sequences that command the terminal
    if completion.stop_reason != "answered":
        print(f"rlm: stopped by {completion.stop_reason}; journal: {completion.run_dir}", file=sys.stderr)
    return {"answered": 0, "cancelled": 130}.get(completion.stop_reason, 1)


def _doctor(arguments: argparse.Namespace) -> int:
    if arguments.sandbox is not None:
        return _check_sandbox(arguments.sandbox)
    from rlm_kernel.host.doctor import checkup

    checks = checkup()
    for check in checks:
        print(check)
    return 0 if all(check.works or check.optional for check in checks) else 1


def _check_sandbox(name: str) -> int:
    import asyncio

    from rlm_kernel.host.sandboxes import provisioner_name
    from rlm_kernel.host.sandboxes.conformance import conform

    provisioner_name(name)
    outcomes = asyncio.run(conform(name))
    for outcome in outcomes:
        print(outcome)
    return 0 if all(outcome.error is None for outcome in outcomes) else 1


def _install(arguments: argparse.Namespace) -> int:
    from rlm_kernel.host.providers.weights import install

    install(arguments.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
