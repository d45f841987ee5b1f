"""The options of a run: one frozen value that children inherit whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.events.types import Event
from rlm_kernel.host.decoding import check_decoding
from rlm_kernel.host.providers import Model, ModelOptions, resolve
from rlm_kernel.host.sandboxes import provisioner_name
from rlm_kernel.host.sandboxes.box import BoxOptions, package_folder

DEFAULT_MODEL = "policy/map-reduce"
DEFAULT_SUB_MODEL = "local/smollm2"

ModelLike = str | Model | Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a run may spend. ``None`` is no limit. All but ``iterations`` are for the whole tree.

    Attributes
    ----------
    depth
        Levels of REPLs: at 1 every sub-call is a plain completion, at 2 ``rlm_query`` gives a child its own REPL.
    iterations
        Turns of each node's root model.
    calls
        Sub-calls; each prompt of a batch counts.
    tokens
        Input and output tokens of every model call.
    seconds
        Wall-clock time.
    """

    depth: int = 1
    iterations: int = 30
    calls: int | None = 1000
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class _Number:
    """What a numeric option may be."""

    least: float = 1
    unit: str = ""
    optional: bool = False
    whole: bool = True

    def check(self, name: str, value: Any) -> None:
        if value is None and self.optional:
            return
        number = isinstance(value, int) or (isinstance(value, float) and not self.whole)
        if isinstance(value, bool) or not number or not value >= self.least:
            kind = f"a {'whole ' if self.whole else ''}number{self.unit}"
            none = ", or None" if self.optional else ""
            raise OptionError(f"{name}={value!r}: expected {kind} of at least {self.least:g}{none}.")


