"""``python -m tests.options_page`` writes the tables of ``docs/options.md`` from the options' own classes."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from rlm_kernel.arguments import add_options
from rlm_kernel.host.options import PRESETS, RAISABLE, BoxOptions, Limits, Options
from rlm_kernel.host.options.calls import CallOptions
from rlm_kernel.host.options.context import ContextOptions
from rlm_kernel.host.options.loop import LoopOptions
from rlm_kernel.host.options.models import ModelChoice

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"
BEGIN, END = "<!-- begin: written by python -m tests.options_page -->", "<!-- end -->"

GROUPS: dict[str, type[Any]] = {
    "Models": ModelChoice,
    "Limits": Limits,
    "The loop": LoopOptions,
    "Sub-calls, tools, journal": CallOptions,
    "The input": ContextOptions,
    "The box": BoxOptions,
}

_ENTRY = re.compile(r"^(\w+(?:, \w+)*)\n((?: {4}.*\n?)+)", re.MULTILINE)


def descriptions(group: type[Any]) -> dict[str, str]:
    """Return what a class says about each of its attributes, as one line of Markdown."""
    _, _, section = (inspect.getdoc(group) or "").partition("Attributes\n----------\n")
    texts = {}
    for names, text in _ENTRY.findall(section):
        first, *others = names.split(", ")
        texts[first] = " ".join(text.split()).replace("``", "`")
        texts.update(dict.fromkeys(others, f"See `{first}`."))
    return texts


def fields(group: type[Any]) -> list[dataclasses.Field[Any]]:
    """Return the options of a group, in the order in which it has them."""
    return list(dataclasses.fields(group))


def flags() -> dict[str, str]:
    """Return the options that ``%%rlm`` and the ``rlm`` command take -> how they are written there."""
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    return {action.dest: action.option_strings[-1] for action in parser._actions}


def rows(group: type[Any]) -> Iterator[str]:
    """Yield a table's rows."""
    texts, on_the_line = descriptions(group), flags()
    for option in fields(group):
        text = texts[option.name]
        if option.name in RAISABLE:
            text += " `go_on` may raise it."
        flag = f"`{on_the_line[option.name]}`" if option.name in on_the_line else ""
        cells = (f"`{option.name}`", f"`{option.type}`", f"`{_default(option)}`", flag, text)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def markdown() -> str:
    """Return the tables of the page."""
    parts = [BEGIN, "\n"]
    for title, group in GROUPS.items():
        head = "| option | type | default | in `%%rlm` and `rlm` | |\n|---|---|---|---|---|\n"
        parts.append(f"\n## {title}\n\n{head}{''.join(rows(group))}")
    parts.append("\n## Presets\n\n| option | sets, where you do not say otherwise |\n|---|---|\n")
    for (name, value), preset in PRESETS.items():
        sets = ", ".join(f"`{option}={chosen!r}`" for option, chosen in preset.items())
        parts.append(f"| `{name}={value!r}` | {sets} |\n")
    return "".join([*parts, "\n", END])


def missing() -> set[str]:
    """Return the options that no group of the page has."""
    return {f.name for f in dataclasses.fields(Options)} - {f.name for group in GROUPS.values() for f in fields(group)}


def _default(option: dataclasses.Field[Any]) -> str:
    if option.default is dataclasses.MISSING:
        return repr(cast(Callable[[], Any], option.default_factory)())
    return repr(option.default)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{markdown()}{rest.partition(END)[2]}", encoding="utf-8")
    print(f"{PAGE} is written.", file=sys.stderr)
