"""Prices: the caller's, genai-prices', and what is not known."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.types import ConditionalPrice, ModelPrice, Provider, Tier, TieredPrices, TimeOfDateConstraint

from rlm_kernel.errors import OptionError
from rlm_kernel.events.values import Usage
from rlm_kernel.host import prices as module
from rlm_kernel.host.prices import Prices
from rlm_kernel.host.providers import compatible, weights

MILLION = 1_000_000


def listed(provider: str, model: str, **tokens: int) -> float:
    """What genai-prices itself says."""
    return float(genai_prices.calc_price(genai_prices.Usage(**tokens), model, provider_id=provider).total_price)


@pytest.mark.parametrize(
    ("model", "provider", "listed_as"),
    [
        ("openai/gpt-5-mini", "openai", "gpt-5-mini"),
        ("azure/gpt-5-mini", "azure", "gpt-5-mini"),
        ("anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("gemini/gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("openrouter/meta-llama/llama-3.3-70b-instruct", "openrouter", "meta-llama/llama-3.3-70b-instruct"),
        ("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
        ("fireworks/accounts/fireworks/models/kimi-k2p5", "fireworks", "accounts/fireworks/models/kimi-k2p5"),
        ("groq/llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        ("deepseek/deepseek-chat", "deepseek", "deepseek-chat"),
        ("litellm/openai/gpt-5-mini", "openai", "gpt-5-mini"),
        ("mistral/mistral-large-latest", "mistral", "mistral-large-latest"),  # no provider of ours; of a package's
    ],
)
def test_every_providers_price_is_found_under_its_name(model: str, provider: str, listed_as: str) -> None:
    cost = Prices().cost(model, Usage.of_call(1000, 100))
    assert cost
    assert cost == listed(provider, listed_as, input_tokens=1000, output_tokens=100)


@pytest.mark.parametrize(
    "model",
    [
        "openai/no-such-model",
        "azure/my-deployment",
        "vllm/gpt-5-mini",
        "ollama/llama3",
        "lmstudio/gpt-5-mini",
        "llamacpp/m",
        "portkey/@openai/gpt-5-mini",
        "my-openai-proxy/gpt-5-mini",
        "nobody/m",
        "scripted",
        "gpt-5-mini",
    ],
)
def test_what_is_not_known_is_none_and_not_zero(model: str) -> None:
    prices = Prices()
    for _ in range(2):
        assert prices.cost(model, Usage.of_call(1000, 100)) is None
        assert prices.ceiling(model, 1000, 100) is None
        assert prices.window(model) is None


def test_every_preset_is_either_listed_or_known_to_have_no_list() -> None:
    from genai_prices.data import providers

    presets = [name for name, preset in vars(compatible).items() if isinstance(preset, compatible.Preset)]
    ids = {provider.id for provider in providers}
    for name in [*presets, "openai", "azure", "anthropic"]:
        known = module.LISTED_AS.get(name, name) in ids
        assert known or name in {*module.UNLISTED, "litellm"}, name


@pytest.mark.parametrize("model", ["local/smollm2", "local//path/to/model.gguf", "policy/map-reduce"])
def test_what_runs_here_costs_nothing(model: str) -> None:
    prices = Prices()
    assert prices.cost(model, Usage.of_call(1000, 100)) == prices.cost(model, Usage.of_call(None, None)) == 0.0
    assert prices.ceiling(model, 1000, 100) == 0.0


def test_unknown_tokens_have_no_known_price_and_no_call_costs_nothing() -> None:
    prices = Prices({"scripted": (1, 1)})
    assert prices.cost("scripted", Usage.of_call(None, None)) is None
    assert prices.cost("scripted", Usage.of_call(10, None)) is None
    assert prices.cost("scripted", Usage()) == 0.0


def test_the_callers_price_goes_before_the_list() -> None:
    prices = Prices({"openai/gpt-5-mini": (3, 7), "scripted": [1, 2], "local/smollm2": (5, 5), "vllm/m": (0, 0)})
    usage = Usage.of_call(MILLION, MILLION)
    assert prices.cost("openai/gpt-5-mini", usage) == 10.0
    assert prices.cost("scripted", usage) == 3.0
    assert prices.cost("local/smollm2", usage) == 10.0
    assert prices.cost("vllm/m", usage) == 0.0
    assert prices.cost("openai/gpt-5-nano", usage) == listed(
        "openai", "gpt-5-nano", input_tokens=MILLION, output_tokens=MILLION
    )


def test_a_given_price_may_know_the_cache() -> None:
    usage = Usage.of_call(MILLION, 0, cache_read_tokens=500_000, cache_write_tokens=250_000)
    full = {"input": 4, "output": 8, "cache_read": 0.4, "cache_write": 5}
    assert Prices({"m": full}).cost("m", usage) == pytest.approx(0.25 * 4 + 0.5 * 0.4 + 0.25 * 5)
    assert Prices({"m": (4, 8)}).cost("m", usage) == 4.0
    assert Prices({"m": full}).ceiling("m", MILLION, MILLION) == 13.0


def test_the_lists_prices_for_the_cache_are_used() -> None:
    usage = Usage.of_call(10_000, 10, cache_read_tokens=8000, cache_write_tokens=1000)
    cost = Prices().cost("anthropic/claude-sonnet-4-5", usage)
    assert cost == pytest.approx((1000 * 3 + 8000 * 0.3 + 1000 * 3.75 + 10 * 15) / MILLION)


def test_a_cache_beside_the_input_is_not_a_negative_price() -> None:
    usage = Usage.of_call(10, 0, cache_read_tokens=8000)
    assert Prices().cost("anthropic/claude-sonnet-4-5", usage) == pytest.approx(8000 * 0.3 / MILLION)


@pytest.mark.parametrize("model", ["openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro"])
@pytest.mark.parametrize("size", [1000, 150_000, 250_000])
def test_no_call_costs_more_than_its_ceiling(model: str, size: int) -> None:
    prices = Prices()
    ceiling = prices.ceiling(model, size, 2000)
    assert ceiling is not None
    for read in (0, size // 2, size):
        for write in (0, (size - read) // 2, size - read):
            for output in (0, 2000):
                usage = Usage.of_call(size, output, cache_read_tokens=read, cache_write_tokens=write)
                cost = prices.cost(model, usage)
                assert cost is not None
                assert cost <= ceiling


def test_a_ceiling_has_the_surcharge_for_the_cache_and_for_long_prompts() -> None:
    prices = Prices()
    assert prices.ceiling("anthropic/claude-sonnet-4-5", 100_000, 0) == pytest.approx(0.375)
    long, short = (
        prices.ceiling("gemini/gemini-2.5-pro", 250_000, 0),
        prices.ceiling("gemini/gemini-2.5-pro", 125_000, 0),
    )
    assert long is not None
    assert short is not None
    assert long > 2 * short


def test_a_ceiling_is_the_highest_price_of_the_next_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    from genai_prices import data_snapshot
    from genai_prices.types import ClauseEquals, ModelInfo

    soon = datetime.now(UTC) + timedelta(minutes=30)
    later = TimeOfDateConstraint(soon.timetz(), (soon + timedelta(hours=2)).timetz())
    model = ModelInfo(
        id="m",
        match=ClauseEquals("m"),
        context_window=77,
        prices=[
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1))),
            ConditionalPrice(constraint=later, prices=ModelPrice(input_mtok=Decimal(9), output_mtok=Decimal(9))),
        ],
    )
    tiers = TieredPrices(base=Decimal(1), tiers=[Tier(start=1000, price=Decimal(2))])
    tiered = ModelInfo(id="t", match=ClauseEquals("t"), prices=ModelPrice(input_mtok=tiers))
    provider = Provider(id="acme", name="Acme", api_pattern="acme", models=[model, tiered])
    snapshot = data_snapshot.DataSnapshot(providers=[provider], from_auto_update=False)
    monkeypatch.setattr(data_snapshot, "_custom_snapshot", snapshot)
    assert Prices().ceiling("acme/m", MILLION, 0) == 9.0
    assert Prices().cost("acme/m", Usage.of_call(MILLION, 0)) == 1.0
    assert Prices().window("acme/m") == 77
    assert Prices().ceiling("acme/t", 1000, 0) == 0.001
    assert Prices().ceiling("acme/t", 2000, 0) == 0.004


def test_a_window_is_the_lists_or_that_of_the_weights() -> None:
    prices = Prices()
    assert prices.window("openai/gpt-5-mini") == 400_000
    assert prices.window("local/smollm2") == weights.KNOWN["smollm2"].context
    assert prices.window("local//path/to/model.gguf") == weights.FILE_CONTEXT
    assert prices.window("local/unknown") is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"m": 3}, r"prices\['m'\]=3: expected \(input, output\)"),
        ({"m": (1, 2, 3)}, r"expected \(input, output\)"),
        ({"m": "12"}, r"expected \(input, output\)"),
        ({"m": (1, "2")}, "has output='2': expected US dollars"),
        ({"m": (-1, 2)}, "has input=-1"),
        ({"m": (float("nan"), 2)}, "has input=nan"),
        ({"m": (float("inf"), 2)}, "has input=inf"),
        ({"m": (True, 2)}, "has input=True"),
        ({"m": {"input": 1}}, r"expected \(input, output\)"),
        ({"m": {"input": 1, "output": 2, "cached": 3}}, r"expected \(input, output\)"),
        ({"m": {"input": 1, "output": 2, "cache_read": None}}, "has cache_read=None"),
        ({3: (1, 2)}, "expected a model's name"),
        ({" ": (1, 2)}, "expected a model's name"),
    ],
)
def test_a_price_that_makes_no_sense_is_refused(given: object, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Prices(given)  # type: ignore[arg-type]


def test_the_list_is_imported_only_when_it_is_asked() -> None:
    code = """
import sys
from rlm_kernel.events.values import Usage
from rlm_kernel.host.prices import Prices
prices = Prices({"openai/gpt-5-mini": (1, 1)})
usage = Usage.of_call(1, 1)
prices.cost("openai/gpt-5-mini", usage), prices.cost("local/smollm2", usage), prices.cost("ollama/m", usage)
prices.ceiling("openai/gpt-5-mini", 1, 1), prices.window("local/smollm2"), prices.cost("scripted", usage)
assert not {"genai_prices", "openai", "pydantic"} & set(sys.modules), "imported too early"
assert prices.cost("openai/gpt-5-nano", usage)
assert "genai_prices" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_fetched() -> None:
    code = """
import socket
def refuse(*arguments, **more): raise AssertionError("a connection was tried")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from rlm_kernel.events.values import Usage
from rlm_kernel.host.prices import Prices
assert Prices().cost("openai/gpt-5-mini", Usage.of_call(10, 10)) and Prices().window("openai/gpt-5-mini")
assert Prices().cost("openai/of-tomorrow", Usage.of_call(10, 10)) is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
