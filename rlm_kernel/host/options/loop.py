"""How the loop behaves: its prompts, and what counts as a cell and as an answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.host.checks import Number, check_choice, check_function, check_text

PROMPTS = ("default", "cost_warning", "small_context", "small_model")
COMPAT = ("rlms",)


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How the loop behaves.

    Attributes
    ----------
    prompt
        The system prompt: ``default``, ``cost_warning``, ``small_context`` or ``small_model``.
    system_prompt
        Replaces it.
    user_prologue
        A message to the root model before its first turn.
    setup_code
        Runs in the REPL before the first turn.
    answer_type
        What the answer must be: any type that pydantic can check, or a mapping of names to types.
    fences
        The tags of code blocks that are cells; ``""`` is a block without a tag.
    cells
        ``all`` cells of a reply are run, or only the ``first``, and then what follows it is dropped.
    finals
        Whether ``FINAL(...)`` and ``FINAL_VAR(...)`` in the model's text are an answer, as in older harnesses.
    sub_calls
        ``False`` takes the sub-calls away: a REPL only.
    compaction
        The part of the model's window that is filled when the history is summarized; ``None`` for never.
    approve
        Looks at each cell before it runs: a function, sync or async, from a `ProposedCell` to a `Verdict` (``None`` and
        ``True`` run it, ``False`` skips it). ``max_seconds`` goes on meanwhile.
    compat
        ``rlms`` talks to the model as the library of that name does, for models trained with it.
    """

    prompt: str = "default"
    system_prompt: str | None = None
    user_prologue: str | None = None
    setup_code: str | None = None
    answer_type: Any = None
    fences: Sequence[str] = ("repl", "python", "py", "python3", "ipython", "")
    cells: str = "all"
    finals: bool = False
    sub_calls: bool = True
    compaction: float | None = 0.85
    approve: Callable[[Any], Any] | None = None
    compat: str | None = None

    def check_loop(self) -> None:
        """Refuse what cannot work."""
        check_choice("prompt", self.prompt, PROMPTS)
        check_choice("cells", self.cells, ("all", "first"))
        check_function("approve", self.approve)
        if self.compat is not None:
            check_choice("compat", self.compat, COMPAT)
        for name in ("system_prompt", "user_prologue", "setup_code"):
            check_text(name, getattr(self, name))
        if isinstance(self.fences, str) or not self.fences or not all(isinstance(tag, str) for tag in self.fences):
            raise OptionError(f"fences={self.fences!r}: expected tags such as ('repl', 'python').")
        Number(least=0.1, most=1, optional=True, whole=False).check("compaction", self.compaction)
