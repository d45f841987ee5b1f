"""What a run came to."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.events.tree import Tree
from rlm_kernel.events.types import StopReason
from rlm_kernel.events.values import Usage
from rlm_kernel.journal import SavedRun
from rlm_kernel.sinks import html

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from pandas import DataFrame


@dataclass(frozen=True)
class ModelUsageSummary:
    """A model's usage as rlms tells it; ``None`` is unknown."""

    total_calls: int
    total_input_tokens: int | None
    total_output_tokens: int | None
    total_cost: float | None

    @classmethod
    def of(cls, usage: Usage) -> ModelUsageSummary:
        """Turn our usage into theirs."""
        unknown = usage.unreported == usage.calls
        return cls(
            total_calls=usage.calls,
            total_input_tokens=None if unknown else usage.input_tokens,
            total_output_tokens=None if unknown else usage.output_tokens,
            total_cost=None if usage.unpriced else usage.cost,
        )


@dataclass(frozen=True)
class UsageSummary:
    """A run's usage as rlms tells it."""

    model_usage_summaries: dict[str, ModelUsageSummary]
    total_cost: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Completion:
    """What a run came to. Shown in a notebook, it is the answer with its call tree.

    Attributes
    ----------
    answer
        The answer: of the type that ``answer_type`` asked for, else the REPL's JSON value, else its text; ``None``
        when there is none.
    text
        The answer as text.
    stop_reason
        ``answered``, a limit's name such as ``max_calls`` (then the answer is the best so far), ``cancelled``
        or ``error``.
    usage
        Model calls, tokens and money of the whole tree.
    seconds
        Wall-clock time.
    tree
        How the answer was found.
    run_dir
        Where the journal is.
    """

    answer: Any
    text: str
    stop_reason: StopReason
    usage: Usage
    seconds: float
    tree: Tree = field(repr=False)
    run_dir: Path = field(repr=False)

    @property
    def cost(self) -> float | None:
        """US dollars; ``None`` while the price of any call is unknown."""
        return None if self.usage.unpriced else self.usage.cost

    @property
    def cells(self) -> int:
        """How many cells the tree has run without an error: an answer of none was invented."""
        return sum(
            cell.status == "ok"
            for node in self.tree.root.walk()
            for iteration in node.iterations
            for cell in iteration.cells
        )

    @property
    def response(self) -> str:
        """`text`, as rlms calls it."""
        return self.text

    @property
    def execution_time(self) -> float:
        """`seconds`, as rlms calls them."""
        return self.seconds

    @property
    def root_model(self) -> str:
        """The root model's name, as rlms tells it."""
        return self.tree.root.model

    @property
    def usage_summary(self) -> UsageSummary:
        """Usage per model, in the shape that rlms gives it."""
        models = {name: ModelUsageSummary.of(usage) for name, usage in self.tree.usage_by_model().items()}
        return UsageSummary(models, self.cost)

    @property
    def saved(self) -> SavedRun:
        """The run on disk: its events and exports. A replay's is the run that it replayed."""
        return SavedRun(self.run_dir)

    def export(self, format: str) -> str:  # noqa: A002 - the word that people look for
        """Return the run as ``html``, ``notebook``, ``markdown``, ``viewer`` or ``chat``; see `SavedRun.export`."""
        return self.saved.export(format)

    def to_notebook(self) -> NotebookNode:
        """Return the run as a notebook of nbformat's; see `rlm_kernel.exports.notebook.to_notebook`."""
        return self.saved.to_notebook()

    def to_frame(self, of: Any = "calls") -> DataFrame:
        """Return a pandas frame; see `rlm_kernel.exports.frame.to_frame`."""
        return self.saved.to_frame(of)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": html.render_text(self.tree), "text/html": html.render(self.tree)}
