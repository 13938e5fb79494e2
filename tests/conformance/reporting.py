"""Usage against the ledger: equal in every field that a provider reports, NULL in every other."""

from __future__ import annotations

from typing import Any

from tests.modelserver import Usage

from .differences import NOT_REPORTED

FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cached_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "reasoning_tokens",
}


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
    assert not wrong, "; ".join(wrong)
