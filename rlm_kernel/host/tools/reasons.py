"""What a failed function said becomes one line for the REPL that tells nothing of the host."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath

from rlm_kernel.errors import ToolError
from rlm_kernel.host.redaction import Redactor

REASON_CHARACTERS = 2_000

_TRACEBACK = "Traceback (most recent call last)"
_QUOTED = re.compile(r"""(['"])(/[^'"\n/]*(?:/[^'"\n/]*)+)\1""")
_BARE = re.compile(r"""(?:file://|(?<![\w.~/\\]))(/[^\s/'"<>()\[\]{},;:]+/[^\s'"<>()\[\]{},;:]*)""")
_WINDOWS = re.compile(r"""(?<!\w)[A-Za-z]:\\+(?:[^\\/:*?"'<>|\n]+\\+)*([^\\/:*?"'<>|\s]+)""")


def reason(error: BaseException, redactor: Redactor) -> str:
    """Return ``TypeName: message`` without secrets, tracebacks and folders of the host; a `ToolError` says all itself.

    Of a path the last part is left: ``.../report.txt``.
    """
    try:
        said = str(error)
    except Exception:  # the caller's own __str__
        said = ""
    for path in (getattr(error, "filename", None), getattr(error, "filename2", None)):  # the patterns below only guess
        if isinstance(path, str | PurePath) and PurePath(path).is_absolute():
            said = said.replace(repr(str(path)), repr(_last_part(str(path))))
    if _TRACEBACK in said:
        said = said.strip().splitlines()[-1]
    said = without_paths(redactor.text(said)[: 4 * REASON_CHARACTERS]).strip()
    if len(said) > REASON_CHARACTERS:
        said = f"{said[:REASON_CHARACTERS]} ..."
    if isinstance(error, ToolError) and said:
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def without_paths(text: str) -> str:
    """Return text in which a path of this machine has lost its folders."""
    text = _QUOTED.sub(lambda match: f"{match[1]}{_shortened(match[2])}{match[1]}", text)
    text = _BARE.sub(lambda match: _shortened(match[1], match[0]), text)
    return _WINDOWS.sub(lambda match: f".../{match[1]}", text)


def _shortened(path: str, otherwise: str = "") -> str:
    """Cut a path that begins with a folder of this machine; ``/v1/users`` is none."""
    known = path.split("/", 2)[1] in _top_folders()
    return _last_part(path) if known else otherwise or path


def _last_part(path: str) -> str:
    return f".../{PurePath(path).name}"


@cache
def _top_folders() -> frozenset[str]:
    """Return the folders of the root, and not whether a path exists: tools would answer that for any path."""
    with suppress(OSError):
        return frozenset(folder.name for folder in Path("/").iterdir())
    return frozenset()