NUMBERS = {
    "memory_mb": _Number(least=256, unit=" of MiB"),
    "disk_mb": _Number(unit=" of MiB"),
    "max_processes": _Number(),
    "max_depth": _Number(),
    "max_iterations": _Number(),
    "max_calls": _Number(least=0, optional=True),
    "max_tokens": _Number(optional=True),
    "max_seconds": _Number(least=0.001, unit=" of seconds", optional=True, whole=False),
    "cell_seconds": _Number(least=0.001, unit=" of seconds", whole=False),
    "max_concurrency": _Number(),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything a caller may choose; the same names in Python, in the magic and in its configuration.

    Attributes
    ----------
    model, sub_model
        ``provider/model``, a callable ``messages -> str``, or a `Model`. ``sub_model`` answers plain sub-calls
        and defaults to ``model``.
    base_url, api_key
        For ``model``, and for ``sub_model`` where its provider is the same.
    sandbox
        The box for model-written code: ``bubblewrap``; ``landlock``, for Linux without user namespaces; or
        ``process``, which isolates nothing.
    memory_mb, disk_mb, max_processes, sandbox_per_kernel, packages
        See `rlm_kernel.host.sandboxes.box.BoxOptions`. A package folder may be another environment's.
    cell_seconds
        A cell's own running time; waiting for sub-calls does not count.
    encoding, encoding_errors
        How bytes and files become text: an encoding of Python's, and one of ``strict``, ``replace``, ``ignore``,
        ``backslashreplace``, ``surrogateescape`` for what is not valid in it. ``encoding=None`` leaves them bytes.
    max_concurrency
        Plain sub-calls in flight at once, in the whole tree.
    system_prompt
        Replaces the built-in one.
    sampling, sub_sampling
        Arguments for each request of ``model`` and ``sub_model``, such as ``{"temperature": 0}``.
    runs_dir
        Where journals go; ``RLM_RUNS_DIR``, else a folder of Jupyter's data directory.
    on_event
        Called with each event, on the run's own thread.
    """

    model: ModelLike | None = None
    sub_model: ModelLike | None = None
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    sandbox: str = "bubblewrap"
    memory_mb: int = 4096
    disk_mb: int = 256
    max_processes: int = 256
    sandbox_per_kernel: bool = False
    packages: Sequence[str | Path] = ()
    max_depth: int = 1
    max_iterations: int = 30
    max_calls: int | None = 1000
    max_tokens: int | None = None
    max_seconds: float | None = None
    cell_seconds: float = 120.0
    encoding: str | None = "utf-8"
    encoding_errors: str = "strict"
    max_concurrency: int = 64
    system_prompt: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    sub_sampling: Mapping[str, Any] = field(default_factory=dict)
    runs_dir: str | Path | None = None
    on_event: Callable[[Event], None] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any model is paid."""
        provisioner_name(self.sandbox)
        for name, number in NUMBERS.items():
            number.check(name, getattr(self, name))
        check_decoding(self.encoding, self.encoding_errors)
        object.__setattr__(self, "packages", tuple(package_folder(path) for path in self.packages))
        for name in ("sampling", "sub_sampling"):
            if not isinstance(getattr(self, name), Mapping):
                raise OptionError(f"{name}: expected a mapping such as {{'temperature': 0}}.")

    @classmethod
    def of(cls, **options: Any) -> Options:
        """Build options; an unknown name is refused with the known ones.

        Raises
        ------
        OptionError
            An option is unknown or has a value that cannot work.
        """
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise OptionError(f"Unknown option {unknown[0]!r}. Options: {', '.join(known)}.")
        return cls(**options)

    @property
    def limits(self) -> Limits:
        """The limits among the options."""
        return Limits(
            depth=self.max_depth,
            iterations=self.max_iterations,
            calls=self.max_calls,
            tokens=self.max_tokens,
            seconds=self.max_seconds,
        )

    @property
    def box(self) -> BoxOptions:
        """The sandbox among the options."""
        return BoxOptions(
            sandbox=self.sandbox,
            memory_mb=self.memory_mb,
            disk_mb=self.disk_mb,
            max_processes=self.max_processes,
            sandbox_per_kernel=self.sandbox_per_kernel,
            packages=tuple(map(str, self.packages)),
        )

    def models(self) -> Models:
        """Find the models.

        Raises
        ------
        OptionError
            A model, its provider or its key is missing.
        """
        model = DEFAULT_MODEL if self.model is None else self.model
        sub_model = self.sub_model
        if sub_model is None and isinstance(model, str) and model.startswith("policy/"):
            sub_model = DEFAULT_SUB_MODEL
        root = resolve(model, ModelOptions(base_url=self.base_url, api_key=self.api_key, sampling=self.sampling))
        if sub_model is None and not self.sub_sampling:
            return Models(root, root)
        sub_model = model if sub_model is None else sub_model
        same = isinstance(sub_model, str) and isinstance(model, str) and _provider(sub_model) == _provider(model)
        address = {"base_url": self.base_url, "api_key": self.api_key} if same else {}
        return Models(root, resolve(sub_model, ModelOptions(**address, sampling=self.sub_sampling)))

    def public(self) -> dict[str, Any]:
        """Return the options as JSON for the journal: no key, no functions."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for secret in ("api_key", "on_event", "runs_dir"):
            del values[secret]
        return {name: _plain(value) for name, value in values.items()}


@dataclass(frozen=True)
class Models:
    """The models of a run: ``root`` writes cells, ``sub`` answers plain sub-calls."""

    root: Model
    sub: Model

    def named(self, name: str | None) -> Model | None:
        """Return the sub-call model that model-written code may name; ``None`` when there is no such model."""
        if name is None:
            return self.sub
        return next((model for model in (self.sub, self.root) if model.name == name), None)

    async def aclose(self) -> None:
        """Release the models' connections."""
        for model in {id(m): m for m in (self.root, self.sub)}.values():
            await model.aclose()


def _provider(model: str) -> str:
    return model.partition("/")[0]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return getattr(value, "name", None) or getattr(value, "__name__", type(value).__name__)
