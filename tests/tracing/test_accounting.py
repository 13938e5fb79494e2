"""Providers' own examples of usage, brought to one form."""

from __future__ import annotations

from typing import Any

import pytest

from paseo_nb.tracing.accounting import counted


@pytest.mark.parametrize(
    ("told", "into", "out", "read", "written", "kept"),
    [
        # Anthropic's documentation: a long cached text, and the example with both lifetimes
        ({"input_tokens": 50, "cache_read_input_tokens": 100_000,
          "cache_creation_input_tokens": 0, "output_tokens": 1}, 100_050, 1, 100_000, 0, 0),
        ({"input_tokens": 2048, "cache_read_input_tokens": 1800,
          "cache_creation_input_tokens": 248, "output_tokens": 503,
          "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100}},
         4096, 503, 1800, 248, 100),
        ({"input_tokens": 504, "cache_creation_input_tokens": 123,
          "cache_read_input_tokens": 1000, "output_tokens": 9}, 1627, 9, 1000, 123, 0),
        # OpenAI's documentation: Chat Completions; the Responses form of the same
        ({"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306,
          "prompt_tokens_details": {"cached_tokens": 1920},
          "completion_tokens_details": {"reasoning_tokens": 0}}, 2006, 300, 1920, None, 0),
        ({"input_tokens": 2006, "output_tokens": 300,
          "input_tokens_details": {"cached_tokens": 1920},
          "output_tokens_details": {"reasoning_tokens": 0}}, 2006, 300, 1920, None, 0),
        # DeepSeek's documentation: hits and misses are the prompt
        ({"prompt_tokens": 1000, "completion_tokens": 20, "prompt_cache_hit_tokens": 640,
          "prompt_cache_miss_tokens": 360}, 1000, 20, 640, None, 0),
        ({"completion_tokens": 20, "prompt_cache_hit_tokens": 0,
          "prompt_cache_miss_tokens": 360}, 360, 20, 0, None, 0),
        # Gemini's documentation: a cached transcript
        ({"promptTokenCount": 696_219, "cachedContentTokenCount": 696_190,
          "candidatesTokenCount": 214, "totalTokenCount": 696_433}, 696_219, 214, 696_190, None, 0),
        ({"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7},
         10, 12, None, None, 0),
    ],
)  # fmt: skip
def test_documented_examples(
    told: dict[str, Any], into: int, out: int, read: int | None, written: int | None, kept: int
) -> None:
    found = counted(told)
    assert found is not None
    usage = found.usage
    assert (usage.input_tokens, usage.output_tokens) == (into, out)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (read, written)
    assert found.written_1h == kept


def test_what_is_no_usage_is_none() -> None:
    assert counted({"tokens": 3}) is None
