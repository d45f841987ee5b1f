"""A handle on a live kernel: its variables, read while a run goes on."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rlm_kernel.errors import KernelDied, ReplError
from rlm_kernel.host.live import seen
from rlm_kernel.host.live.hand import Output
from rlm_kernel.look import Look, Seen

if TYPE_CHECKING:
    from rlm_kernel.host.conversation import Conversation
    from rlm_kernel.host.repl import Repl

T = TypeVar("T")

LOOK_SECONDS = 10.0
"""How long a kernel has to answer."""


class LiveRepl:
    """The variables of a live kernel: ``repl["chunks"]``. From `Run.repl`, `RLM.repl` or `attach`.

    Reading works while a cell runs, and leaves no trace in the run: no history, no output, no event. What comes across
    is plain data: texts, numbers, booleans, ``None``, bytes, and lists, tuples, sets and dicts of them, up to 8,000,000
    characters as JSON. Other things can be shown as text.

    The methods block, and are for any thread but that of the event loop that drives the run; there, await `aread`,
    `apart`, `ashow`, `anames`, `aexecute`.

    Examples
    --------
    >>> run = rlm.start("Who inherits?", context=book)  # doctest: +SKIP
    >>> run.repl.names()  # doctest: +SKIP
    {'context': 'str', 'answer': 'dict', 'chunks': 'list'}
    >>> run.repl["chunks"][0]  # doctest: +SKIP
    """

    def __init__(self, label: str, find: Callable[[], Repl], conversation: Conversation | None = None) -> None:
        self._label = label
        self._find = find
        self._conversation = conversation

    def __getitem__(self, name: str) -> Any:
        """Read a variable.

        Raises
        ------
        ReplError
            It is not there (a `LookupError`), is no plain data, is too big, or its kernel has ended.
        """
        return self._now(self.aread(name))

    def part(self, name: str, start: int | None = None, stop: int | None = None) -> Any:
        """Read ``name[start:stop]`` of a text, bytes, a list or a tuple; raises as reading all of it does."""
        return self._now(self.apart(name, start, stop))

    def show(self, name: str) -> str:
        """Return a variable of any type as text: its `repr`, of 100,000 characters at most.

        Raises
        ------
        ReplError
            It is not there, or its own code raised something or did not end.
        """
        return self._now(self.ashow(name))

    def names(self) -> dict[str, str]:
        """Return the names and types of what there is: inputs, ``answer``, and what cells have made."""
        return self._now(self.anames())

    def execute(self, code: str) -> Output:
        """Run code in the kernel, by hand; return what it printed.

        Only in a kernel that stays (``with RLM(...) as rlm:``, ``%%rlm --session NAME``), and only between two
        questions. The next question finds what has changed, its model is told, and its journal has the code.

        Raises
        ------
        ReplError
            The kernel is at work, or is a run's own.
        """
        return self._now(self.aexecute(code), None)

    @property
    def connection_file(self) -> Path:
        """Jupyter's connection file, for ``jupyter console --existing FILE`` of the same user on this machine.

        Raises
        ------
        ReplError
            The kernel has ended.
        """
        return self._live().session.connection_file

    @property
    def stays(self) -> bool:
        """Whether it is a conversation's, which can be worked in between two questions."""
        return self._conversation is not None

    @property
    def is_live(self) -> bool:
        """Whether there is a kernel to look into."""
        try:
            return self._live() is not None
        except ReplError:
            return False

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __repr__(self) -> str:
        return f"<LiveRepl: {self._label}{'' if self.is_live else ', ended'}>"

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.names())

    async def aread(self, name: str) -> Any:
        """Read a variable; as ``repl[name]``."""
        return await asyncio.to_thread(seen.value, await self._look(Look("value", _name(name))), name)

    async def apart(self, name: str, start: int | None = None, stop: int | None = None) -> Any:
        """`part` for asyncio."""
        for end in (start, stop):
            if end is not None and (not isinstance(end, int) or isinstance(end, bool) or abs(end) >= 2**60):
                raise ReplError(f"part({name!r}, {start!r}, {stop!r}): expected whole numbers, as in a slice.")
        look = Look("value", _name(name), 0 if start is None else start, stop)
        return await asyncio.to_thread(seen.value, await self._look(look), name)

    async def ashow(self, name: str) -> Output:
        """`show` for asyncio."""
        return Output(seen.text(await self._look(Look("text", _name(name))), name))

    async def anames(self) -> dict[str, str]:
        """`names` for asyncio."""
        found = await self._look(Look("names"))
        return {**seen.names(found.given), **seen.names(found.names)}

    async def aexecute(self, code: str) -> Output:
        """`execute` for asyncio."""
        if self._conversation is None:
            raise ReplError(
                "Only a kernel that stays can be worked in by hand: with RLM(...) as rlm:, or %%rlm --session NAME. "
                "This one is the run's own; its variables can be read."
            )
        if not isinstance(code, str) or not code.strip():
            raise ReplError("There is no code. Write what is to run, such as repl.execute('len(chunks)').")
        conversation = self._conversation
        return await self._there(lambda repl: conversation.execute(code))

    async def _look(self, look: Look) -> Seen:
        return await self._there(lambda repl: repl.look(look, LOOK_SECONDS))

    def _live(self) -> Repl:
        try:
            repl = self._find()
        except ReplError as error:
            raise ReplError(f"{self._label}: {error}") from None
        try:
            _ = repl.session.connection_file
        except KernelDied as reason:
            raise ReplError(f"{self._label}: {reason}.") from None
        return repl

    async def _there(self, do: Callable[[Repl], Coroutine[Any, Any, T]]) -> T:
        """Await in the event loop that the kernel belongs to."""
        repl = self._live()
        try:
            if repl.loop is asyncio.get_running_loop():
                return await do(repl)
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(do(repl), repl.loop))
        except KernelDied as death:
            raise ReplError(f"{self._label}: its kernel has ended: {death}.") from None
        except TimeoutError:
            raise ReplError(
                f"{self._label}: no answer within {LOOK_SECONDS:g} s. A call in its cell keeps the interpreter, or the "
                "value's own code does not end. Ask again later."
            ) from None

    def _now(self, coroutine: Coroutine[Any, Any, T], seconds: float | None = 2 * LOOK_SECONDS) -> T:
        """Run a method in the kernel's event loop, from another thread."""
        try:
            loop = self._live().loop
            if _is_running_here(loop):
                raise ReplError("This thread drives the run, and would wait for itself. Await repl.aread(name), ...")
            if not loop.is_running():
                raise ReplError(f"{self._label}: the event loop that drives it is not running.")
        except ReplError:
            coroutine.close()
            raise
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result(seconds)
        except ReplError as error:
            raise error.with_traceback(None) from None  # it says all, and the way here helps nobody
        except concurrent.futures.TimeoutError:
            raise ReplError(f"{self._label}: the event loop that drives it is busy. Ask again later.") from None
        finally:
            future.cancel()


