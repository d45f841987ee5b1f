"""The call tree in a terminal: live while a run goes on, whole at its end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

from rlm_kernel.events.tree import Tree, TreeBuilder
from rlm_kernel.events.types import Event, RunStarted
from rlm_kernel.sinks.progress import Progress
from rlm_kernel.sinks.rich_tree import render, render_end, state_style, text

__all__ = ["TerminalView", "render"]

REFRESH_SECONDS = 0.125
TICK_SECONDS = 1.0
"""How often the clock goes on when nothing happens."""
SHARE = 0.02
"""The part of a core that drawing may take: after a frame that was dear, the next comes later."""
QUIET = "RLM_QUIET"


class TerminalView:
    """Shows a run live on standard error while used as a context manager; silent where that is no terminal.

    It is a sink: call it with each event, from any thread. Or call `show` with a tree that is folded elsewhere. One
    thread of its own draws a few times a second, however many events come: the last turns, as many as the terminal
    has lines, and a line with what the run has used, what is under way and which limit is near. At the end the whole
    tree stays on the terminal. Runs may come one after the other, not at once.

    ``NO_COLOR``, ``TERM=dumb`` and rich's other variables are heeded. What a script prints meanwhile stands above the
    tree where standard output is a terminal too, and goes where it always goes where it is not.

    Parameters
    ----------
    console
        Where to draw; by default standard error.
    quiet
        Whether to show nothing; by default what ``RLM_QUIET`` in the environment says: anything but ``0`` is yes.

    Examples
    --------
    >>> with TerminalView() as view:  # doctest: +SKIP
    ...     RLM("openai/gpt-5-mini", on_event=view).completion("Who did it?", context=book)
    """

    def __init__(self, console: Console | None = None, *, quiet: bool | None = None) -> None:
        console = console or Console(file=sys.stderr)
        quiet = os.environ.get(QUIET, "0") not in ("", "0") if quiet is None else quiet
        self._builder = TreeBuilder()
        self._progress = Progress()
        self._lock = threading.Lock()
        """Held while the tree is changed or read."""
        self._elsewhere: Tree | None = None
        self._shown: _Frame | None = None
        self._next_show = 0.0
        self._changed = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Live | None = None
        if console.is_terminal and not quiet:
            self._live = Live(
                get_renderable=self._draw,
                console=console,
                auto_refresh=False,
                redirect_stdout=_is_terminal(sys.stdout),
                redirect_stderr=_is_terminal(sys.stderr),
            )

    def __enter__(self) -> TerminalView:
        if self._live is not None:
            self._ended.clear()
            self._live.start(refresh=True)
            self._thread = threading.Thread(target=self._keep_drawing, args=(self._live,), name="rlm-view", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        if self._live is not None:
            self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the terminal to somebody else, with the tree as it is above."""
        self.__exit__(None, None, None)
        try:
            yield
        finally:
            self.__enter__()

    def __call__(self, event: Event) -> None:
        """Fold an event; the tree is shown at the next refresh."""
        if self._live is None:
            return
        before: Tree | None = None
        with self._lock:
            if isinstance(event, RunStarted) and self._builder.tree.run:
                before, self._builder = self._builder.tree, TreeBuilder()
            self._builder.apply(event)
            self._progress.apply(event)
            self._changed = True
        if before is not None:
            self._live.console.print(render(before))

    def show(self, tree: Tree) -> None:
        """Show a tree at the next refresh. Call it in the thread that folds the tree."""
        self._elsewhere = tree
        if self._live is None or time.monotonic() < self._next_show:
            return
        began = time.thread_time()
        frame = _Frame(tree, Progress.of(tree), self._live.console)
        self._next_show = time.monotonic() + (time.thread_time() - began) / SHARE
        with self._lock:
            self._shown, self._changed = frame, True

    def _keep_drawing(self, live: Live) -> None:
        pause, drawn = REFRESH_SECONDS, 0.0
        while not self._ended.wait(pause):
            pause = REFRESH_SECONDS
            if self._changed or time.monotonic() - drawn > TICK_SECONDS:
                self._changed = False
                began = time.thread_time()
                live.refresh()
                drawn = time.monotonic()
                pause = max(pause, (time.thread_time() - began) / SHARE)

    def _draw(self) -> RenderableType:
        if self._live is None:  # rich asks once while it is made
            return ""
        with self._lock:
            if self._ended.is_set():
                return render(self._elsewhere or self._builder.tree)
            return self._shown or _Frame(self._builder.tree, self._progress, self._live.console)


class _Frame:
    """The end of a tree, as many lines as the terminal has, and the line of progress below it."""

    def __init__(self, tree: Tree, progress: Progress, console: Console) -> None:
        self._body = Group(render_end(tree, console.height))
        self._tree = tree
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._body, options, pad=False)
        room = max(1, options.size.height - 2)
        for row in lines[-room:]:
            yield from row
            yield Segment.line()
        yield self._last_line()

    def _last_line(self) -> Text:
        words = text((self._progress.line(self._tree), f"bold {state_style(self._tree)}"))
        words.no_wrap, words.overflow = True, "ellipsis"
        return words


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # there is none, as under pythonw; it is closed
        return False
