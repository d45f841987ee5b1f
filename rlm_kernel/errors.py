"""Everything that can go wrong, one type per boundary crossed.

    RLMError
    ├── OptionError(ValueError)   an option, model name or tool cannot work; refused before any model is paid
    │   └── MissingKeyError       the provider's key is not configured; the text names the variable
    ├── ContextError              the input does not exist, is empty, or cannot cross into the kernel
    ├── ModelError                a model could not be reached, or gave no usable reply
    ├── SandboxError              the box could not be started, or broke; never the code's own fault
    │   └── KernelDied            the kernel process ended while it was needed
    ├── LimitReached              a limit of the run is spent
    ├── ReplError                 a live kernel cannot be looked into, or does not have what was asked for
    ├── LLMCallError              a single sub-call failed (raised in the REPL)
    ├── ToolError                 a tool failed (raised in the REPL)
    └── WireError                 the other side of the wall sent something that is not the protocol

A message says what happened, what was expected and what to do next, in one or two lines.
This file imports the standard library only: both sides of the wall use it.
"""

from __future__ import annotations

__all__ = [
    "ContextError",
    "KernelDied",
    "LLMCallError",
    "LimitReached",
    "MissingKeyError",
    "ModelError",
    "OptionError",
    "RLMError",
    "ReplError",
    "SandboxError",
    "ToolError",
    "WireError",
]


class RLMError(Exception):
    """Base of every error that rlm_kernel raises on purpose."""


class OptionError(RLMError, ValueError):
    """An option has a value that cannot work."""


class MissingKeyError(OptionError):
    """A provider needs a key and none is configured."""


class ContextError(RLMError):
    """The input cannot be read, or cannot cross into the kernel."""


class ModelError(RLMError):
    """A model could not be reached, or gave no usable reply.

    Attributes
    ----------
    status
        The provider's HTTP status, where there is one.
    """

    status: int | None = None


class SandboxError(RLMError):
    """The box could not be started, or it broke. Never shown to a model as the result of its code."""


class KernelDied(SandboxError):
    """The kernel process ended while it was needed."""


class ReplError(RLMError, LookupError):
    """A live kernel cannot be looked into, or does not have what was asked for."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: a look in a cell needs none of our frames."""
        return [f"{type(self).__name__}: {self}"]


class LimitReached(RLMError):
    """A limit of the run is spent.

    Attributes
    ----------
    limit
        The option's name, such as ``max_calls``.
    maximum
        The value the option had.
    """

    def __init__(self, limit: str, maximum: float) -> None:
        super().__init__(f"The run's limit {limit}={maximum:g} is reached.")
        self.limit = limit
        self.maximum = maximum

    def __reduce__(self) -> tuple[type[LimitReached], tuple[str, float]]:
        return type(self), (self.limit, self.maximum)


class LLMCallError(RLMError):
    """A single sub-call failed; the text is the host's reason."""


class ToolError(RLMError):
    """A tool of the caller's failed; the text is the host's reason."""


class WireError(RLMError):
    """A message across the wall is malformed, or of another version."""
