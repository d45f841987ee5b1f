"""The options as command-line arguments: one table for the ``rlm`` command and the ``%%rlm`` magic."""

from __future__ import annotations

import argparse
from typing import Any

_TABLE: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("-m --model", "the root model, provider/model", {}),
    ("-s --sub-model", "the model of plain sub-calls; by default the root model", {}),
    ("--base-url", "another address that speaks the provider's protocol", {"metavar": "URL"}),
    ("--sandbox", "the box for model-written code: bubblewrap, landlock, or process, which isolates nothing", {}),
    ("--memory-mb", "memory of each kernel", {"type": int}),
    ("--depth", "levels of REPLs; at 1 every sub-call is a plain completion", {"dest": "max_depth", "type": int}),
    ("--max-iterations", "turns of the root model", {"type": int}),
    ("--max-calls", "sub-calls of the whole run", {"type": int}),
    ("--max-tokens", "tokens of the whole run", {"type": int}),
    ("--max-seconds", "seconds of the whole run", {"type": float}),
    ("--encoding", "how files and bytes become text; by default utf-8", {}),
    ("--encoding-errors", "what is not valid in it: strict, replace, ignore, backslashreplace, surrogateescape", {}),
    ("--runs-dir", "where journals go", {"metavar": "DIR"}),
)

FLAGS = tuple(flag for flags, _, _ in _TABLE for flag in flags.split() if flag.startswith("--"))
"""The long names, for completion."""

NAMES = tuple(
    settings.get("dest") or flags.split()[-1].removeprefix("--").replace("-", "_") for flags, _, settings in _TABLE
)
"""The same options as `rlm_kernel.RLM` names them."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of a run to a parser; what is not given is ``None``."""
    for flags, text, settings in _TABLE:
        metavar = {int: "N", float: "S"}.get(settings.get("type", str), "NAME")
        parser.add_argument(*flags.split(), help=text, **{"metavar": metavar, **settings})


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as keywords for `rlm_kernel.RLM`."""
    return {name: value for name in NAMES if (value := getattr(arguments, name)) is not None}


def decoding(options: dict[str, Any]) -> dict[str, Any]:
    """Return those of the options that `rlm_kernel.from_paths` takes too."""
    return {name: options[name] for name in ("encoding", "encoding_errors") if name in options}
