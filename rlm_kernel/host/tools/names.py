"""Which names a tool may have: those that collide with nothing in the REPL."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection
from typing import Any

from rlm_kernel.errors import OptionError

RESERVED_NAMES = frozenset(
    {
        # the REPL's own
        *("context", "contexts", "history", "answer", "budget", "progress", "SHOW_VARS"),
        *("llm_query", "llm_query_batched", "allm_query", "allm_query_batched"),
        *("rlm_query", "rlm_query_batched", "arlm_query", "arlm_query_batched"),
        # what other harnesses have taught models
        *("llm_batch", "llm_query_batch", "batch_llm_query", "rlm", "rlm_batch", "rlm_query_batch", "batch_rlm_query"),
        *("FINAL", "FINAL_VAR", "SUBMIT"),
        # IPython's
        *("In", "Out", "get_ipython", "display", "exit", "quit"),
    }
)
"""What the REPL defines. Python's builtins, ``context_0``, ``history_0``, ... and names that begin with ``_`` are taken
too.
"""

_NUMBERED = re.compile(r"(context|history)_\d+")


def check_name(name: Any, reserved: Collection[str], option: str) -> None:
    """Refuse a name that is none, or that is taken.

    Raises
    ------
    OptionError
        It says why, and what would do.
    """
    where = f"{option}[{name!r}]"
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise OptionError(f"{where}: expected a Python name such as 'search', because code calls the tool by it.")
    if name in reserved or name in RESERVED_NAMES or _NUMBERED.fullmatch(name):
        raise OptionError(f"{where}: the REPL has a {name!r} of its own. Choose another name, such as 'my_{name}'.")
    if hasattr(builtins, name):
        raise OptionError(f"{where}: {name!r} is a builtin of Python's. Choose another name, such as 'my_{name}'.")
    if name.startswith("_"):
        raise OptionError(f"{where}: names that begin with _ are IPython's. Choose another name.")
