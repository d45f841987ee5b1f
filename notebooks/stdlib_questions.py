"""Three questions about the running Python's standard library, each with an answer that a program computes."""

from __future__ import annotations

import ftplib
import inspect
import re
import sysconfig
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

SKIPPED = frozenset({"__pycache__", "idle_test", "site-packages", "dist-packages", "test", "tests"})


@dataclass(frozen=True)
class Question:
    """A question, what kind of fact it asks for, how the truth is computed, and whether an answer tells it.

    Attributes
    ----------
    text
        The question, as a person would ask it.
    kind
        Where the answer stands: ``a value in code``, ``a name in code and prose``, ``prose``.
    truth
        Computes the right answer on this machine.
    check
        Whether an answer tells the truth and nothing that contradicts it.
    """

    text: str
    kind: str
    truth: Callable[[], str]
    check: Callable[[str], bool]


def library(root: Path | None = None) -> dict[str, str]:
    """Read the standard library's source: relative path to text, test suites and undecodable files left out.

    Parameters
    ----------
    root
        The library's folder; the running Python's by default.
    """
    root = root or Path(sysconfig.get_path("stdlib"))
    texts = {}
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if SKIPPED.isdisjoint(relative.parts) and (text := _text(path)) is not None:
            texts[relative.as_posix()] = text
    return texts


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def ftp_port() -> str:
    """Read the port from the module."""
    return str(ftplib.FTP_PORT)


def cycle_error() -> str:
    """Sort a graph with a cycle and see what is raised."""
    try:
        TopologicalSorter({"chicken": ["egg"], "egg": ["chicken"]}).prepare()
    except ValueError as error:
        return type(error).__name__
    raise AssertionError("A graph with a cycle was sorted.")


def textwrap_author() -> str:
    """Read the name from the module's source."""
    match = re.search(r"Written by ([^<\n]+)", inspect.getsource(textwrap))
    assert match is not None, "textwrap no longer names its author."
    return match[1].strip()


QUESTIONS = (
    Question(
        "What is the default port of FTP?",
        "a value in code",
        ftp_port,
        lambda answer: re.findall(r"\d+", answer) == [ftp_port()],
    ),
    Question(
        "Which exception is raised when a graph contains a cycle?",
        "a name in code and prose",
        cycle_error,
        lambda answer: set(re.findall(r"\w+(?:Error|Exception)\b", answer)) == {cycle_error()},
    ),
    Question(
        "Who wrote the textwrap module?",
        "prose",
        textwrap_author,
        lambda answer: textwrap_author() in answer,
    ),
)
