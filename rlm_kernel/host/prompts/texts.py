"""The texts beside the code, and text that is put into others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

NAMES_CHARACTERS = 5_000
"""What a model sees of a list of names."""

_HEADING = re.compile(r"^# (\w+)\n", re.MULTILINE)
_RUN = re.compile(r"`{3,}|~{3,}")


def fill(file: str, name: str, **values: str) -> str:
    """Return a text with its ``$names`` filled in; ``name`` is its heading in the file."""
    return _templates(file)[name].substitute(values)


@cache
def _templates(file: str) -> dict[str, Template]:
    """Read a file's texts by their headings, ``# name``."""
    text = files(__package__ or "").joinpath(f"{file}.md").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    return {name: Template(body.strip("\n")) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def paragraphs(*parts: str | None) -> str:
    """Join what is not empty, with empty lines between."""
    return "\n\n".join(part for part in parts if part)


def fenced(text: str, tag: str) -> str:
    """Put text into a fence that is longer than any in it."""
    longest = max((len(run) for run in _RUN.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{tag}\n{text}\n{fence}"


def schema_text(schema: Mapping[str, Any]) -> str:
    """Show a JSON schema."""
    return fenced(json.dumps(schema, ensure_ascii=False), "json")


def listed(variables: Mapping[str, str]) -> str:
    """List variables with their types."""
    return short(", ".join(f"{name} ({kind})" for name, kind in variables.items()))


def short(names: str) -> str:
    """Cut a list of names: they come from the kernel, which may say anything."""
    return names if len(names) <= NAMES_CHARACTERS else f"{names[:NAMES_CHARACTERS]} ..."
