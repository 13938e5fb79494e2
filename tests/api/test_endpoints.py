"""What a model's name stands for, by the usual variables."""

from __future__ import annotations

import pytest

from paseo_nb.programs.api.endpoints import NoEndpoint, find

CASES = {
    "deepseek-chat": ({"DEEPSEEK_API_KEY": "k"}, "chat https://api.deepseek.com k"),
    "gpt-5.2": ({"OPENAI_API_KEY": "k"}, "responses https://api.openai.com/v1 k"),
    "o4-mini": ({"OPENAI_API_KEY": "k"}, "responses https://api.openai.com/v1 k"),
    "claude-sonnet-4-5": ({"ANTHROPIC_API_KEY": "k"}, "anthropic https://api.anthropic.com k"),
    "gemini-3-pro": (
        {"GOOGLE_API_KEY": "k"},
        "google https://generativelanguage.googleapis.com k",
    ),
    "ollama:qwen3:8b": ({}, "chat http://127.0.0.1:11434/v1 None"),
    "vllm:Qwen/Qwen3-32B": ({"VLLM_BASE_URL": "http://gpu:9/v1/"}, "chat http://gpu:9/v1 None"),
    "sglang:m": ({"SGLANG_API_KEY": "s"}, "chat http://127.0.0.1:30000/v1 s"),
    "llamacpp:m": ({}, "chat http://127.0.0.1:8080/v1 None"),
    "lmstudio:m": ({}, "chat http://127.0.0.1:1234/v1 None"),
    "openrouter:qwen/qwen3-coder": ({"OPENROUTER_API_KEY": "k"}, "chat https://openrouter.ai/api/v1 k"),
    "openai:local": ({"OPENAI_BASE_URL": "http://h/v1"}, "chat http://h/v1 None"),
    "openai-responses:m": ({"OPENAI_BASE_URL": "http://h/v1"}, "responses http://h/v1 None"),
    "qwen3:8b": ({"OPENAI_BASE_URL": "http://h/v1"}, "chat http://h/v1 None"),
    "deepseek-r1": ({"OPENAI_BASE_URL": "http://h/v1"}, "chat http://h/v1 None"),
    "claude-opus": (
        {"ANTHROPIC_BASE_URL": "http://h", "OPENAI_BASE_URL": "http://no/v1"},
        "anthropic http://h None",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_name_finds_its_endpoint(name: str) -> None:
    environment, wanted = CASES[name]
    found = find(name, environment)
    assert f"{found.api} {found.url} {found.key}" == wanted
    model = name if name.count(":") == 0 or name == "qwen3:8b" else name.partition(":")[2]
    assert found.model == model


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),
        ("0.0.0.0:9000", "http://127.0.0.1:9000/v1"),
        ("gpu.lan", "http://gpu.lan:11434/v1"),
        ("https://ollama.lan", "https://ollama.lan:443/v1"),
        ("http://gpu:1/v1", "http://gpu:1/v1"),
        ("[::1]:5", "http://[::1]:5/v1"),
    ],
)
def test_ollama_host_in_all_its_spellings(said: str, url: str) -> None:
    assert find("ollama:m", {"OLLAMA_HOST": said}).url == url


@pytest.mark.parametrize(
    ("name", "environment", "words"),
    [
        ("deepseek-chat", {}, "DEEPSEEK_API_KEY"),
        ("gpt-5", {}, "OPENAI_API_KEY"),
        ("claude-x", {"ANTHROPIC_API_KEY": ""}, "ANTHROPIC_API_KEY"),
        ("google:gemini-3", {}, "GEMINI_API_KEY"),
        ("openrouter:x/y", {}, "OPENROUTER_API_KEY"),
        ("some-model", {}, "api/vllm:MODEL"),
        ("vllm:", {}, "vllm:MODEL"),
        ("", {}, "no model is named"),
        (None, {}, "no model is named"),
        ("vllm:m", {"VLLM_BASE_URL": "gpu:8000"}, "VLLM_BASE_URL"),
    ],
)
def test_what_is_missing_is_named(
    name: str | None, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(NoEndpoint, match=words):
        find(name, environment)


def test_prices_hold_at_the_vendors_own_address_only() -> None:
    assert find("deepseek-chat", {"DEEPSEEK_API_KEY": "k"}).vendor
    other = {"DEEPSEEK_API_KEY": "k", "DEEPSEEK_BASE_URL": "http://127.0.0.1:1"}
    assert not find("deepseek-chat", other).vendor
    assert not find("vllm:m", {}).vendor
