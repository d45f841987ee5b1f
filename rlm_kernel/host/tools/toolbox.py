"""`Tools`: what the kernel and the prompt hear of a caller's tools, and the calls that come back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any

from rlm_kernel import wire
from rlm_kernel.errors import ToolError
from rlm_kernel.host.checks import did_you_mean
from rlm_kernel.host.redaction import Redactor
from rlm_kernel.host.secret import Secret
from rlm_kernel.host.tools import work
from rlm_kernel.host.tools.entries import Entry, Function, Source, is_value, read
from rlm_kernel.host.tools.names import RESERVED_NAMES
from rlm_kernel.host.tools.reasons import reason
from rlm_kernel.host.tools.results import MAX_DEPTH, NotJSONError, dump, to_json

SECRET_MARK = "__secret__"  # noqa: S105
"""``{SECRET_MARK: name}`` stands for a secret among arguments; `rlm_kernel.kernel.tools` writes it."""

SLOTS = 32
"""Calls of one run's tools at once; the next ones wait. A sync function has a thread for each."""

THREADS = 4 * SLOTS
"""Threads of one run's tools, those that were left among them: a thread cannot be ended."""

DOC_CHARACTERS = 10_000
"""Of a function's documentation that the REPL holds."""


class Tools:
    """The tools of an RLM. Belongs to the event loop on which it is first called.

    `of` builds it when a run begins, because that is when environment variables are read.

    Attributes
    ----------
    secrets
        The values of its secrets, for a `Redactor`.
    """

    def __init__(self, entries: Mapping[str, Entry], private: Iterable[str] = ()) -> None:
        self._entries = dict(entries)
        self._secrets = {name: e.tool.reveal() for name, e in entries.items() if isinstance(e.tool, Secret)}
        self.secrets = tuple(self._secrets.values())
        self._redactor = Redactor([*self.secrets, *private])
        self._slots = asyncio.Semaphore(SLOTS)
        self._threads = work.Threads()

    @classmethod
    def of(
        cls,
        mapping: Mapping[str, Any],
        reserved: Collection[str] = RESERVED_NAMES,
        *,
        private: Iterable[str] = (),
    ) -> Tools:
        """Check a caller's tools and read the secrets among them.

        Parameters
        ----------
        mapping
            Name -> a function, sync or async; a JSON value; a `Secret`; a `Source`; or ``{"tool": any of them,
            "description": text}``.
        reserved
            More names that a tool may not have.
        private
            Other values that no result, error or documentation may hold, such as the models' keys.

        Raises
        ------
        OptionError
            A name or an entry cannot work, or a secret's environment variable is not set.
        """
        return cls(read(mapping, reserved), private)

    @property
    def sources(self) -> tuple[str, ...]:
        """Code for the REPL, in the caller's order."""
        return tuple(entry.tool.code for entry in self._entries.values() if isinstance(entry.tool, Source))

    def docs(self) -> tuple[tuple[str, str], ...]:
        """Return name and text of each tool, for the prompt."""
        return tuple((name, self._redactor.text(entry.text)) for name, entry in self._entries.items())

    def bind(self) -> wire.Bind:
        """Return what the kernel has to know: names, documentation, values; no secret's value."""
        functions = {name: e.tool for name, e in self._entries.items() if isinstance(e.tool, Function)}
        return wire.Bind(
            tools={name: self._redactor.text(_doc(self._entries[name], tool)) for name, tool in functions.items()},
            values={name: self._redactor.value(e.tool) for name, e in self._entries.items() if is_value(e.tool)},
            secrets=list(self._secrets),
        )

    async def call(self, tool: str, args: list[Any], kwargs: dict[str, Any]) -> str:
        """Call a function with what the kernel sent, and return its result as JSON.

        Cancelling this cancels an async function, and leaves a sync one to itself: a thread cannot be killed, so what
        may hang should have a time limit of its own. The caller of this has one: the cell's.

        Raises
        ------
        ToolError
            There is no such function, it does not take these arguments, it raised, or JSON cannot
            carry its result. The text is for the model.
        """
        function = self._function(tool)
        args, kwargs = self._real(args), self._real(kwargs)
        self._check_arguments(tool, function, args, kwargs)
        async with self._slots:
            if self._threads.running >= THREADS:
                raise ToolError(
                    f"{tool}: {THREADS} calls that were left have not returned yet. Do without tools, or wait."
                )
            return await self._apart(tool, self._result(tool, function, args, kwargs))

    def _function(self, tool: str) -> Function:
        entry = self._entries.get(tool)
        if entry is not None and isinstance(entry.tool, Function):
            return entry.tool
        names = [name for name, known in self._entries.items() if isinstance(known.tool, Function)]
        what = "is no function" if entry else "is not there"
        raise ToolError(f"The tool {tool[:100]!r} {what}.{did_you_mean(tool[:100], names)}")

    def _check_arguments(self, tool: str, function: Function, args: list[Any], kwargs: dict[str, Any]) -> None:
        problem = None
        if clash := sorted(function.fixed & kwargs.keys()):
            problem = f"got an unexpected keyword argument {clash[0]!r}"
        elif function.signature is not None:
            try:
                function.signature.bind(*args, **kwargs)
            except TypeError as error:
                problem = str(error)
        if problem is not None:
            raise ToolError(self._redactor.text(f"{tool}(): {problem[:500]}. It is called as {function.usage}"))

    async def _result(self, tool: str, function: Function, args: list[Any], kwargs: dict[str, Any]) -> str:
        try:
            result = await work.run(function.call, args, kwargs, self._threads)
            return await work.in_thread(lambda: self._encoded(tool, result))
        except work.RaisedError as raised:
            raise ToolError(reason(raised.error, self._redactor)) from None

    def _encoded(self, tool: str, result: Any) -> str:
        try:
            text = dump(self._redactor.value(to_json(result)))
        except NotJSONError as error:
            raise ToolError(error.at(f"The result of {tool}")) from None
        if len(text) > wire.CALL_CHARACTERS:
            most = f"at most {wire.CALL_CHARACTERS:,} are possible"
            raise ToolError(f"The result of {tool} has {len(text):,} characters of JSON; {most}. Ask for less.")
        return text

    async def _apart(self, tool: str, result: Coroutine[Any, Any, str]) -> str:
        """Wait for a task of its own: a function that does not let itself be cancelled must not keep the cell."""
        task = asyncio.create_task(result)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # if nobody waits any more
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if task.cancelled():
            raise ToolError(f"{tool} was cancelled by itself.")
        return task.result()

    def _real(self, value: Any, depth: int = 0) -> Any:
        """Put the values of secrets where their marks are."""
        if depth > MAX_DEPTH + 1:
            raise ToolError(f"Arguments are nested deeper than {MAX_DEPTH} levels. Make them flat.")
        if isinstance(value, dict):
            if value.keys() == {SECRET_MARK} and isinstance(name := value[SECRET_MARK], str) and name in self._secrets:
                return self._secrets[name]
            return {key: self._real(item, depth + 1) for key, item in value.items()}
        return [self._real(item, depth + 1) for item in value] if isinstance(value, list) else value


def _doc(entry: Entry, function: Function) -> str:
    """Return what the REPL's ``help`` shows: how it is called and all of its documentation, or what the prompt says."""
    if not function.doc:
        return entry.text[:DOC_CHARACTERS]
    return f"{function.usage}\n\n{function.doc}"[:DOC_CHARACTERS]
