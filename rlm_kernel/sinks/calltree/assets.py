"""The script and the style of the call tree, each one text."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

SCRIPTS = (
    "model.js",
    "unpack.js",
    "format.js",
    "highlight.js",
    "led.js",
    "visible.js",
    "tree.js",
    "part.js",
    "detail.js",
    "search.js",
    "timeline.js",
    "strip.js",
    "input.js",
    "app.js",
)
"""In the order of what they need of each other when they are loaded; together they are one scope."""


@cache
def script() -> str:
    """Return the shared script: files of one scope, one after the other."""
    return "\n".join(static(__package__, name) for name in SCRIPTS)


@cache
def sheet() -> str:
    """Return the shared style, which applies below ``.rlm-calltree`` only."""
    return static(__package__, "calltree.css")


def static(package: str, name: str) -> str:
    """Return a file of a package's folder ``static``."""
    return (files(package) / "static" / name).read_text(encoding="utf-8").strip()
