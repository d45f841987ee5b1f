"""Answers by what was asked: in memory for a run, and in a folder for other runs too.

A key says everything that decides an answer. Identical calls in flight share one request, so a batch of equal prompts
is paid once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import sys
import tempfile
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rlm_kernel.errors import OptionError

MEMORY_BYTES = 256 << 20
FILE_BYTES = 256 << 20
"""A bigger file in the folder is not one of ours."""
VERSION = 1

T = TypeVar("T")

_asking: ContextVar[frozenset[str]] = ContextVar("asking", default=frozenset())
"""The keys that this task, or one it was started by, is asking for: to wait for one of them would be for ever."""

_process = uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """A text, whether it was there already, and what else `ask` gave to the one that really asked."""

    text: str
    cached: bool
    result: T | None = None


class Cache:
    """The answers of a run. Owned by the run's event loop.

    Parameters
    ----------
    where
        ``True`` keeps answers in memory, a folder keeps them there as well, ``False`` asks every time.
    memory_bytes
        What the answers in memory may take; those not used for longest are forgotten first.

    Attributes
    ----------
    problem
        Why an answer could not be written to the folder, once one could not. The run goes on without.

    Raises
    ------
    OptionError
        The folder cannot be made, or not be written.
    """

    def __init__(self, where: bool | str | Path = True, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self.problem: str | None = None
        self._where = where
        self._folder = None if isinstance(where, bool) else _Folder(where)
        self._memory = _Memory(memory_bytes)
        self._flights: dict[str, asyncio.Future[str]] = {}

    @property
    def enabled(self) -> bool:
        """Whether an answer is ever kept."""
        return self._where is not False

    def __contains__(self, key: str) -> bool:
        """Whether an answer is in memory, or on its way."""
        return key in self._flights or self._memory.get(key) is not None

    def put(self, key: str, text: str) -> None:
        """Keep in memory an answer that is known already."""
        self._memory.put(key, text)

    @staticmethod
    def key(
        model: str, sampling: Mapping[str, Any], prompt: str, schema: Mapping[str, Any] | None = None, **others: Any
    ) -> str:
        """Return the SHA-256 of a call, in hex.

        ``others`` is whatever else decides the answer: a system prompt, the model's address, the digest of an input,
        and for a call that may ask again (a child RLM) its depth, so that it never waits for itself. A value that JSON
        has not equals only itself, and nothing in another process.
        """
        parts = [VERSION, model, sampling, prompt, schema, others]
        return hashlib.sha256(_KEY.encode(parts).encode()).hexdigest()

    async def answer(
        self, key: str, ask: Callable[[], Awaitable[tuple[str, T]]], *, model: str = "", keep: bool = True
    ) -> Answered[T]:
        """Return the answer that is there or on its way, else that of ``ask``.

        ``ask`` returns the text, and what only the one that asks should get, such as the call's usage. When the one
        that asks is cancelled, the next of those that wait asks. An error goes to all that wait, and is not kept.
        ``model`` is written beside the answer; with ``keep=False`` the folder is left out, for models whose name says
        nothing outside this process.
        """
        if not self.enabled or key in _asking.get():
            text, result = await ask()
            return Answered(text, False, result)
        while True:
            if (known := self._memory.get(key)) is not None:
                return Answered(known, True)
            if (flight := self._flights.get(key)) is None:
                return await self._lead(key, ask, model, self._folder if keep else None)
            await asyncio.wait([flight])  # other than awaiting it, this leaves it alone when this task is cancelled
            if not flight.cancelled():
                return Answered(flight.result(), True)

    async def _lead(
        self, key: str, ask: Callable[[], Awaitable[tuple[str, T]]], model: str, folder: _Folder | None
    ) -> Answered[T]:
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        token = _asking.set(_asking.get() | {key})
        try:
            kept = None if folder is None else await asyncio.to_thread(folder.read, key)
            text, result = (kept, None) if kept is not None else await ask()
            self._memory.put(key, text)
            flight.set_result(text)
        except Exception as error:
            flight.set_exception(error)
            flight.exception()  # perhaps nobody waits: asyncio must not complain
            raise
        finally:
            del self._flights[key]
            flight.cancel()  # does nothing where there is a result
            _asking.reset(token)
        if folder is not None and kept is None:
            self.problem = await asyncio.to_thread(folder.write, key, text, model) or self.problem
        return Answered(text, kept is not None, result)


class _Memory:
    """Texts by key, up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._room = most
        self._texts: OrderedDict[str, str] = OrderedDict()

    def get(self, key: str) -> str | None:
        if key in self._texts:
            self._texts.move_to_end(key)
        return self._texts.get(key)

    def put(self, key: str, text: str) -> None:
        if (old := self._texts.pop(key, None)) is not None:
            self._room += sys.getsizeof(old)
        self._texts[key] = text
        self._room -= sys.getsizeof(text)
        while self._room < 0:
            self._room += sys.getsizeof(self._texts.popitem(last=False)[1])


class _Folder:
    """A file of JSON for each key, mode 0600, below 256 folders. Its name is the key, and says nothing of the prompt.

    Whoever can write in the folder decides what runs are answered.
    """

    def __init__(self, where: str | Path) -> None:
        try:
            if not str(where).strip():
                raise ValueError("an empty path")
            self._path = Path(where).expanduser().absolute()
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self._path).close()
        except (OSError, ValueError, RuntimeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or error
            raise OptionError(
                f"cache={str(where)!r}: answers cannot be kept there: {reason}. "
                "Choose a folder that you can write, or cache=True to keep them in memory."
            ) from error

    def read(self, key: str) -> str | None:
        """Return an answer; what is damaged, or not ours, is no answer."""
        with suppress(OSError, ValueError, RecursionError), open(self._file(key), "rb", opener=_open) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > FILE_BYTES:
                return None
            content = json.loads(file.read())
            if isinstance(content, dict) and content.get("version") == VERSION and content.get("key") == key:
                text = content.get("text")
                return text if isinstance(text, str) else None
        return None

    def write(self, key: str, text: str, model: str) -> str | None:
        """Write an answer, whole or not at all; return why it could not be written."""
        content = json.dumps({"version": VERSION, "key": key, "model": model, "time": time.time(), "text": text})
        file = self._file(key)
        temporary: Path | None = None
        try:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".tmp", delete=False) as out:  # mode 0600
                temporary = Path(out.name)
                out.write(content)
            temporary.replace(file)
        except OSError as error:
            if temporary is not None:
                with suppress(OSError):
                    temporary.unlink()
            return f"The cache {str(self._path)!r} cannot be written: {error.strerror}."
        return None

    def _file(self, key: str) -> Path:
        return self._path / key[:2] / f"{key[2:]}.json"


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else [_process, id(value)]


_KEY = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_plain)


def _open(path: str, flags: int) -> int:
    """Open no link, and do not wait for the other end of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
