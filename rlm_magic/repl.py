"""What makes the RLM kernel: the names of the model's REPL, ``%context``, and the tree below each cell that asks.

Loaded by the kernel's ``kernel.json``; in another IPython kernel: ``%load_ext rlm_magic.repl``.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from functools import partial
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from rlm_kernel import OptionError, OwnRepl, RLMError, providers, without_our_frames
from rlm_kernel.arguments import decoding
from rlm_magic.cells import outputs
from rlm_magic.context import find
from rlm_magic.display import follow

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

EMBEDDED = "local/smollm2"
HOW_TO_SET = "%config RLMMagics.model = 'provider/model' sets one, and %rlm_models lists what can be asked from here."


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Give the shell the names. Called by IPython, once."""
    manager: Any = shell.extension_manager
    manager.load_extension("rlm_magic")
    magics = ReplMagics(shell, shell.magics_manager.registry["RLMMagics"])
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", magics.begin)
    shell.events.register("post_run_cell", magics.end)
    shell.set_custom_exc((Exception, KeyboardInterrupt), _show_error)


@magics_class
class ReplMagics(Magics):
    """``%context``, and what happens around each cell.

    Parameters
    ----------
    shell
        IPython's.
    rlm
        The magic whose options are those of the cells that ask.
    """

    def __init__(self, shell: Any, rlm: Any) -> None:
        super().__init__(shell=shell)
        self._rlm = rlm
        before = set(shell.user_ns)
        self._repl = OwnRepl(shell.user_ns, self._options, follow)
        self._given = {name: value for name, value in shell.user_ns.items() if name not in {*before, "context"}}
        self._running: list[str] = []
        """The code of the cell, and of those that it runs in turn, as ``%%capture`` does."""
        self._told = False
        self._handler: Any = signal.default_int_handler
        """Of an interrupt, as it was before the cell."""

    @line_magic
    def context(self, line: str) -> None:
        """Load an input, as ``%%rlm --context`` does: ``%context NAME`` of a variable, a file, a folder, a glob, cells.

        It is ``context``, and ``context_0``, ``context_1``, ... in order; ``contexts`` has all of them.
        """
        name = line.strip().strip("'\"")
        if not name:
            raise UsageError("%context needs a variable, a file, a folder, a glob, cells:3-9 or notebook.")
        chosen = self._rlm.configured()
        reading = decoding(chosen)
        form = {"context_format": chosen["context_format"]} if "context_format" in chosen else {}
        try:
            print(self._repl.load(find(name, self.shell, **reading), **reading, **form))  # noqa: T201
        except RLMError as error:
            raise UsageError(" ".join(str(error).split())) from None

    def begin(self, info: Any) -> None:
        """Note that a cell begins. Called by IPython."""
        self._running.append(info.raw_cell)
        if len(self._running) == 1:
            self._repl.begin_cell(info.raw_cell)
            if threading.current_thread() is threading.main_thread():
                self._handler = signal.signal(signal.SIGINT, self._interrupted)
            shell: Any = self.shell  # %who and Tab are for what the person has made
            shell.user_ns_hidden.update({n: v for n, v in self._given.items() if shell.user_ns.get(n) is v})

    def end(self, result: Any) -> None:
        """End the cell's run, if it has one. Called by IPython, without a result where a coroutine was cancelled."""
        code = result.info.raw_cell if result is not None else next(iter(self._running[-1:]), "")
        if code not in self._running:
            return  # an empty cell ends without having begun
        while self._running.pop() != code:
            pass
        if self._running:
            return
        if signal.getsignal(signal.SIGINT) == self._interrupted:
            signal.signal(signal.SIGINT, self._handler)
        error = asyncio.CancelledError() if result is None else result.error_before_exec or result.error_in_exec
        stopped = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
        status: Any = "ok" if error is None else "interrupted" if stopped else "error"
        number = getattr(result, "execution_count", None)  # there is none where the front end wants no history
        kept = partial(outputs, self.shell, number) if number else list
        self._repl.end_cell(status, kept, f"{type(error).__name__}: {error}")

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """End the calls of all threads, and then interrupt the main thread: a pool's end would wait for the others."""
        self._repl.interrupt()
        if callable(self._handler):
            self._handler(number, frame)

    def _options(self) -> dict[str, Any]:
        """Return the options of a cell's run. Without a model, the embedded one answers and says so, if it is there."""
        chosen: dict[str, Any] = self._rlm.configured()
        if "model" in chosen or "sub_model" in chosen:
            return chosen
        if not any(each.works for each in providers() if each.model == EMBEDDED):
            raise OptionError(f"No model is set, and the embedded one is not installed. {HOW_TO_SET}")
        if not self._told:
            self._told = True
            print(f"No model is set, so {EMBEDDED} answers on this machine. {HOW_TO_SET}")  # noqa: T201
        return chosen


def _show_error(
    shell: Any, kind: type[BaseException], error: BaseException, tb: TracebackType | None, tb_offset: int | None = None
) -> None:
    """Show a cell's error without our frames; one about an option in a line, because the code is not at fault."""
    if isinstance(error, OptionError):
        kind, error = UsageError, UsageError(" ".join(str(error).split()))
    shell.showtraceback((kind, error, without_our_frames(tb)), tb_offset=tb_offset)
