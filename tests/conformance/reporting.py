"""Usage against the ledger: equal in every field that a provider reports, NULL in every other."""

from __future__ import annotations

from typing import Any

from tests.modelserver import Request, Usage

from .differences import NOT_REPORTED
from .recipes import RECIPES

FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "reasoning_tokens",
}
COST = "cost_usd"


def check_usage(provider: str, told: Any, spent: Usage) -> None:
    """Raises AssertionError naming each field that is wrong, or NULL without being declared so."""
    wrong: list[str] = []
    declared = NOT_REPORTED.get(provider, {})
    for ours, theirs in FIELDS.items():
        got, real = getattr(told, ours), getattr(spent, theirs)
        if ours in declared:
            if got is not None:
                wrong.append(f"{ours} is {got}, declared as not reported (the model: {real})")
        elif got != real:
            wrong.append(f"{ours} is {got}, the model reported {real}")
    wrong += _wrong_cost(provider, told.cost_usd, spent)
    assert not wrong, "; ".join(wrong)


def check_calls(provider: str, rows: list[dict[str, Any]], ledger: list[Request]) -> None:
    """Each request of the ledger's is a row, and nothing else is. AssertionError."""
    fields = [name for name in FIELDS if name not in NOT_REPORTED.get(provider, {})]
    told = [{name: row[name] for name in fields} for row in rows]
    real = [{name: getattr(r.usage, FIELDS[name]) for name in fields} for r in ledger if r.usage]
    assert told == real, f"model_calls has {told}, the model reported {real}"
    assert all(row["usage_source"] and row["model"] for row in rows)


def _wrong_cost(provider: str, told: float | None, spent: Usage) -> list[str]:
    """Where it is NULL, or where its recipe says what the model costs; else it has its own prices."""
    if COST in NOT_REPORTED.get(provider, {}):
        return [] if told is None else [f"{COST} is {told}, declared as not reported"]
    price = RECIPES[provider].price
    if price is None:
        return [] if told else [f"{COST} is {told}"]
    parts = (spent.fresh_tokens, spent.cached_tokens, spent.cache_write_tokens, spent.output_tokens)
    real = sum(n * usd for n, usd in zip(parts, price, strict=True)) / 1e6
    return [] if told and abs(told - real) < 1e-9 else [f"{COST} is {told}, it was {real}"]
