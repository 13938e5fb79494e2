"""How Claude Code counts and what it calls an error: usage of a model call and of a turn, a turn's
cost, and a failed result in words."""

from __future__ import annotations

from typing import Any

from ..model import Problem, Usage
from .acp_reading import Json, as_dict, as_int, as_list, as_str
from .failing import model_problem

LIMITS = {"error_max_turns", "error_max_budget_usd"}
_HINTS = {
    "auth": "Run `claude` in a terminal and /login there, or set ANTHROPIC_API_KEY; try again.",
    "model_not_found": "Name a model that your account has: opus, sonnet, haiku or a full name.",
    "context_overflow": "Start a new run, or send /compact first.",
}


def usage_of(told: Json) -> Usage:
    """Tokens of one model call as the API tells them, cached ones added to the input."""
    fresh = as_int(told.get("input_tokens"))
    read = as_int(told.get("cache_read_input_tokens"))
    written = as_int(told.get("cache_creation_input_tokens"))
    return Usage(
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=as_int(told.get("output_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=as_int(as_dict(told.get("output_tokens_details")).get("thinking_tokens")),
    )


def turn_usage(result: Json) -> Usage:
    """What a turn has used, over all models and sub-agents, with its cost where that is told."""
    by_model = as_dict(result.get("model_usage_since_last_result"))
    if not by_model:
        aborted = bool(result.get("is_error")) and not as_int(
            as_dict(result.get("usage")).get("input_tokens")
        )
        return Usage() if aborted else usage_of(as_dict(result.get("usage")))
    total = Usage()
    for one in map(as_dict, by_model.values()):
        read = as_int(one.get("cacheReadInputTokens"))
        written = as_int(one.get("cacheCreationInputTokens"))
        fresh = as_int(one.get("inputTokens"))
        call = Usage(
            input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
            output_tokens=as_int(one.get("outputTokens")),
            cache_read_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=as_int(one.get("thinkingTokens")),
            cost_usd=number(one.get("costUSD")),
        )
        total = total.plus(call)
    return total


def problem_of(result: Json) -> Problem:
    """Why a turn failed, in words; what is known to help is the hint."""
    errors = [e for e in as_list(result.get("errors")) if isinstance(e, str)]
    said = as_str(result.get("result")) or "; ".join(errors)
    subtype = as_str(result.get("subtype")) or "error"
    status = as_int(result.get("api_error_status"))
    message = said or (f"the model's API answered HTTP {status}" if status else subtype)
    if "/login" in message.lower():
        return Problem("auth", message, _HINTS["auth"])
    if subtype == "error_max_structured_output_retries":
        return Problem("schema", message, "The model did not keep to the schema: simplify it.")
    if subtype not in ("success", "error"):
        return Problem(subtype, message)
    return model_problem(message, status, _HINTS)


def number(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number else None


def spent_usd(result: Json) -> float:
    """What the turns since the last result have cost."""
    by_model = as_dict(result.get("model_usage_since_last_result")).values()
    costs = [as_dict(one).get("costUSD") for one in by_model]
    return sum(float(cost) for cost in costs if isinstance(cost, (int, float)))
