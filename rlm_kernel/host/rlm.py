"""The public object."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from rlm_kernel.errors import RLMError
from rlm_kernel.host import loop
from rlm_kernel.host.bus import Bus
from rlm_kernel.host.completion import Completion
from rlm_kernel.host.conversation import Conversation
from rlm_kernel.host.estimate.estimate import Estimate
from rlm_kernel.host.live.live_repl import LiveRepl, of_conversation
from rlm_kernel.host.options import ModelLike, Options
from rlm_kernel.host.plain import PlainResult, plain_calls
from rlm_kernel.host.resume import begin
from rlm_kernel.host.resume.begin import SavedLike
from rlm_kernel.host.resume.replay import replay
from rlm_kernel.host.run import Run
from rlm_kernel.host.shared import CHILD_QUESTION, Shared, check_asked
from rlm_kernel.host.tools import Tools

T = TypeVar("T")


class RLM:
    """A Recursive Language Model (Zhang, Kraska & Khattab, arXiv 2512.24601).

    Used as a context manager, sync or async, it is a conversation: its completions share one REPL.

    Parameters
    ----------
    model
        ``provider/model``, such as ``openai/gpt-5-mini``, or a callable ``messages -> str``. By default a fixed
        program over the embedded model, which needs no key.
    **options
        See `rlm_kernel.host.options.Options`: ``sub_model``, ``max_calls``, ``sandbox``, ...

    Raises
    ------
    OptionError
        An option, a model or its key is missing or cannot work. Nothing has been asked.

    Examples
    --------
    >>> rlm = RLM("openai/gpt-5-mini", sub_model="openai/gpt-5-nano", max_calls=200)  # doctest: +SKIP
    >>> rlm.completion("Which chapter first names the murderer?", context=book).answer  # doctest: +SKIP
    >>> with RLM("openai/gpt-5-mini") as rlm:  # doctest: +SKIP
    ...     rlm.completion("How many chapters are there?", context=book)
    ...     rlm.completion("And which of them is the longest?")
    """

    def __init__(self, model: ModelLike | None = None, **options: Any) -> None:
        self.options = Options.of(model=model, **options)
        Shared.of(self.options, Bus([]))
        self.last: Run | None = None
        """The run that was made last: after a Ctrl-C, ``rlm.last.completion`` is what there is."""
        self._conversation: Conversation | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def acompletion(self, question: str, context: Any = None, *, root_prompt: str | None = None) -> Completion:
        """Answer a question over an input.

        Parameters
        ----------
        question
            What to find out. The root model sees it.
        context
            The input, of any size: text, bytes, a list or dict of JSON values, chat messages, a pandas or polars
            DataFrame, or a `pathlib.Path` to a file or a folder of text files. It becomes the variable ``context`` of
            the REPL. Without one, the question is the input; in a conversation, the inputs of before stay.
        root_prompt
            As in rlms: the question, and then the first argument is the input.

        Raises
        ------
        ContextError
            The input is empty, missing or cannot cross into the kernel.
        ModelError
            The root model failed for good.
        SandboxError
            The sandbox could not be started.
        """
        return await self._here(self._run(question, context, root_prompt).complete())

    def completion(self, question: str, context: Any = None, *, root_prompt: str | None = None) -> Completion:
        """`acompletion` for sync code, also inside a running event loop such as a notebook's."""
        return self.start(question, context, root_prompt=root_prompt).result()

    def start(self, question: str, context: Any = None, *, root_prompt: str | None = None) -> Run:
        """Begin a completion on a thread of its own; the `Run` yields its events and can be cancelled."""
        self._check_loop(loop.get())
        return self._run(question, context, root_prompt).start()

    def stream(self, question: str, context: Any = None, *, root_prompt: str | None = None) -> Run:
        """Return a run that ``async for event in`` drives; its `completion` is there when the loop has ended."""
        return self._run(question, context, root_prompt)

    def estimate(self, question: str, context: Any = None, *, root_prompt: str | None = None) -> Estimate:
        """Say how big an input is and what a run over it may come to, from past runs of this machine.

        No model is asked, and a file is not read. The arguments are those of `acompletion`.

        Raises
        ------
        ContextError
            The input is empty, missing or cannot cross into the kernel.
        """
        from rlm_kernel.host.estimate.forecast import forecast
        from rlm_kernel.host.estimate.size import measure

        question, context = self._asked(question, context, root_prompt)
        given = check_asked(self.options, question, context, goes_on=self._conversation is not None)
        return forecast(self.options, None if given is None else measure(given, self.options))

    @classmethod
    def resume(cls, run: SavedLike, context: Any = None, **changes: Any) -> Completion:
        """Go on with a run where it ended: after a crash, a limit, a cancel or a failure. What was paid for is served.

        Cells run again, in a fresh kernel; root replies, sub-calls and tools come from the journal as far as it goes,
        and the first one that it does not have is asked for. Where a cell does something else than before, the run says
        so.
        For a run that can be watched, awaited or cancelled, see `rlm_kernel.resume`.

        Parameters
        ----------
        run
            Its directory, its id or the beginning of it, or ``"last"``.
        context
            The input, where the journal does not have it, or another one.
        **changes
            Options that are other ones now, such as a raised ``max_calls``; functions have to be passed again.

        Raises
        ------
        OptionError
            An option cannot work, has to be passed again, or the limit that had ended the run is not raised.
        ContextError
            The input is gone, or has changed.
        RLMError
            There is no such run, it cannot be read, or another process is writing it. Or as `acompletion`.
        """
        return begin.resume(run, context, **changes).start().result()

    @classmethod
    def replay(cls, run: SavedLike, context: Any = None, **changes: Any) -> Completion:
        """Do the same as a run did, with no model at all; see `rlm_kernel.replay`."""
        return replay(run, context, **changes).start().result()

    @classmethod
    def fork(
        cls, run: SavedLike, turn: int, context: Any = None, *, question: str | None = None, **changes: Any
    ) -> Completion:
        """Begin a new run with the first turns of another one; see `rlm_kernel.fork`."""
        return begin.fork(run, turn, context, question=question, **changes).start().result()

    async def aplain(self, question: str, context: Any = None, *, times: int = 1) -> PlainResult:
        """Ask the root model the same in one plain call, with the whole input in the prompt, and that several times.

        For an honest comparison: ``compare({"RLM": completion, "plain": result})``. Where the input does not fit into
        the model's window, the result says by how much, and nothing is asked. See `rlm_kernel.host.plain`.

        Raises
        ------
        OptionError
            ``times`` is no number of calls.
        ContextError
            The input is empty, missing, or cannot stand in a prompt.
        """
        return await plain_calls(self.options, question, context, times=times)

    def plain(self, question: str, context: Any = None, *, times: int = 1) -> PlainResult:
        """`aplain` for sync code."""
        return loop.submit(self.aplain(question, context, times=times)).result()

    async def ago_on(self, **limits: Any) -> Completion:
        """Raise limits and go on with the conversation's last completion, which one of them had ended.

        Raises
        ------
        OptionError
            A limit cannot be raised, or is not higher than it was.
        RLMError
            There is no such completion.
        """
        if self._conversation is None or self.last is None:
            raise RLMError("There is nothing to go on with. Ask a question inside `with RLM(...) as rlm:` first.")
        return await self._here(self.last.go_on(**limits))

    def go_on(self, **limits: Any) -> Completion:
        """`ago_on` for sync code."""
        return loop.submit(self.ago_on(**limits)).result()

    async def aadd_context(self, context: Any) -> None:
        """Give the conversation one more input, ``context_N``, without asking anything."""
        if self._conversation is None:
            raise RLMError("Only a conversation (`with RLM(...) as rlm:`) can be given more inputs.")
        await self._here(self._conversation.add_context(context))

    def add_context(self, context: Any) -> None:
        """`aadd_context` for sync code."""
        loop.submit(self.aadd_context(context)).result()

    async def __aenter__(self) -> RLM:
        if self._conversation is not None:
            raise RLMError("This RLM is in a conversation already. Make another one.")
        tools = Tools.of(self.options.tools)
        self._loop = asyncio.get_running_loop()
        self._conversation = Conversation(self.options, tools)
        try:
            await self._conversation.open()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        conversation, self._conversation, self._loop = self._conversation, None, None
        if conversation is not None:
            await conversation.close()

    async def aclose(self) -> None:
        """End the conversation, if there is one."""
        await self._here(self.__aexit__())

    def close(self) -> None:
        """`aclose` for sync code."""
        loop.submit(self.aclose()).result()

    def __enter__(self) -> RLM:
        return loop.submit(self.__aenter__()).result()

    def __exit__(self, *error: object) -> None:
        loop.submit(self.__aexit__()).result()

    @property
    def repl(self) -> LiveRepl:
        """The live kernel of an open conversation: ``rlm.repl["chunks"]``; see `LiveRepl`.

        Raises
        ------
        ReplError
            No conversation is open.
        """
        return of_conversation(self._conversation)

    def _run(self, question: str, context: Any, root_prompt: str | None) -> Run:
        self.last = Run(self.options, *self._asked(question, context, root_prompt), self._conversation)
        return self.last

    def _asked(self, question: str, context: Any, root_prompt: str | None) -> tuple[str, Any]:
        """Return the question and the input, however they were passed."""
        if root_prompt is not None:
            if context is not None:
                raise RLMError("Pass root_prompt= with the input as the first argument, or a question and context=.")
            question, context = root_prompt, question
        elif context is None and not isinstance(question, str):  # as in rlms: the input, which says what to do
            question, context = CHILD_QUESTION, question
        return question, context

    def _check_loop(self, running: asyncio.AbstractEventLoop) -> None:
        if self._loop not in (None, running):
            raise RLMError("This conversation was opened with `async with`: use acompletion, stream, ago_on.")

    async def _here(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await in the event loop that the conversation belongs to."""
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await coroutine
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))
