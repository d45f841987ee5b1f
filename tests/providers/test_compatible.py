"""Servers with a name of their own: each is asked at its own path, with its own header and its own name for limits."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from rlm_kernel.errors import MissingKeyError, ModelError, OptionError
from rlm_kernel.events.values import Message, Usage
from rlm_kernel.host.providers import ModelOptions, compatible, provider_names, resolve
from rlm_kernel.host.providers.compatible import Preset
from tests.providers.chat import ask, ask_whole
from tests.providers.fake_servers import FakeServer, Request, Status, Text

PRESETS = {name: preset for name, preset in vars(compatible).items() if isinstance(preset, Preset)}
KEYLESS = ["litellm", "llamacpp", "lmstudio", "ollama", "vllm"]
PATHS = {
    "deepseek": "/v1/chat/completions",
    "fireworks": "/inference/v1/chat/completions",
    "gemini": "/v1beta/openai/chat/completions",
    "groq": "/openai/v1/chat/completions",
    "litellm": "/chat/completions",
    "llamacpp": "/v1/chat/completions",
    "lmstudio": "/v1/chat/completions",
    "ollama": "/v1/chat/completions",
    "openrouter": "/api/v1/chat/completions",
    "portkey": "/v1/chat/completions",
    "together": "/v1/chat/completions",
    "vllm": "/v1/chat/completions",
}


@pytest.fixture(autouse=True)
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for preset in PRESETS.values():
        monkeypatch.delenv(preset.key_variable, raising=False)
        monkeypatch.delenv(preset.url_variable, raising=False)
    for name in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)


def at(server: FakeServer, name: str) -> str:
    """A preset's address, on this machine."""
    return server.anthropic_url + urlsplit(PRESETS[name].base_url).path


def test_every_preset_is_a_provider() -> None:
    assert set(PRESETS) == set(PATHS) <= set(provider_names())
    assert [name for name, preset in PRESETS.items() if preset.provider != name] == []


@pytest.mark.parametrize("name", PRESETS)
async def test_a_request_has_the_presets_path_its_key_and_its_name_for_the_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PRESETS[name].key_variable, f"key-of-{name}")
    monkeypatch.setenv("OPENAI_API_KEY", "somebody-elses")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    with FakeServer(["a reply", "a reply"]) as server:
        model = resolve(f"{name}/vendor/model-1", ModelOptions(base_url=at(server, name)))
        assert model.name == f"{name}/vendor/model-1"
        assert (await model.complete([Message("user", "hello")], max_tokens=5)).text == "a reply"
        assert (await ask(model)).text == "a reply"
        await model.aclose()
    for request in server.requests:
        assert (request.path, request.body["model"]) == (PATHS[name], "vendor/model-1")
        assert "somebody-elses" not in str(request.headers)
        assert "openai-organization" not in request.headers
        if name == "portkey":
            assert (request.headers["x-portkey-api-key"], request.headers.get("authorization")) == (
                f"key-of-{name}",
                None,
            )
        else:
            assert request.headers["authorization"] == f"Bearer key-of-{name}"
    assert server.requests[0].body["max_tokens"] == 5
    assert not {"max_tokens", "max_completion_tokens"} & set(server.requests[1].body)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_an_address_of_its_own(name: str) -> None:
    model = resolve(f"{name}/m", ModelOptions(api_key="key"))
    assert model._address() == PRESETS[name].base_url  # type: ignore[attr-defined]
    here = urlsplit(PRESETS[name].base_url).hostname == "localhost"
    assert here == (name in KEYLESS)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - set(KEYLESS)))
def test_a_missing_key_is_refused_with_its_variable(name: str) -> None:
    with pytest.raises(MissingKeyError, match=f"{name}/m needs a key: set {name.upper()}_API_KEY"):
        resolve(f"{name}/m", ModelOptions())


