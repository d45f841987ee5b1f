"""Tab completion of the magics' lines: option names, variables, runs, sandboxes."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from rlm_kernel import providers, runs, sandbox_names
from rlm_kernel.arguments import FLAGS
from rlm_magic.background import BACKGROUND
from rlm_magic.sessions import SESSIONS

OWN_FLAGS = (
    "--approve",
    "--ask-above",
    "--background",
    "--context",
    "--estimate",
    "--expand",
    "--into",
    "--quiet",
    "--replay",
    "--result",
    "--resume",
    "--session",
    "--vs-plain",
)
TAKE_VARIABLE = ("-o", "--into", "--result")
TAKE_CONTEXT = ("-c", "--context", "%context")
TAKE_MODEL = ("-m", "--model", "-s", "--sub-model", "--child-model")
TAKE_SESSION = ("--session", "%rlm_close")
TAKE_LIVE = ("%rlm_attach",)
TAKE_RUN = ("--resume", "--replay", "%rlm_show", "%rlm_names")
IDENTIFIER = "rlm_magic"

_MAGIC = re.compile(r"\s*(%%?rlm|%rlm_attach|%rlm_show|%rlm_names|%rlm_close|%rlm_stop|%context)\s")


def register(shell: Any) -> None:
    """Complete the magics' lines in a shell; what an earlier registration did is replaced."""

    @context_matcher(identifier=IDENTIFIER)
    def matcher(context: CompletionContext) -> SimpleMatcherResult:
        line = context.text_until_cursor
        if not _MAGIC.match(line):
            return {"completions": []}
        typed = "" if line[-1].isspace() else line.split()[-1]
        names = [name for name in candidates(line, typed, shell) if name.startswith(typed)]
        completions = [SimpleCompletion(name, type="param" if name[0] == "-" else "instance") for name in names]
        # Without the suppression Jedi reads "--max-" as Python and offers what may be subtracted.
        return {"completions": completions, "matched_fragment": typed, "suppress": True}

    others = [m for m in shell.Completer.custom_matchers if getattr(m, "matcher_identifier", "") != IDENTIFIER]
    shell.Completer.custom_matchers[:] = [*others, matcher]


def candidates(line: str, typed: str, shell: Any) -> list[str]:
    """Return what may stand at the end of the line, by the word before; ``typed`` is how it begins."""
    words = line.split()
    before = words[-1] if line[-1].isspace() else words[-2]
    variables = sorted(n for n in shell.user_ns if n not in shell.user_ns_hidden and not n.startswith("_"))
    if before in TAKE_VARIABLE:
        return variables
    if before in TAKE_CONTEXT:
        return [*variables, "cells:", "notebook", *_paths(typed)]
    if before in TAKE_LIVE:
        return ["last", "--into", "--node", *SESSIONS.names]
    if before in TAKE_RUN:
        return ["last", *(saved.id for saved in runs())]
    if before == "%rlm_stop":
        return BACKGROUND.ids
    if before in TAKE_SESSION:
        return SESSIONS.names
    if before in TAKE_MODEL:
        return [each.model.removesuffix("...") for each in providers() if each.works]
    if before == "--sandbox":
        return list(sandbox_names())
    return sorted([*OWN_FLAGS, *FLAGS]) if words[0] in ("%%rlm", "%rlm") else []


def _paths(typed: str) -> list[str]:
    if not typed:
        return []
    found = glob.glob(f"{glob.escape(typed)}*")  # noqa: PTH207 - as it was typed, so that it is what is completed
    return sorted(f"{path}/" if Path(path).is_dir() else path for path in found)
