"""Shows a run in the cell's output while it goes on."""

from __future__ import annotations

import time
from collections.abc import Callable

from IPython.display import display

from rlm_kernel import Completion, Run
from rlm_kernel.events.tree import Tree, TreeBuilder
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
        completion = _follow(run, lambda tree: None)
        print(plain(completion.text))  # noqa: T201
        return completion
    if notebook:
        handle = display(_bundle(TreeBuilder().tree), raw=True, display_id=True)
        return _follow(run, lambda tree: handle.update(_bundle(tree), raw=True))
    with TerminalView() as view:
        return _follow(run, view.show)


def _follow(run: Run, show: Callable[[Tree], None]) -> Completion:
    """Fold the run's events here, in the thread that owns the display, and show the tree a few times a second."""
    builder, shown, changed = TreeBuilder(), 0.0, False
    while True:
        try:
            for event in run.events(every=UPDATE_SECONDS):
                if event is not None:
                    builder.apply(event)
                    changed = True
                if changed and time.monotonic() - shown > UPDATE_SECONDS:
                    show(builder.tree)
                    shown, changed = time.monotonic(), False
            break
        except KeyboardInterrupt:
            run.cancel()
    show(builder.tree)
    return run.result()


def _bundle(tree: Tree) -> dict[str, str]:
    return {"text/html": html.render(tree), "text/plain": html.render_text(tree)}
