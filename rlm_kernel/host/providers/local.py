"""Models on this machine: llama.cpp in a process of its own, one per weights file, shared by all who ask."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, ClassVar

from rlm_kernel.errors import ModelError, OptionError
from rlm_kernel.events.values import Message
from rlm_kernel.host.providers import weights
from rlm_kernel.host.providers.base import ModelOptions, OnText, Reply
from rlm_kernel.host.providers.openai import OpenAIModel, create
from rlm_kernel.host.providers.sampling import check_sampling
from rlm_kernel.host.providers.server import Server

SERVER = Server(provider="local", keyless=True)
START_SECONDS = 300.0
ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PYTHONPATH", "SYSTEMROOT")  # and so no key
SPINNING = {"GOMP_SPINCOUNT": "1000"}
"""llama.cpp's threads wait for each other all the time. By default they keep a core busy that others may want."""


class LocalModel:
    """``local/smollm2``, or ``local//path/to/model.gguf``; its server starts at the first request.

    Parameters
    ----------
    model
        A name that `rlm_kernel.host.providers.weights.KNOWN` has, or the path of a GGUF file.
    options
        ``sampling`` as for OpenAI's chat completions; a known model replies with temperature 0 and a modest
        ``max_tokens`` unless it says otherwise. There is no ``base_url``, and the key is made here.

    Raises
    ------
    OptionError
        xllamacpp or the weights are not installed, the file is not GGUF, or an option cannot work. Nothing has been
        started.
    """

    def __init__(self, model: str, options: ModelOptions) -> None:
        self.name = f"local/{model}"
        self._model = model
        self._options = options
        if options.base_url:
            raise OptionError(f"{self.name} runs on this machine and takes no base_url. For a server: llamacpp/NAME.")
        self._sampling: Mapping[str, Any] = options.sampling
        self._context, self._slots = weights.context_of(model), weights.slots_of(model)
        if weights.is_file(model):
            self._weights = Path(model).expanduser().resolve()
        else:
            self._weights = _installed(model)
            self._sampling = {"temperature": 0, "max_tokens": weights.known(model).max_tokens, **options.sampling}
        _check_gguf(self._weights)
        if options.sampling:
            check_sampling(self.name, options.sampling, create(), OpenAIModel.reserved)
        if find_spec("xllamacpp") is None:
            raise OptionError(f"{self.name} needs xllamacpp. Install it: pip install 'rlm-kernel[local]'")
        self._server: LlamaServer | None = None
        self._remote: OpenAIModel | None = None

    async def complete(
        self, messages: Sequence[Message], on_text: OnText | None = None, *, max_tokens: int | None = None
    ) -> Reply:
        """Answer a chat; see `rlm_kernel.host.providers.base.Model.complete`."""
        remote = await self._connected()
        return await remote.complete(messages, on_text, max_tokens=max_tokens)

    async def aclose(self) -> None:
        """Close the connections. The server stays for others, and ends with this process."""
        remote, self._remote = self._remote, None
        if remote is not None:
            await remote.aclose()

    async def _connected(self) -> OpenAIModel:
        """Give the connection to a running server; a server that died is started again, at a new address."""
        server = self._server
        if server is None or not server.running:
            server = await asyncio.to_thread(LlamaServer.of, self._weights, self._context, self._slots)
        stale = self._remote
        if stale is not None and server is self._server:
            return stale
        options = replace(self._options, base_url=server.base_url, api_key=server.api_key, sampling=self._sampling)
        self._server = server
        self._remote = remote = OpenAIModel(self._model, options, SERVER)
        if stale is not None:
            await stale.aclose()
        return remote


class LlamaServer:
    """A running `rlm_kernel.host.providers.local_server` process, owned by this process until it exits.

    Attributes
    ----------
    base_url, api_key
        Where and with which key it speaks OpenAI's chat completions.
    pid
        Its process id.
    """

    _running: ClassVar[dict[Path, LlamaServer]] = {}
    _starting: ClassVar[threading.Lock] = threading.Lock()  # one start per weights file, whoever asks first

    @classmethod
    def of(cls, path: Path, context: int, slots: int = 1) -> LlamaServer:
        """Give the server of a weights file, starting it if none runs; blocks while the weights load.

        Raises
        ------
        ModelError
            The process ended before it was ready.
        """
        with cls._starting:
            server = cls._running.get(path)
            if server is not None and server.running:
                return server
            if server is not None:
                server.stop()  # it died: free its pipes
            server = cls._running[path] = cls(path, context, slots)
            return server

    def __init__(self, path: Path, context: int, slots: int) -> None:
        program = ["-P", "-m", "rlm_kernel.host.providers.local_server"]
        arguments = ["--model", str(path), "--context", str(context), "--slots", str(slots)]
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, *program, *arguments],
                stdin=subprocess.PIPE,  # its end of this pipe tells it that we are gone, even by SIGKILL
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**SPINNING, **{name: os.environ[name] for name in ENVIRONMENT if name in os.environ}},
                start_new_session=True,  # a Ctrl-C in our terminal is not for it
            )
            atexit.register(self.stop)
            announcement = self._announcement(path, errors)
        self.base_url: str = announcement["base_url"]
        self.api_key: str = announcement["api_key"]
        self.pid = self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the process and wait for it."""
        atexit.unregister(self.stop)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _announcement(self, path: Path, errors: IO[bytes]) -> dict[str, str]:
        assert self._process.stdout is not None
        deadline = threading.Timer(START_SECONDS, self._process.kill)
        deadline.start()
        try:
            line = self._process.stdout.readline()
        finally:
            deadline.cancel()
        if not line:
            self.stop()
            errors.seek(0)
            told = errors.read().decode(errors="replace").strip().splitlines()
            reason = next((line for line in told if "error" in line.lower()), told[-1] if told else "no reason given")
            raise ModelError(
                f"llama.cpp could not start with {path.name}: {reason}. Check the file, or try another one."
            )
        announcement: dict[str, str] = json.loads(line)
        return announcement


def _installed(name: str) -> Path:
    weights.known(name)
    path = weights.find(name)
    if path is None:
        raise OptionError(f"The weights of local/{name} are not installed. Install them: rlm models install {name}")
    return path


def _check_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise OptionError(f"Weights {path} cannot be read: {error.strerror}.") from error
    if magic != b"GGUF":
        raise OptionError(f"{path} is not a GGUF file, the format that llama.cpp loads.")
