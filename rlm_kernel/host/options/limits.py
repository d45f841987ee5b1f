"""What a run may spend."""

from __future__ import annotations

from dataclasses import dataclass

from rlm_kernel.errors import OptionError
from rlm_kernel.host.checks import Number

NUMBERS = {
    "max_depth": Number(),
    "max_iterations": Number(),
    "max_calls": Number(least=0, optional=True),
    "max_tokens": Number(optional=True),
    "max_cost": Number(least=0, unit=" of US dollars", optional=True, whole=False),
    "max_seconds": Number(least=0.001, unit=" of seconds", optional=True, whole=False),
    "max_errors": Number(optional=True),
    "max_repeats": Number(least=2, optional=True),
    "max_restarts": Number(least=0, optional=True),
    "max_journal_mb": Number(optional=True, unit=" of MiB"),
    "cell_seconds": Number(least=0.001, unit=" of seconds", whole=False),
    "max_concurrency": Number(),
    "max_children": Number(),
}

RAISABLE = (
    *("max_iterations", "max_calls", "max_tokens", "max_cost", "max_seconds"),
    *("max_errors", "max_repeats", "max_restarts", "max_journal_mb"),
)
"""The limits that may be raised when they have ended a run."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run may spend; ``None`` is no limit.

    Attributes
    ----------
    max_depth
        Levels of REPLs: at 1 every sub-call is a plain completion, at 2 ``rlm_query`` gives a child its own REPL.
    max_iterations
        Turns of each node's root model.
    max_calls
        Sub-calls of the whole tree; each prompt of a batch counts, an answer from the cache does not.
    max_tokens
        Input and output tokens of every model call of the whole tree.
    max_cost
        US dollars of the whole tree; every model needs a known price (see ``prices``).
    max_seconds
        Wall-clock time of the run.
    max_errors
        Turns in a row, of one node, whose cells failed or that had none.
    max_repeats
        Turns in a row of one node with the same reply and the same outputs.
    max_restarts
        How often one node's kernel may die and be started again.
    max_journal_mb
        MiB that cells may add to the journal, and to the host's memory, by what they ask: prompts, tools, notes, and
        what they are answered.
    cell_seconds
        A cell's own running time; waiting for sub-calls does not count.
    max_concurrency
        Requests in flight at once to each provider, in the whole tree.
    max_children
        Child RLMs that each node runs at once.
    """

    max_depth: int = 1
    max_iterations: int = 30
    max_calls: int | None = 1000
    max_tokens: int | None = None
    max_cost: float | None = None
    max_seconds: float | None = None
    max_errors: int | None = None
    max_repeats: int | None = 3
    max_restarts: int | None = 3
    max_journal_mb: int | None = 1024
    cell_seconds: float = 120.0
    max_concurrency: int = 64
    max_children: int = 8

    def check_limits(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        OptionError
            A limit is no such number, or two of them contradict each other.
        """
        for name, number in NUMBERS.items():
            number.check(name, getattr(self, name))
        if self.max_seconds is not None and self.cell_seconds == float("inf"):
            return
        if self.max_errors is not None and self.max_errors > self.max_iterations:
            raise OptionError(
                f"max_errors={self.max_errors} can never be reached with max_iterations={self.max_iterations}. "
                "Lower the one, or raise the other."
            )
