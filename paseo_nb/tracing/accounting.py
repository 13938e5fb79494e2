"""How providers tell what a model call used, brought to one form: `input` with cached ones. Pure.

Anthropic's input excludes what was read from and written to the cache; OpenAI's, DeepSeek's and
Gemini's include it; Gemini's thoughts are told beside its answer, the others' within it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict, as_int
from ..model import Usage


class Counted(msgspec.Struct):
    """A call's usage; `written_1h` is the part of what was written that is kept for an hour."""

    usage: Usage
    written_1h: int = 0


def counted(told: dict[str, Any]) -> Counted | None:
    """A provider's usage object, known by its fields; None for none that is known."""
    if "cache_read_input_tokens" in told or "cache_creation_input_tokens" in told:
        return anthropic(told)
    if "prompt_cache_hit_tokens" in told:
        return deepseek(told)
    if "promptTokenCount" in told:
        return gemini(told)
    if "prompt_tokens" in told or "input_tokens" in told:
        return openai(told)
    return None


def anthropic(told: dict[str, Any]) -> Counted:
    """Anthropic's Messages: `input_tokens` is what was neither read nor written."""
    read = as_int(told.get("cache_read_input_tokens")) or 0
    written = as_int(told.get("cache_creation_input_tokens")) or 0
    kept = as_dict(told.get("cache_creation"))
    usage = Usage(
        input_tokens=(as_int(told.get("input_tokens")) or 0) + read + written,
        output_tokens=as_int(told.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )
    return Counted(usage, min(as_int(kept.get("ephemeral_1h_input_tokens")) or 0, written))


def openai(told: dict[str, Any]) -> Counted:
    """OpenAI's Chat Completions and Responses: cached and reasoning tokens are parts."""
    into = told.get("prompt_tokens", told.get("input_tokens"))
    out = told.get("completion_tokens", told.get("output_tokens"))
    details = as_dict(told.get("prompt_tokens_details") or told.get("input_tokens_details"))
    more = as_dict(told.get("completion_tokens_details") or told.get("output_tokens_details"))
    return Counted(
        Usage(
            input_tokens=as_int(into),
            output_tokens=as_int(out),
            cache_read_tokens=as_int(details.get("cached_tokens")),
            reasoning_tokens=as_int(more.get("reasoning_tokens")),
        )
    )


def deepseek(told: dict[str, Any]) -> Counted:
    """DeepSeek's: hits and misses are all of the prompt. What was not hit is billed as a miss."""
    hit = as_int(told.get("prompt_cache_hit_tokens")) or 0
    found = openai(told)
    if found.usage.input_tokens is None:
        found.usage.input_tokens = hit + (as_int(told.get("prompt_cache_miss_tokens")) or 0)
    found.usage.cache_read_tokens = hit
    return found


def gemini(told: dict[str, Any]) -> Counted:
    """Gemini's: what was cached is a part of the prompt; thoughts are beside the candidates."""
    thoughts = as_int(told.get("thoughtsTokenCount"))
    out = as_int(told.get("candidatesTokenCount"))
    return Counted(
        Usage(
            input_tokens=as_int(told.get("promptTokenCount")),
            output_tokens=None if out is None else out + (thoughts or 0),
            cache_read_tokens=as_int(told.get("cachedContentTokenCount")),
            reasoning_tokens=thoughts,
        )
    )