def _is_running_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ReplError(f"{name!r} is no name of a variable. Write it as text: repl['chunks'].")
    return name


def of_node(
    run: str, node: str, repls: dict[str, Repl], over: Callable[[], bool], conversation: Conversation | None
) -> LiveRepl:
    """Return the handle on a node of a run; ``repls`` are those that live, by node."""

    def find() -> Repl:
        if (repl := repls.get(node)) is not None:
            return repl
        if node == "0" and conversation is not None and conversation.is_open:
            return conversation.repl
        if over() and node == "0":
            raise ReplError(
                "it is over, and its kernel has ended with it. Ask in a kernel that stays (%%rlm --session NAME), get "
                f"its names from the journal (%rlm_names {run}), or go on with it (%rlm --resume {run})."
            )
        live = ", ".join(sorted(repls)) or "none"
        raise ReplError(f"it has no live kernel. Nodes that have one now: {live}.")

    label = f"run {run}" if node == "0" else f"node {node} of run {run}"
    return LiveRepl(label, find, conversation if node == "0" else None)


def of_conversation(conversation: Conversation | None) -> LiveRepl:
    """Return the handle on an open conversation's kernel.

    Raises
    ------
    ReplError
        There is none.
    """
    if conversation is None:
        raise ReplError("Only an open conversation (`with RLM(...) as rlm:`) keeps a kernel; a run has run.repl.")

    def find() -> Repl:
        if not conversation.is_open:
            raise ReplError("it is closed, and its kernel has ended with it.")
        return conversation.repl

    return LiveRepl("conversation", find, conversation)
