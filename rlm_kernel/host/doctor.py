"""Says what works on this machine: the sandbox, the models, Jupyter. Keys are found by name only, never read."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

from rlm_kernel import __version__, wire
from rlm_kernel.errors import RLMError
from rlm_kernel.host import loop
from rlm_kernel.host.providers import provider_names, weights
from rlm_kernel.host.sandboxes.box import Box, BoxOptions
from rlm_kernel.host.session import Session

KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY")


@dataclass(frozen=True)
class Check:
    """One thing that works or does not, and what to do about it."""

    name: str
    works: bool
    detail: str
    optional: bool = False

    def __str__(self) -> str:
        mark = "ok  " if self.works else "-   " if self.optional else "FAIL"
        return f"{mark} {self.name:<12} {self.detail}"


def checkup() -> list[Check]:
    """Try everything a first run needs. Starts a kernel in the sandbox; asks no model."""
    return [
        Check("python", sys.version_info >= (3, 11), f"{platform.python_version()}, rlm-kernel {__version__}"),
        _sandbox("bubblewrap"),
        _try("embedded", _embedded),
        Check("providers", True, ", ".join(provider_names())),
        *(_key(name) for name in KEYS),
        _try("kernelspec", _kernelspec),
        _package("jupyterlab"),
        _package("ipywidgets"),
    ]


def _sandbox(name: str) -> Check:
    def start() -> str:
        status = loop.submit(_one_cell(name)).result()
        if status != "ok":
            raise RLMError(f"a cell ended with {status}")
        return f"a kernel in {name} ran a cell"

    return _try("sandbox", start)


async def _one_cell(sandbox: str) -> str:
    async def serve(call: wire.Call | wire.ToolCall) -> wire.Reply:
        return wire.Reply(call.id, [])

    box = Box(BoxOptions(sandbox=sandbox))
    session = Session(box, 20.0, serve)
    try:
        await session.start()
        return (await session.execute("1 + 1", lambda kind, data: None)).status
    finally:
        await session.close()
        await box.close()


def _embedded() -> str:
    if find_spec("xllamacpp") is None:
        raise RLMError("llama.cpp is missing: pip install 'rlm-kernel[local]'")
    if weights.find("smollm2") is None:
        raise RLMError("the weights are missing: rlm models install smollm2")
    return f"local/smollm2, llama.cpp through xllamacpp {version('xllamacpp')}"


def _key(name: str) -> Check:
    found = bool(os.environ.get(name))
    return Check("key", found, f"{name} is {'set' if found else 'not set'}", optional=True)


def _kernelspec() -> str:
    try:
        return f"the RLM kernel is installed: {KernelSpecManager().get_kernel_spec('rlm').display_name}"
    except NoSuchKernel:
        raise RLMError("Jupyter does not see the RLM kernel: install rlm-kernel in Jupyter's environment") from None


def _package(name: str) -> Check:
    try:
        return Check(name, True, version(name), optional=True)
    except PackageNotFoundError:
        return Check(name, False, f"not installed here: pip install {name}", optional=True)


def _try(name: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(name, True, attempt())
    except RLMError as error:
        return Check(name, False, str(error))
