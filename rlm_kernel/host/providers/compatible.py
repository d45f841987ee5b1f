"""Servers that speak OpenAI's chat completions, each by its own name: one table of the small differences.

Any other one is ``openai/<model>`` with a ``base_url``; a package of yours may add a `Preset` as an entry point.
"""

from __future__ import annotations

from dataclasses import dataclass

from rlm_kernel.host.providers.base import Model, ModelOptions
from rlm_kernel.host.providers.openai import OpenAIModel
from rlm_kernel.host.providers.server import Server

__all__ = ["Preset"]


@dataclass(frozen=True, kw_only=True)
class Preset(Server):
    """A server by name, and a provider's entry point: called with a model's name and options, it gives the model."""

    def __call__(self, model: str, options: ModelOptions) -> Model:
        """Return the model; see `rlm_kernel.host.providers.openai.OpenAIModel`."""
        return OpenAIModel(model, options, self)


deepseek = Preset(provider="deepseek", base_url="https://api.deepseek.com/v1")
fireworks = Preset(provider="fireworks", base_url="https://api.fireworks.ai/inference/v1")
gemini = Preset(provider="gemini", base_url="https://generativelanguage.googleapis.com/v1beta/openai")
groq = Preset(provider="groq", base_url="https://api.groq.com/openai/v1")
openrouter = Preset(
    provider="openrouter",
    base_url="https://openrouter.ai/api/v1",
    extra_body={"usage": {"include": True}},  # with the price of the call
)
portkey = Preset(  # Authorization is for the key of the provider behind it, which Portkey usually holds itself
    provider="portkey", base_url="https://api.portkey.ai/v1", key_header="x-portkey-api-key"
)
together = Preset(provider="together", base_url="https://api.together.ai/v1")

# On one's own machine, by their default ports.
litellm = Preset(
    provider="litellm",
    base_url="http://localhost:4000",
    key_variable="LITELLM_PROXY_API_KEY",
    url_variable="LITELLM_PROXY_API_BASE",
    keyless=True,
    cost_header="x-litellm-response-cost",
)
llamacpp = Preset(provider="llamacpp", base_url="http://localhost:8080/v1", keyless=True)
lmstudio = Preset(provider="lmstudio", base_url="http://localhost:1234/v1", keyless=True)
ollama = Preset(provider="ollama", base_url="http://localhost:11434/v1", keyless=True)
vllm = Preset(provider="vllm", base_url="http://localhost:8000/v1", keyless=True)
