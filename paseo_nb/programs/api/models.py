"""An endpoint as a model of pydantic-ai, its library imported only for the API that is asked."""

from __future__ import annotations

from typing import Any, cast

from pydantic_ai.models import Model, create_async_httpx2_client
from pydantic_ai.settings import ModelSettings

from ..common.errors import RpcError
from .endpoints import Endpoint

NO_KEY = "no-key-needed"  # clients insist on one


def make(endpoint: Endpoint) -> Model[Any]:
    """The model. Imports its library and makes an HTTP client, up to a second: call it in a
    thread."""
    if endpoint.api == "anthropic":
        return _anthropic(endpoint)
    if endpoint.api == "google":
        return _google(endpoint)
    return _openai(endpoint)


def _anthropic(endpoint: Endpoint) -> Model[Any]:
    from anthropic import AsyncAnthropic
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    client = AsyncAnthropic(
        api_key=endpoint.key or NO_KEY,
        base_url=endpoint.url,
        http_client=create_async_httpx2_client(),
    )
    return AnthropicModel(endpoint.model, provider=AnthropicProvider(anthropic_client=client))


def _google(endpoint: Endpoint) -> Model[Any]:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    provider = GoogleProvider(api_key=endpoint.key or NO_KEY, base_url=endpoint.url)
    return GoogleModel(endpoint.model, provider=provider)


def _openai(endpoint: Endpoint) -> Model[Any]:
    from openai import AsyncOpenAI
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    key = endpoint.key or NO_KEY
    client = AsyncOpenAI(
        api_key=key, base_url=endpoint.url, http_client=create_async_httpx2_client()
    )
    name = endpoint.model
    match endpoint.service:
        case "deepseek":
            from pydantic_ai.providers.deepseek import DeepSeekProvider

            return OpenAIChatModel(name, provider=DeepSeekProvider(openai_client=client))
        case "openrouter":
            from pydantic_ai.models.openrouter import OpenRouterModel
            from pydantic_ai.providers.openrouter import OpenRouterProvider

            return OpenRouterModel(name, provider=OpenRouterProvider(openai_client=client))
        case "ollama":
            from pydantic_ai.models.ollama import OllamaModel
            from pydantic_ai.providers.ollama import OllamaProvider

            return OllamaModel(name, provider=OllamaProvider(openai_client=client))
        case "vllm":
            from pydantic_ai.providers.vllm import VLLMProvider

            return OpenAIChatModel(name, provider=VLLMProvider(openai_client=client))
        case "openai" | "openai-chat" | "openai-responses" if endpoint.vendor:
            provider = OpenAIProvider(openai_client=client)
        case _:
            provider = OpenAICompatibleProvider(endpoint.service, openai_client=client)
    if endpoint.api == "responses":
        return OpenAIResponsesModel(name, provider=provider)
    return OpenAIChatModel(name, provider=provider)


def settings(endpoint: Endpoint, model: Model[Any], effort: str, timeout_s: float) -> ModelSettings:
    """What every request says: one attempt (we retry, and tell of it), a cache, the effort.
    RpcError where the model takes no effort."""
    made = ModelSettings(max_retries=0, timeout=timeout_s, cache=True)
    if effort == "default":
        return made
    if model.profile.get("supports_thinking"):
        made["thinking"] = False if effort == "off" else cast(Any, effort)
    elif endpoint.api in ("chat", "responses") and not endpoint.vendor:
        # a server with models of its own: nobody knows them but itself
        cast(dict[str, Any], made)["openai_reasoning_effort"] = (
            "none" if effort == "off" else effort
        )
    else:
        raise RpcError(
            -32602, f"{endpoint.model} takes no effort; choose effort “default” for this model"
        )
    return made
