"""The models of a run: who answers what, at which depth and under which name."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable
from contextlib import suppress
from typing import Any

from rlm_kernel.errors import OptionError, RLMError
from rlm_kernel.host.options import ModelLike, Options
from rlm_kernel.host.prices import Prices
from rlm_kernel.host.providers import Model, ModelOptions, resolve
from rlm_kernel.host.width import Widths
from rlm_kernel.host.windows import Windows

DEFAULT_MODEL = "policy/map-reduce"
DEFAULT_SUB_MODEL = "local/smollm2"


class Models:
    """Every model of a run, found before anything is asked.

    Parameters
    ----------
    options
        The run's.
    judges
        Models that hooks ask.

    Attributes
    ----------
    root, sub
        The run's root model, and the one of plain sub-calls.
    widths, prices, windows
        How many requests each provider gets at once, what the models cost, and how much they read.

    Raises
    ------
    OptionError
        A model, its provider or its key is missing; or, where money is limited, a price.
    """

    def __init__(self, options: Options, judges: Iterable[str] = ()) -> None:
        choice = self._choice = options
        self.widths = Widths(options.max_concurrency)
        self.prices = Prices(options.prices)
        self._main: ModelLike = DEFAULT_MODEL if choice.model is None else choice.model
        sub: ModelLike | None = choice.sub_model
        if sub is None and isinstance(self._main, str) and self._main.startswith("policy/"):
            sub = DEFAULT_SUB_MODEL
        self._found: dict[tuple[Any, bool], Model] = {}
        self._clients: dict[Hashable, Any] = {}
        self.root = self._find(self._main, sub=False)
        self.sub = self._find(self._main if sub is None else sub, sub=sub is not None or bool(choice.sub_sampling))
        child = self.root if choice.child_model is None else self._find(choice.child_model, sub=False)
        self._child = child
        self._at_depth = {d: self._find(m, sub=False) for d, m in choice.models.items() if isinstance(d, int)}
        self._aliases = {a: self._find(m, sub=True) for a, m in choice.models.items() if isinstance(a, str)}
        self._judges = {name: self._find(name, sub=True) for name in judges}
        self.windows = Windows(self.prices, self.root.name, options.context_window)
        if options.max_cost is not None:
            self._check_prices()

    def at(self, depth: int) -> Model:
        """Return the root model of a node at a depth; 0 is the run's root."""
        return self._at_depth.get(depth, self._child if depth else self.root)

    def named(self, name: str | None, default: Model) -> Model | None:
        """Return the model that code names, by alias or by name; ``None`` when the run has no such model."""
        if name is None:
            return default
        return self._aliases.get(name) or next((m for m in self.all if m.name == name), None)

    def judge(self, name: str | None) -> Model:
        """Return the model that a hook asks; the sub-model unless it names one of the run's."""
        if name is None:
            return self.sub
        model = self._judges.get(name) or self.named(name, self.sub)
        if model is None:
            raise RLMError(f"A hook asks the model {name!r}, which the run does not have: {', '.join(self.names)}.")
        return model

    @property
    def names(self) -> list[str]:
        """What code may write in ``model=``."""
        return sorted({*self._aliases, *(model.name for model in self.all)})

    @property
    def all(self) -> list[Model]:
        """Every model once, those of sub-calls first."""
        more = [*self._at_depth.values(), *self._aliases.values(), *self._judges.values()]
        return list({id(model): model for model in (self.sub, self.root, self._child, *more)}.values())

    @property
    def secrets(self) -> list[str]:
        """The models' keys: what no event may hold."""
        return [secret for model in self.all for secret in getattr(model, "secrets", ())]

    def get_ready(self) -> None:
        """Begin what first requests would wait for, in a thread: the kernel's start leaves time for it."""
        with suppress(RuntimeError):  # the interpreter is ending, and no thread begins any more
            threading.Thread(target=self._get_ready, daemon=True).start()  # a program's end does not wait for it

    def _get_ready(self) -> None:
        for model in self.all:
            if (get_ready := getattr(model, "get_ready", None)) is not None:
                with suppress(Exception):  # which the request meets as well
                    get_ready()

    async def aclose(self) -> None:
        """Release the models' connections."""
        for model in self.all:
            await model.aclose()

    def _check_prices(self) -> None:
        for model in self.all:
            if self.prices.ceiling(model.name, 1, 1) is None:
                raise OptionError(
                    f"max_cost needs the price of {model.name}, which is not known. "
                    f"Pass prices={{{model.name!r}: (input, output)}} in US dollars for a million tokens."
                )

    def _find(self, model: ModelLike, *, sub: bool) -> Model:
        key = (model if isinstance(model, str) else id(model), sub)
        if key not in self._found:
            choice = self._choice
            same = model is self._main or _provider(model) == _provider(self._main) is not None
            address = {"base_url": choice.base_url, "api_key": choice.api_key} if same else {}
            sampling = choice.sub_sampling if sub else choice.sampling
            name = model if isinstance(model, str) else getattr(model, "name", "scripted")
            overloaded = self.widths.of(name).overloaded
            options = ModelOptions(**address, sampling=sampling, on_overload=overloaded, clients=self._clients)
            self._found[key] = resolve(model, options)
        return self._found[key]


def _provider(model: ModelLike) -> str | None:
    return model.partition("/")[0] if isinstance(model, str) else None
