"""``%load_ext rlm_magic``: the ``%%rlm`` cell magic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magic and its completions. Called by IPython."""
    from rlm_magic.completions import complete
    from rlm_magic.magics import RLMMagics

    shell.register_magics(RLMMagics)
    # Idempotent: the key replaces an earlier registration when the extension is reloaded.
    shell.set_hook("complete_command", complete, re_key=r"%%?rlm\b")
