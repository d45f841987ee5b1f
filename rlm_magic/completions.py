"""Tab completion of the magic's line: option names, variables, sandboxes."""

from __future__ import annotations

from typing import Any

from rlm_kernel.arguments import FLAGS

OWN_FLAGS = ("--context", "--into", "--quiet")
TAKE_VARIABLE = ("-c", "--context", "-o", "--into")


def complete(shell: Any, event: Any) -> list[str]:
    """Return what may stand at the cursor. Called by IPython for lines that begin with the magic."""
    words = event.text_until_cursor.split()
    typed = "" if event.text_until_cursor.endswith((" ", "\t")) else words.pop()
    if words and words[-1] in TAKE_VARIABLE:
        candidates = [name for name in shell.user_ns_hidden.keys() ^ shell.user_ns.keys() if not name.startswith("_")]
    else:
        candidates = [*OWN_FLAGS, *FLAGS]
    return sorted(name for name in candidates if name.startswith(typed))
