"""What crosses the wall: frozen dataclasses to JSON and back, with a version.

Each message travels as the content of a signed Jupyter message whose ``msg_type`` is given below. The kernel is
hostile to the host, so `decode` checks every field before anything is done with it. Nothing is ever pickled, and
big inputs cross as files, never inside a message.

    channel   msg_type           direction        content
    control   rlm_attach_request host -> kernel   Attach     "send your calls to me"
    control   rlm_attach_reply   kernel -> host   Attached
    shell     rlm_load_request   host -> kernel   Load       "read this file into a variable"
    shell     rlm_load_reply     kernel -> host   Loaded
    shell     rlm_bind_request   host -> kernel   Bind       "these are your tools"
    shell     rlm_bind_reply     kernel -> host   {}
    control   rlm_look_request   host -> kernel   look.Look  "what is in this variable?", also while a cell runs
    iopub     rlm_look_reply     kernel -> host   look.Seen
    control   rlm_call           kernel -> host   Call       one sub-call per prompt
    control   rlm_reply          host -> kernel   Reply      one result per prompt
    control   rlm_tool           kernel -> host   ToolCall   call a function of the host's; one result comes back
    control   rlm_context        kernel -> host   Part       a piece of an input for a child, before its Call
    control   rlm_cancel         kernel -> host   Cancel     nobody waits for these calls any more
    shell     execute_reply      kernel -> host   CellReport under ``metadata["rlm"]``

Before there is a kernel, the host talks to the warm parent in the box over a socket pair, a JSON line per message:

    Warm    host -> parent   once, first: who to be
    Fork    host -> parent   become a kernel; its descriptors travel with the line
    Signal  host -> parent
    Clear   host -> parent   end what a kernel has started, but not the kernel
    Ended   parent -> host
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from rlm_kernel import schema
from rlm_kernel.errors import LimitReached, RLMError, WireError

VERSION = 1

MAX_PROMPTS = 100_000
"""Prompts in one batch: each costs the host a task, whatever the limits of the run say."""

CALL_PROMPTS = 1_000
"""A batch with more prompts crosses as several calls: its replies come in one message."""

PROMPT_CHARACTERS = 4_000_000
"""A longer prompt is refused in the kernel; no model takes it."""

CALL_CHARACTERS = 4_000_000
"""A batch with more characters crosses as several calls."""

MESSAGE_BYTES = 32 << 20
"""A longer message of the kernel's on the control channel closes its connection."""

CELL_OUTPUT_CHARACTERS = 1_000_000
"""What a cell may print and show in all; the rest is dropped in the kernel, and the cell's output says so."""

FORK_DESCRIPTORS = ("shell", "iopub", "stdin", "control", "hb", "log", "connection")
"""What travels with a `Fork`, in this order: the listening sockets of the channels, the start's log file, and a file
with Jupyter's connection information. The key in it is for the kernel alone: its parent does not read it, and so
cannot leave it in the memory of the next kernel.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Warm:
    """Who the parent becomes.

    ``user`` is the user and group id to drop to where the host is root. With ``reads_all`` it keeps the one capability
    to read whatever it can name, where the box has no files of its own and Landlock says what can be read.
    ``packages`` are folders to import from, after all others.
    """

    user: int | None = None
    reads_all: bool = False
    packages: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a kernel process gives up for ever before it runs any code.

    ``limits`` maps names of the `resource` module without ``RLIMIT_`` to values (bytes, seconds or counts).
    ``readable`` and ``writable`` are the only paths that Landlock leaves; ``None`` means no Landlock. ``filter`` is a
    seccomp program in base64, where the box does not bring its own.
    """

    limits: dict[str, int] = field(default_factory=dict)
    readable: list[str] | None = None
    writable: list[str] = field(default_factory=list)
    filter: str | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """Start a kernel. ``home`` is a folder that is made for it, and removed with it."""

    id: int
    home: str
    confinement: Confinement


@dataclass(frozen=True, slots=True)
class Signal:
    """Send a signal to a kernel."""

    id: int
    signal: int


@dataclass(frozen=True, slots=True)
class Clear:
    """Kill every process that a kernel has started; the parent says the same when it has."""

    id: int
    clear: bool = True


@dataclass(frozen=True, slots=True)
class Ended:
    """A kernel process ended; ``status`` is its exit code, or minus the signal that ended it.

    ``reason`` says why the parent had ended it, where it had.
    """

    id: int
    status: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Attach:
    """The host registers as the one that answers calls."""

    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Attached:
    """The kernel is ready; its versions, for the journal and for errors."""

    version: int
    python: str


