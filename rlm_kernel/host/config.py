"""The options of a run: one frozen value that children inherit whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlm_kernel.errors import OptionError
from rlm_kernel.events.types import Event
from rlm_kernel.host.providers import Model, ModelOptions, resolve
from rlm_kernel.host.sandboxes import provisioner_name

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
        The box for model-written code: ``bubblewrap``, or ``process``, which isolates nothing.
    cell_seconds
        A cell's own running time; waiting for sub-calls does not count.
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
    max_depth: int = 1
    max_iterations: int = 30
    max_calls: int | None = 1000
    max_tokens: int | None = None
    max_seconds: float | None = None
    cell_seconds: float = 120.0
    max_concurrency: int = 16
    system_prompt: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    sub_sampling: Mapping[str, Any] = field(default_factory=dict)
    runs_dir: str | Path | None = None
    on_event: Callable[[Event], None] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, before any model is paid."""
        provisioner_name(self.sandbox)
        for name in (
            "max_depth",
            "max_iterations",
            "max_calls",
            "max_tokens",
            "max_seconds",
            "cell_seconds",
            "max_concurrency",
        ):
            value = getattr(self, name)
            optional = name in ("max_calls", "max_tokens", "max_seconds")
            if value is None and optional:
                continue
            integer = name not in ("max_seconds", "cell_seconds")
            number = isinstance(value, int) or (isinstance(value, float) and not integer)
            least = 0 if name == "max_calls" else 1 if integer else 0.001
            if isinstance(value, bool) or not number or not value >= least:
                kind = "a whole number" if integer else "a number of seconds"
                raise OptionError(
                    f"{name}={value!r}: expected {kind} of at least {least:g}{', or None' if optional else ''}."
                )
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
