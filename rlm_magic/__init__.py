"""``%load_ext rlm_magic``: the ``%%rlm`` cell magic, and others to look at runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magics and their completions. Called by IPython, also when the extension is reloaded."""
    from rlm_magic import completions
    from rlm_magic.attaching import AttachingMagics
    from rlm_magic.background import BackgroundMagics
    from rlm_magic.looking import LookingMagics
    from rlm_magic.magics import RLMMagics

    rlm = RLMMagics(shell=shell)
    shell.register_magics(rlm, LookingMagics(shell, rlm), AttachingMagics(shell), BackgroundMagics(shell))
    completions.register(shell)
