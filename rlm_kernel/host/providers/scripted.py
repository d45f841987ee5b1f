"""A model that replies what a script says: for tests, for teaching, and for any callable as a model."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlm_kernel.errors import ModelError, OptionError, RLMError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers.base import OnText, Reply

if TYPE_CHECKING:
    from rlm_kernel.journal import SavedRun

ScriptItem = str | Reply | Exception
ScriptFunction = Callable[[list[dict[str, str]]], str | Reply | Awaitable[str | Reply]]


class ScriptedModel:
    """A model that replies what a script says.

    Parameters
    ----------
    script
        Replies in order, an exception standing for a call that raises it; or a function, sync or async, from
        chat messages (``{"role": ..., "content": ...}``) to the reply. A sync function runs in a thread.
        A `Reply` sets the call's usage; the usage of a plain ``str`` is unknown.
    name
        The model's name in the journal.

    Attributes
    ----------
    requests
        The messages of every call, in the order the calls came.
    limits
        What each of them might use for its reply: its ``max_tokens``, which a script does not heed.

    Raises
    ------
    OptionError
        ``script`` is neither replies nor a function.
    """

    def __init__(self, script: Iterable[ScriptItem] | ScriptFunction, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[list[Message]] = []
        self.limits: list[int | None] = []
        self._function: ScriptFunction | None = None
        self._replies: deque[ScriptItem] = deque()
        if callable(script):
            self._function = script
        elif isinstance(script, Iterable) and not isinstance(script, str | bytes | dict):
            self._replies = deque(script)
        else:
            raise OptionError(f"A script is a list of replies or a function, not {type(script).__name__}.")
        self._length = len(self._replies)

    @classmethod
    def from_journal(cls, run: str | Path | SavedRun) -> ScriptedModel:
        """Return a model that replies what a run's models did: the root model, and those of its sub-calls.

        It goes by what it is asked, so it also serves runs that are a little different. For the same run, `replay` it.

        Raises
        ------
        RLMError
            There is no such run.
        """
        from rlm_kernel.host.resume.script import JournalScript
        from rlm_kernel.journal import find

        saved = find(run)
        return cls(JournalScript(saved.events()), name=saved.id)

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        """Give the next reply, as one piece of text.

        Raises
        ------
        ModelError
            The list of replies is used up, or the function raised or returned what is not a reply.
        """
        self.requests.append(list(messages))
        self.limits.append(max_tokens)
        item = self._next() if self._function is None else await self._call(self._function, messages)
        if isinstance(item, Exception):
            raise item
        if item is None:  # a server's null content, passed on by a function: an empty reply, as from other providers
            item = ""
        if isinstance(item, str):
            item = Reply(item, Usage.of_call(None, None))
        if not isinstance(item, Reply):
            raise ModelError(f"{self.name} replied with {type(item).__name__}; expected a str.")
        if on_text is not None and item.text:
            on_text(item.text)
        return item

    async def aclose(self) -> None:
        """Do nothing: a script has no connections."""

    def _next(self) -> Any:
        try:
            return self._replies.popleft()
        except IndexError:
            replies = "1 reply" if self._length == 1 else f"{self._length} replies"
            raise ModelError(f"{self.name} was asked once more, but its script had only {replies}.") from None

    async def _call(self, function: ScriptFunction, messages: Sequence[Message]) -> Any:
        chat = [asdict(message) for message in messages]
        result: Any = await asyncio.to_thread(self._run, function, chat)
        if inspect.isawaitable(result):
            with self._model_errors():
                return await result
        return result

    def _run(self, function: ScriptFunction, chat: list[dict[str, str]]) -> Any:
        with self._model_errors():  # in the thread: a StopIteration cannot cross into the event loop
            return function(chat)

    @contextmanager
    def _model_errors(self) -> Iterator[None]:
        try:
            yield
        except RLMError:
            raise
        except Exception as error:
            raise ModelError(f"{self.name} raised {type(error).__name__}: {error}") from error
