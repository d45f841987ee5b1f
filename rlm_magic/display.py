"""Shows a run in the cell's output while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from IPython.display import display

from rlm_kernel import Completion, Run
from rlm_kernel.events.tree import Tree, TreeBuilder
from rlm_kernel.events.types import Event
from rlm_kernel.sinks import html
from rlm_kernel.sinks.terminal import TerminalView
from rlm_kernel.sinks.text import plain

UPDATE_SECONDS = 0.2


def watch(run: Run, *, notebook: bool, quiet: bool) -> Completion:
    """Follow a run to its end in the calling thread and return what it came to.

    An interrupt (Ctrl-C, the notebook's stop button) cancels the run; its last state is still shown.

    Raises
    ------
    RLMError
        The run failed.
    """
    if quiet:
        completion = _follow(run, lambda event: None)
        print(plain(completion.text))  # noqa: T201
        return completion
    if notebook:
        view = _NotebookView()
        _follow(run, view)
        view.show()
        return run.result()
    with TerminalView() as terminal:
        return _follow(run, lambda event: None if event is None else terminal(event))


def _follow(run: Run, view: Callable[[Event | None], None]) -> Completion:
    """Give the run's events to a view here, in the thread that owns the display; ``None`` when a while has passed."""
    while True:
        try:
            for event in run.events(every=UPDATE_SECONDS):
                view(event)
            return run.result()
        except KeyboardInterrupt:
            run.cancel()


class _NotebookView:
    """The tree in the cell's output, updated a few times a second."""

    def __init__(self) -> None:
        self._builder = TreeBuilder()
        self._handle = display(_bundle(self._builder.tree), raw=True, display_id=True)
        self._shown, self._changed = 0.0, False

    def __call__(self, event: Event | None) -> None:
        if event is not None:
            self._builder.apply(event)
            self._changed = True
        if self._changed and time.monotonic() - self._shown > UPDATE_SECONDS:
            self.show()

    def show(self) -> None:
        """Show the tree as it is."""
        self._handle.update(_bundle(self._builder.tree), raw=True)
        self._shown, self._changed = time.monotonic(), False


def _bundle(tree: Tree) -> dict[str, str]:
    return {"text/html": html.render(tree), "text/plain": html.render_text(tree)}


def follow(run: Run) -> Callable[[], None]:
    """Show a run's tree here, and return what brings it up to date; both are for the thread that owns the display."""
    view = _NotebookView()

    def update() -> None:
        for event in run.events(every=0):
            view(event)
            if event is None:
                return
        view.show()

    return update
