"""The ``rlm`` command."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from rlm_kernel import __version__
from rlm_kernel.commands import again, ask, forms, machine, runs
from rlm_kernel.errors import RLMError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _run(arguments)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"rlm: {message}", file=sys.stderr)


def _run(arguments: argparse.Namespace) -> int:
    try:
        status: int = arguments.run(arguments)
    except RLMError as error:
        print(f"rlm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rlm: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read has read enough, as in `rlm runs | head`
        sys.stderr.close()
        return 0
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rlm", description="Recursive Language Models in Jupyter.")
    parser.add_argument("--version", action="version", version=f"rlm-kernel {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (ask, again, runs, forms, machine):
        group.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
