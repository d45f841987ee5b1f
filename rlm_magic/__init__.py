"""``%load_ext rlm_magic``: the ``%%rlm`` cell magic."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register the magic and its completions. Called by IPython, also when the extension is reloaded."""
    from rlm_magic import completions
    from rlm_magic.magics import RLMMagics

    shell.register_magics(RLMMagics)
    completions.register(shell)
