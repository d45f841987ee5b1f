"""Shows a run in the cell's output while it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from IPython.display import display

from rlm_kernel import Approver, Completion, Run
from rlm_kernel.events.tree import Tree, TreeBuilder
from rlm_kernel.events.types import Event
from rlm_kernel.sinks import html
from rlm_kernel.sinks.terminal import TerminalView
from rlm_kernel.sinks.text import plain
from rlm_magic.asking import Asking
from rlm_magic.pace import Pace

if TYPE_CHECKING:
    from rlm_magic.widget import CallTree

EVENT_SECONDS = 0.1
"""How long events gather before they are shown."""
UPDATE_SECONDS = 0.2
"""How often the tree without widgets is written anew at most,"""
UPDATE_SHARE = 0.01
"""and the share of the time that may take."""
SAVE_SECONDS = 15.0
"""How often that is done where a widget shows the tree."""


def watch(run: Run, *, notebook: bool, quiet: bool, approver: Approver | None = None) -> Completion:
    """Follow a run to its end in the calling thread and return what it came to.

    An interrupt (Ctrl-C, the notebook's stop button) cancels the run; its last state is still shown. An approver asks
    here, as soon as a cell is waiting.

    Raises
    ------
    RLMError
        The run failed.
    """
    asking = None if approver is None else Asking(approver, has_forms=notebook)
    if quiet:
        completion = _to_the_end(run, None, asking)
        print(plain(completion.text))  # noqa: T201
        return completion
    if notebook:
        return _to_the_end(run, _NotebookView(run), asking)
    with TerminalView() as terminal:
        return _follow(run, lambda event: None if event is None else terminal(event), asking, terminal.paused)


def watch_from_thread(run: Run, *, shown: bool, approver: Approver | None) -> Callable[[], Completion]:
    """Show a run in the cell that runs now, and return what follows it to its end, as `watch` does.

    That is for another thread, which has the cell's context variables: they say where its outputs go.
    """
    view = _NotebookView(run, background=True) if shown else None
    asking = None if approver is None else Asking(approver, has_forms=True, has_lines=False)
    return partial(_to_the_end, run, view, asking)


def _to_the_end(run: Run, view: _NotebookView | None, asking: Asking | None) -> Completion:
    if view is None:
        return _follow(run, lambda event: None, asking)
    try:
        return _follow(run, view, asking)
    finally:
        view.end()


def _follow(
    run: Run,
    view: Callable[[Event | None], None],
    asking: Asking | None,
    alone: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Completion:
    """Give the run's events to a view here, in the thread that owns the display, and ``None`` after those of a while.

    Who is asked has the screen ``alone``. When the process is about to end, the run is stopped.
    """
    main, stopped = threading.main_thread(), False
    try:
        while True:
            try:
                for event in run.events(every=EVENT_SECONDS):
                    view(event)
                    if event is not None:
                        continue
                    if not stopped and not main.is_alive():
                        stopped = True
                        run.cancel()
                    if asking is not None and asking.is_due:
                        with alone():
                            asking()
                return run.result()
            except KeyboardInterrupt:
                run.cancel()
    finally:
        if asking is not None:
            asking.close()


class _NotebookView:
    """Two outputs: the widget, and below it the tree as HTML and text, for all who show or read no widgets.

    They cannot be one: a front end that knows widgets, and cannot find this one's state or script, shows an error in
    the place of its output. Where the widget is there it hides the other.
    """

    def __init__(self, run: Run, *, background: bool = False) -> None:
        self._builder = TreeBuilder()
        self._widget = _widget(run, background)
        self._handle = display(self._bundle(), raw=True, display_id=True)
        self._pace, self._changed = Pace(UPDATE_SECONDS, UPDATE_SHARE), False

    def __call__(self, event: Event | None) -> None:
        if event is not None:
            (self._builder if self._widget is None else self._widget).apply(event)
            self._changed = True
            return
        if self._widget is not None:
            self._widget.update()
        if self._changed and self._pace.begin():
            self._show()

    def end(self) -> None:
        """Show how it ended."""
        if self._widget is not None:
            self._widget.save()
        self._show()

    def _show(self) -> None:
        self._changed = False
        bundle = self._bundle()
        self._handle.update(bundle, raw=True)
        if self._widget is not None and self._widget.heard:
            self._pace.seconds = SAVE_SECONDS
        self._pace.end(len(bundle["text/html"]))

    def _bundle(self) -> dict[str, str]:
        tree: Tree = self._builder.tree if self._widget is None else self._widget.tree
        return {
            "text/html": f'<div class="rlm-saved">{html.render(tree)}</div>',
            "text/plain": html.render_text(tree),
        }


def follow(run: Run) -> Callable[[], None]:
    """Show a run's tree here, and return what brings it up to date; both are for the thread that owns the display."""
    view = _NotebookView(run)

    def update() -> None:
        for event in run.events(every=0):
            view(event)
            if event is None:
                return
        view.end()

    return update


def _widget(run: Run, background: bool) -> CallTree | None:
    """Show the live tree, where widgets are installed."""
    try:
        from rlm_magic.widget import CallTree
    except ImportError:
        return None
    widget = CallTree(run, background=background)
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    display({"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}, raw=True)
    return widget
