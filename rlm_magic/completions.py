"""Tab completion of the magic's line: option names, and the values that can be known."""

from __future__ import annotations

from typing import Any

OPTIONS = (
    "--base-url",
    "--context",
    "--depth",
    "--into",
    "--max-calls",
    "--max-iterations",
    "--max-seconds",
    "--max-tokens",
    "--model",
    "--quiet",
    "--sandbox",
    "--sub-model",
)
VARIABLE_OPTIONS = ("-c", "--context", "-o", "--into")


def complete(shell: Any, event: Any) -> list[str]:
    """Return the completions at the cursor. Called by IPython for lines that begin with the magic."""
    words = event.text_until_cursor.split()
    before = words[-1] if event.text_until_cursor.endswith(" ") else words[-2] if len(words) > 1 else ""
    if before in VARIABLE_OPTIONS:
        return [name for name in shell.user_ns if not name.startswith("_") and name.startswith(event.symbol)]
    if before == "--sandbox":
        from rlm_kernel.host.sandboxes import sandbox_names

        return sandbox_names()
    return [option for option in OPTIONS if option.startswith(event.symbol)]
