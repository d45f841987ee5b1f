"""The options as arguments: one table for the ``rlm`` command, the ``%%rlm`` magic and its configuration."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

from rlm_kernel.errors import OptionError

_TABLE: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("-m --model", "the root model, provider/model", {}),
    ("-s --sub-model", "the model of plain sub-calls; by default the root model", {}),
    ("--child-model", "the root model of child RLMs; by default the root model", {}),
    ("--base-url", "another address that speaks the provider's protocol", {"metavar": "URL"}),
    ("--sandbox", "the box for model-written code: bubblewrap, landlock, or process, which isolates nothing", {}),
    ("--memory-mb", "memory of each kernel", {"type": int}),
    ("--depth", "levels of REPLs; at 1 every sub-call is a plain completion", {"dest": "max_depth", "type": int}),
    ("--max-iterations", "turns of the root model", {"type": int}),
    ("--max-calls", "sub-calls of the whole run", {"type": int}),
    ("--max-tokens", "tokens of the whole run", {"type": int}),
    ("--max-cost", "US dollars of the whole run", {"type": float, "metavar": "USD"}),
    ("--max-seconds", "seconds of the whole run", {"type": float}),
    ("--max-errors", "turns in a row that may fail", {"type": int}),
    ("--max-concurrency", "requests in flight at once to a provider", {"type": int}),
    ("--cell-seconds", "a cell's own running time", {"type": float}),
    ("--prompt", "the system prompt: default, cost_warning, small_context or small_model", {}),
    ("--compat", "rlms: talk to the model as that library does", {}),
    ("--cache", "a folder that keeps the answers of sub-calls for other runs", {"metavar": "DIR"}),
    ("--context-format", "what a file is: auto, text, json, jsonl, csv or parquet", {"metavar": "FORMAT"}),
    ("--encoding", "how files and bytes become text; by default utf-8", {}),
    ("--encoding-errors", "what is not valid in it: strict, replace, ignore, backslashreplace, surrogateescape", {}),
    ("--runs-dir", "where journals go", {"metavar": "DIR"}),
)

FLAGS = tuple(flag for flags, _, _ in _TABLE for flag in flags.split() if flag.startswith("--"))
"""The long names, for completion."""

HELP: dict[str, tuple[type, str]] = {
    settings.get("dest") or flags.split()[-1].removeprefix("--").replace("-", "_"): (settings.get("type", str), text)
    for flags, text, settings in _TABLE
}
"""The same options as `rlm_kernel.RLM` names them -> their type and what they are."""


DOORS: dict[str, tuple[type, str]] = {
    "ask_above": (
        float,
        "ask before a run that may cost more US dollars than this, by past runs, or an unknown sum",
    ),
    "show_estimate": (bool, "whether a notebook's cell says what past runs came to; by default where there are some"),
}
"""Options of the doors to a run, which are none of its own, with their type and what they are."""

CONFIGURED = HELP | DOORS
"""What ``%config RLMMagics`` sets."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add every option of a run to a parser; what is not given is ``None``."""
    for flags, text, settings in _TABLE:
        metavar = {int: "N", float: "S"}.get(settings.get("type", str), "NAME")
        parser.add_argument(*flags.split(), help=text, **{"metavar": metavar, **settings})


def add_estimate(parser: argparse.ArgumentParser) -> None:
    """Add ``--estimate`` and ``--ask-above``."""
    parser.add_argument(
        "--estimate", action="store_true", help="say how big the input is and what past runs came to; nobody is asked"
    )
    kind, text = DOORS["ask_above"]
    parser.add_argument("--ask-above", help=text, metavar="USD", type=kind)


def options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as keywords for `rlm_kernel.RLM`."""
    return {name: value for name in HELP if (value := getattr(arguments, name)) is not None}


def from_file(path: str | Path) -> dict[str, Any]:
    """Read options from a TOML file, as keywords for `rlm_kernel.RLM`.

    Raises
    ------
    OptionError
        It cannot be read, or is not TOML.
    """
    try:
        chosen = tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"The configuration {str(path)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise OptionError(f"The configuration {str(path)!r} is not TOML: {error}.") from error
    if isinstance(models := chosen.get("models"), dict):  # TOML's keys are text, and a depth is a number
        chosen["models"] = {int(key) if key.isdigit() else key: model for key, model in models.items()}
    return chosen


def decoding(options: dict[str, Any]) -> dict[str, Any]:
    """Return those of the options that `rlm_kernel.from_paths` takes too."""
    return {name: options[name] for name in ("encoding", "encoding_errors") if name in options}
