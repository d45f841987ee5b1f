"""A value that tools may use, and that neither a model, nor a log, nor a view ever shows."""

from __future__ import annotations

import os
from typing import Any

from rlm_kernel.errors import OptionError

MIN_CHARACTERS = 4
"""A shorter value is refused: redacting it would redact half of every text."""


class Secret:
    """A value that only the host knows. In the REPL it is a name that can be passed to tools, and nothing else.

    As an entry of ``tools`` its value is redacted wherever the run tells something; a function that reveals another one
    has to keep it to itself.

    Parameters
    ----------
    name
        The environment variable that holds the value, and what is shown in its place.
    value
        The value itself, where it is in no environment variable.

    Raises
    ------
    OptionError
        The name is empty, or the value is no text or has less than 4 characters.

    Examples
    --------
    >>> Secret("GITHUB_TOKEN", "ghp_0123456789")
    Secret('GITHUB_TOKEN')
    """

    __slots__ = ("_name", "_value")

    def __init__(self, name: str, value: str | None = None) -> None:
        if not isinstance(name, str) or not name.strip():
            raise OptionError("Secret(name): expected the name of an environment variable, such as 'GITHUB_TOKEN'.")
        self._name = name
        self._value = value if value is None else self._checked(value)

    @property
    def name(self) -> str:
        """What is shown in place of the value."""
        return self._name

    def reveal(self) -> str:
        """Return the value; for tools, which run on the host. The variable is read anew each time.

        Raises
        ------
        OptionError
            The environment variable is not set, or has less than 4 characters.
        """
        if self._value is not None:
            return self._value
        value = os.environ.get(self._name)
        if value is None:
            raise OptionError(f"{self}: there is no such environment variable. Set it, or pass Secret(name, value).")
        return self._checked(value)

    def _checked(self, value: Any) -> str:
        if not isinstance(value, str):
            raise OptionError(f"{self}: expected its value as text, not {type(value).__name__}.")
        if len(value.strip()) < MIN_CHARACTERS:
            raise OptionError(f"{self}: its value has less than {MIN_CHARACTERS} characters, too few for a secret.")
        return value

    def __repr__(self) -> str:
        return f"Secret({self._name!r})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: Any) -> Secret:
        return self

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        if self._value is not None:
            raise TypeError(f"{self} is not pickled: its value would be plain text. Use an environment variable.")
        return Secret, (self._name,)
