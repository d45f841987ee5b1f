"""Runs as files for other programs and other readers: pure functions of the stream of events.

```python
text = exports.export(journal.read(run_dir), "markdown")
Path(exports.file_name(run, "markdown")).write_text(text, encoding="utf-8")
```
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.events.types import Event

__all__ = ["FORMATS", "Format", "export", "file_name"]


@dataclass(frozen=True)
class Format:
    """A kind of file, and where the function is that writes it.

    Attributes
    ----------
    suffix
        Of the file's name.
    help
        What it is, in one line.
    function
        ``module:name`` of the function from events to text; imported when it is first used.
    """

    suffix: str
    help: str
    function: str

    def write(self, events: Iterable[Event]) -> str:
        """Return a run's events in this format.

        Raises
        ------
        OptionError
            A package that the format needs is not installed.
        """
        module, _, name = self.function.partition(":")
        function: Any = getattr(import_module(module), name)
        return str(function(events))


FORMATS: dict[str, Format] = {
    "notebook": Format(".ipynb", "a notebook that runs again", "rlm_kernel.exports.notebook:to_ipynb"),
    "html": Format(".html", "one page with the whole tree, for any browser", "rlm_kernel.exports.html:to_html"),
    "markdown": Format(".md", "a page that reads well on GitHub", "rlm_kernel.exports.markdown:to_markdown"),
    "viewer": Format(".jsonl", "what the viewer of rlms opens", "rlm_kernel.exports.viewer:to_viewer"),
    "chat": Format(".jsonl", "chats for fine-tuning", "rlm_kernel.exports.chat:to_chat_jsonl"),
}
"""Every format, by its name."""


def export(events: Iterable[Event], format: str) -> str:  # noqa: A002
    """Return a run's events in a format.

    Raises
    ------
    OptionError
        The format is unknown, or a package that it needs is not installed.
    """
    return _format(format).write(events)


def file_name(run: str, format: str) -> str:  # noqa: A002
    """Return the name of a file for a run in a format: its id, made fit for any file system, and the suffix.

    Raises
    ------
    OptionError
        The format is unknown.
    """
    name = re.sub(r"[^\w.-]+", "-", run, flags=re.ASCII).strip("-.")[:200]
    kind = f"-{format}" if format == "chat" else ""
    return f"rlm-{name or 'run'}{kind}{_format(format).suffix}"


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise OptionError(f"Unknown format {name!r}. Formats: {', '.join(FORMATS)}.")
    return FORMATS[name]
