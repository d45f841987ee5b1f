"""``rlm export``, ``rlm import``: runs as other files, and logs of other harnesses as runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rlm_kernel.commands.again import RUN_HELP
from rlm_kernel.errors import RLMError


def add(commands: Any) -> None:
    """Add the commands."""
    export = commands.add_parser("export", help="write a run as another file")
    export.add_argument("name", metavar="RUN", help=RUN_HELP)
    export.add_argument(
        "-f", "--format", default="html", help="html (by default), notebook, markdown, viewer (of rlms), or chat"
    )
    export.add_argument(
        "-o", "--output", metavar="FILE", help="where; by default a new file here, - is standard output"
    )
    export.set_defaults(run=_export)

    importing = commands.add_parser("import", help="make runs of a log of rlms or fast-rlm, to show and export")
    importing.add_argument("log", metavar="FILE")
    importing.set_defaults(run=_import)
    for command in (export, importing):
        command.add_argument("--runs-dir", metavar="DIR", help="where journals are")


def _export(arguments: argparse.Namespace) -> int:
    from rlm_kernel.exports import file_name
    from rlm_kernel.journal import find

    saved = find(arguments.name, arguments.runs_dir)
    text = saved.export(arguments.format).encode("utf-8", "replace")
    if arguments.output == "-":
        sys.stdout.buffer.write(text)
        return 0
    target = Path(arguments.output or file_name(saved.id, arguments.format)).expanduser()
    try:
        with target.open("wb" if arguments.output else "xb") as file:
            file.write(text)
    except OSError as error:
        raise RLMError(f"{str(target)!r} cannot be written: {error.strerror}. Say where with --output.") from error
    print(target)
    return 0


def _import(arguments: argparse.Namespace) -> int:
    from rlm_kernel.imports import read_all
    from rlm_kernel.journal import Journal, default_runs_dir, new_id

    folder = Path(arguments.runs_dir or default_runs_dir()).expanduser()
    for events in read_all(arguments.log):
        journal = Journal(folder / new_id())
        for event in events:
            journal(event)
        journal.close()
        print(journal.run_dir.name)
    return 0