@dataclass(frozen=True, slots=True)
class Load:
    """Read a file the box can see into a variable of the REPL.

    ``kind`` is ``text`` (decoded with ``encoding``, byte for byte: line ends are kept), ``bytes``, ``json``, or the
    library that reads an Arrow file. ``errors`` is what Python's codecs call it: ``surrogatepass`` for a ``str`` of the
    host's, which may hold lone surrogates, else the option ``encoding_errors``. ``path`` is absolute in the box; from
    the host's `inputs` it may be relative to the folder of inputs.
    """

    name: str
    path: str
    kind: Literal["text", "bytes", "json", "jsonl", "csv", "parquet", "pandas", "polars"]
    encoding: str = "utf-8"
    errors: Literal["strict", "replace", "ignore", "backslashreplace", "surrogateescape", "surrogatepass"] = "strict"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the variable became, or why it did not. ``length`` counts ``unit``; ``preview`` shows a little of it."""

    error: str | None = None
    type: str = ""
    length: int = 0
    unit: str = ""
    description: str = ""
    preview: str = ""


@dataclass(frozen=True, slots=True)
class Bind:
    """Give the REPL what is no input, and a fresh ``answer``.

    ``tools`` maps names to the documentation of host functions, ``values`` names to JSON values, ``secrets`` names the
    values that only the host knows. With ``keep_first`` later inputs and histories do not become ``context`` and
    ``history``. Python's `random` begins with ``seed``, so that a run that is resumed or replayed draws the same.
    """

    tools: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    keep_first: bool = False
    seed: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Ask for one sub-call per prompt. ``cell`` is the msg_id of the execute_request that asked.

    ``contexts`` are the inputs of children, sent before as `Part`: one id per prompt, or one for all. ``schema`` is the
    JSON schema of each result, which is then JSON. ``cache`` says whether an earlier answer will do.
    ``source`` is code that children run first, in their own kernels. With ``more`` another call of the same batch
    follows, which may name the same inputs.
    """

    id: str
    kind: Literal["llm", "rlm"]
    prompts: list[str]
    model: str | None = None
    cell: str | None = None
    contexts: list[str] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    cache: bool = True
    source: str = ""
    more: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an input that is on its way to a child RLM: ``text`` of a ``str``, or of JSON."""

    id: str
    kind: Literal["text", "json"]
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Call a function of the host's. A secret among the arguments is ``{"__secret__": name}``."""

    id: str
    tool: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class CallResult:
    """One result's text, or the reason it has none; ``limit`` names a spent limit of the run. A tool's is JSON."""

    text: str = ""
    error: str | None = None
    limit: str | None = None
    maximum: float = 0.0

    @classmethod
    def failed(cls, error: RLMError) -> CallResult:
        """Return the result of what has failed."""
        if isinstance(error, LimitReached):
            return cls(limit=error.limit, maximum=error.maximum)
        return cls(error=str(error))


@dataclass(frozen=True, slots=True)
class Reply:
    """The results of a `Call`, in the order of its prompts."""

    id: str
    results: list[CallResult]


@dataclass(frozen=True, slots=True)
class Cancel:
    """The cell that waited for these calls was interrupted."""

    ids: list[str]


@dataclass(frozen=True, slots=True)
class CellReport:
    """The REPL's state when a cell ended.

    ``value`` is ``answer["content"]`` where it is JSON (``is_json``); ``text`` is always its text.
    ``restored`` names reserved names that the cell had changed, ``variables`` maps the user's names to types.
    """

    ready: bool = False
    is_json: bool = False
    value: Any = None
    text: str = ""
    restored: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


def encode(message: Any) -> dict[str, Any]:
    """Turn a wire dataclass into JSON content. The content shares the message's values: nothing is copied."""
    return {name: _content(getattr(message, name)) for name in _names(type(message))}  # type: ignore[arg-type]


PLAIN = frozenset({str, int, float, bool, type(None), dict})
"""What no message is inside of: of most fields' values nothing more is asked."""


def _content(value: Any) -> Any:
    if type(value) in PLAIN:
        return value
    if isinstance(value, list) and value and is_dataclass(value[0]):
        return [encode(item) for item in value]
    return encode(value) if is_dataclass(value) else value


@cache
def _names(cls: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(cls))


def decode(cls: type[T], content: Any) -> T:
    """Check JSON content field by field and build ``cls`` from it; unknown keys are ignored.

    Raises
    ------
    WireError
        A field is missing or of the wrong type.
    """
    try:
        return schema.build(cls, content)
    except ValueError as error:
        raise WireError(str(error)) from None
