"""Live kernels that several questions share: ``%%rlm --session NAME``. They are this process's, and end with it."""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from rlm_kernel import RLM, OptionError, RLMError


@dataclass(frozen=True)
class _Session:
    rlm: RLM
    options: Mapping[str, Any]


@dataclass
class Sessions:
    """Conversations by name."""

    _open: dict[str, _Session] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Those that are open."""
        return sorted(self._open)

    def get(self, name: str, on_line: Mapping[str, Any], chosen: Mapping[str, Any]) -> RLM:
        """Return the session of a name; a new one, with a kernel of its own, where there is none.

        Parameters
        ----------
        name
            Its name.
        on_line
            The options that stand on the line: those of an open session must be the same.
        chosen
            All options, for a new one.

        Raises
        ------
        OptionError
            An option cannot work, or is another one than the session began with; or its kernel answers a question now.
        SandboxError
            The kernel could not be started.
        """
        if name not in self._open:
            rlm = RLM(**chosen)
            rlm.__enter__()
            self._open[name] = _Session(rlm, dict(chosen))
        session = self._open[name]
        if (last := session.rlm.last) is not None and not last.done:
            raise OptionError(
                f"--session {name} is answering another question. Wait for it, stop it (%rlm_stop {last.id}), or ask "
                "in a session of another name."
            )
        for option, value in on_line.items():
            if session.options.get(option) != value:
                raise OptionError(
                    f"--session {name} began with {option}={session.options.get(option)!r}, and goes on with it. "
                    f"Leave the option out, or end the session first: %rlm_close {name}"
                )
        return session.rlm

    def find(self, name: str) -> RLM | None:
        """Return an open session, if there is one of that name."""
        return self._open[name].rlm if name in self._open else None

    def close(self, name: str) -> None:
        """End a session and its kernel; what it is answering in the background is stopped.

        Raises
        ------
        OptionError
            There is none of that name.
        """
        if name not in self._open:
            raise OptionError(f"There is no session {name!r}. Open: {', '.join(self.names) or 'none'}.")
        rlm = self._open.pop(name).rlm
        if rlm.last is not None and not rlm.last.done:
            rlm.last.cancel()
            with suppress(RLMError):
                rlm.last.result()
        rlm.close()

    def close_all(self) -> None:
        """End all of them."""
        for name in self.names:
            self.close(name)


SESSIONS = Sessions()
atexit.register(SESSIONS.close_all)