@pytest.mark.parametrize("name", KEYLESS)
async def test_a_server_of_ones_own_needs_no_key(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(["ok"]) as server:
        monkeypatch.setenv(PRESETS[name].url_variable, at(server, name))
        model = resolve(f"{name}/m", ModelOptions())
        assert (await ask(model)).text == "ok"
        await model.aclose()
    assert "key" not in server.requests[0].headers["authorization"]


def test_an_address_in_the_environment_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_BASE_URL", "localhost:11434")
    with pytest.raises(OptionError, match="OLLAMA_BASE_URL of ollama/m is not an address such as http://"):
        resolve("ollama/m", ModelOptions())


async def test_openrouter_tells_the_price_of_a_call() -> None:
    item = Text("hi", (100, 5), counts={"cost": 0.0125})
    with FakeServer([item, item]) as server:
        sampling = {"extra_body": {"provider": {"sort": "price"}}}
        model = resolve("openrouter/a/b", ModelOptions(base_url=at(server, "openrouter"), sampling=sampling))
        assert (await ask(model)).usage == (await ask_whole(model)).usage == Usage.of_call(100, 5, cost=0.0125)
        await model.aclose()
    assert [request.body["usage"] for request in server.requests] == [{"include": True}] * 2
    assert server.requests[0].body["provider"] == {"sort": "price"}


@pytest.mark.parametrize(("header", "cost"), [("0.0021", 0.0021), ("None", None), ("nan", None), ("", None)])
async def test_litellm_tells_the_price_of_a_whole_reply_in_a_header(header: str, cost: float | None) -> None:
    item = Text("hi", (100, 5), headers={"x-litellm-response-cost": header})
    with FakeServer([item]) as server:
        model = resolve("litellm/a", ModelOptions(base_url=at(server, "litellm")))
        assert (await ask_whole(model)).usage == Usage.of_call(100, 5, cost=cost)
        await model.aclose()


async def test_a_gateway_can_be_given_headers_of_its_own() -> None:
    headers = {"x-portkey-provider": "openai", "Authorization": "Bearer upstream-key"}
    with FakeServer(["ok"]) as server:
        options = ModelOptions(base_url=at(server, "portkey"), api_key="key", sampling={"extra_headers": headers})
        model = resolve("portkey/gpt-5-mini", options)
        await ask(model)
        await model.aclose()
    sent = server.requests[0].headers
    assert (sent["x-portkey-api-key"], sent["x-portkey-provider"]) == ("key", "openai")
    assert sent["authorization"] == "Bearer upstream-key"


@pytest.mark.parametrize("path", ["", "/", "/openai/v1", "/openai/v1/", "/openai"])
async def test_azure_without_a_version_is_asked_at_v1(path: str) -> None:
    with FakeServer(["ok"]) as server:
        options = ModelOptions(base_url=server.anthropic_url + path, api_key="key")
        model = resolve("azure/my-deployment", options)
        await model.complete([Message("user", "hello")], max_tokens=5)
        await model.aclose()
    request = server.requests[0]
    assert (request.path, request.body["model"]) == ("/openai/v1/chat/completions", "my-deployment")
    assert request.headers["authorization"] == "Bearer key"
    assert request.body["max_completion_tokens"] == 5
    assert "max_tokens" not in request.body


@pytest.mark.parametrize(("path", "prefix"), [("", ""), ("/gateway", "/gateway"), ("/openai", "")])
async def test_azure_with_a_version_is_asked_at_the_deployment(
    path: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer(["ok", "ok"]) as server:
        monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.anthropic_url + path)
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "env-key")
        monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
        model = resolve("azure/my-deployment", ModelOptions())
        assert (await model.complete([Message("user", "hello")], max_tokens=5)).text == "ok"
        await model.aclose()
        model = resolve("azure/d", ModelOptions(base_url=f"{server.anthropic_url}{path}?api-version=2025-01-01"))
        assert (await ask(model)).text == "ok"
        await model.aclose()
    first, second = server.requests
    assert first.path == f"{prefix}/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert second.path == f"{prefix}/openai/deployments/d/chat/completions?api-version=2025-01-01"
    assert (first.headers["api-key"], first.headers.get("authorization")) == ("env-key", None)
    assert first.body["max_completion_tokens"] == 5


def test_azure_names_what_is_missing() -> None:
    with pytest.raises(MissingKeyError, match="AZURE_OPENAI_API_KEY"):
        resolve("azure/d", ModelOptions())
    with pytest.raises(MissingKeyError, match="AZURE_OPENAI_API_KEY"):
        resolve("azure/d", ModelOptions(base_url="https://mine.openai.azure.com"))
    with pytest.raises(OptionError, match="AZURE_OPENAI_ENDPOINT, such as https://"):
        resolve("azure/d", ModelOptions(api_key="key"))


async def test_azures_filter_and_its_empty_chunks_are_read() -> None:
    def serve(request: Request) -> Text:
        return Text("", finish="content_filter")

    with FakeServer(serve) as server:
        model = resolve("azure/d", ModelOptions(base_url=server.anthropic_url, api_key="key"))
        assert [(await ask(model)).finish, (await ask_whole(model)).finish] == ["refusal", "refusal"]
        await model.aclose()


async def test_a_preset_of_somebody_elses_needs_three_lines() -> None:
    acme = Preset(provider="acme-cloud", base_url="https://api.acme.example/v1", limit="max_completion_tokens")
    with pytest.raises(MissingKeyError, match="ACME_CLOUD_API_KEY"):
        acme("m", ModelOptions())
    with FakeServer(["ok"]) as server:
        model = acme("m", ModelOptions(base_url=server.openai_url))
        await model.complete([Message("user", "hello")], max_tokens=5)
        await model.aclose()
    assert server.requests[0].body["max_completion_tokens"] == 5
    assert model.name == "acme-cloud/m"


async def test_an_error_names_the_presets_variable() -> None:
    with FakeServer([Status(401)]) as server:
        model = resolve("groq/m", ModelOptions(base_url=at(server, "groq"), api_key="key"))
        with pytest.raises(ModelError, match="groq/m at http.*Check GROQ_API_KEY or api_key"):
            await ask(model)
        await model.aclose()
