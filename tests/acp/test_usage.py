"""Tokens and money: how each agent counts them, and what a turn's share is.

Invariants: (1) input tokens include cached ones, whoever tells; (2) what was not reported is None,
never zero; (3) the shares of the turns add up to what the run has cost, over all its processes.
"""

from __future__ import annotations

from typing import Any

import pytest
from acp_samples import INITIALIZED, USAGE, Tape, result, update

from paseo_nb.model import Usage


def usages(provider: str, *answers: dict[str, Any]) -> list[Usage]:
    tape = Tape().put("in", "initialize:result", INITIALIZED)
    for number, answer in enumerate(answers):
        if answer.get("process"):
            tape.put("in", "initialize:result", INITIALIZED)
            continue
        tape.begin(str(number)).end(answer=result(2, **answer))
    return [turn.usage for turn in tape.history(provider).turns]


def test_input_tokens_include_cached_ones() -> None:
    claude, none = usages(
        "claude", {"stopReason": "end_turn", "usage": USAGE}, {"stopReason": "end_turn"}
    )
    assert (claude.input_tokens, claude.output_tokens) == (1111 + 7007 + 303, 42)
    assert (claude.cache_read_tokens, claude.cache_write_tokens, claude.total_tokens) == (
        7007,
        303,
        8463,
    )
    assert none == Usage(), "not reported is not zero"


def test_copilot_counts_up_within_a_process_and_its_input_has_the_cached_ones() -> None:
    def told(tokens: int, out: int) -> dict[str, Any]:
        usage = {
            "inputTokens": tokens,
            "outputTokens": out,
            "cachedReadTokens": 10,
            "totalTokens": tokens + out,
        }
        return {"stopReason": "end_turn", "usage": usage}

    first, second, third = usages(
        "copilot", told(100, 5), told(250, 15), {"process": True}, told(300, 3)
    )
    assert (first.input_tokens, first.output_tokens) == (100, 5)
    assert (second.input_tokens, second.output_tokens) == (150, 10)
    assert (third.input_tokens, third.output_tokens) == (300, 3), "a new process counts from zero"


def test_gemini_tells_its_input_in_meta_and_zeros_of_a_cancelled_turn_are_no_report() -> None:
    quota = {"quota": {"token_count": {"input_tokens": 900, "output_tokens": 40}}}
    zeros = dict.fromkeys(USAGE, 0)
    nothing = {"quota": {"token_count": {"input_tokens": 0, "output_tokens": 0}}}
    gemini, unanswered, cancelled, zero = usages(
        "gemini", {"stopReason": "end_turn", "_meta": quota},
        {"stopReason": "end_turn", "_meta": nothing},
        {"stopReason": "cancelled", "usage": zeros}, {"stopReason": "end_turn", "usage": zeros},
    )  # fmt: skip
    assert (gemini.input_tokens, gemini.output_tokens) == (900, None), "40 without the thoughts"
    assert (unanswered, cancelled) == (Usage(), Usage())
    assert zero.input_tokens == 0


def test_cost_is_the_sessions_and_a_turn_gets_its_share() -> None:
    def cost(amount: Any, currency: str = "USD") -> dict[str, Any]:
        return update(
            "usage_update", used=100, size=200, cost={"amount": amount, "currency": currency}
        )

    tape = Tape().begin().take(cost(0.02), cost(0.05)).end()
    tape.begin().take(cost(0.08)).end()
    tape.begin().take(cost(0.01)).end()  # a new process counts anew
    tape.begin().take(cost(5, "EUR")).end()
    history = tape.history()
    shares = [turn.usage.cost_usd for turn in history.turns]
    assert shares[:2] == [pytest.approx(0.05), pytest.approx(0.03)]
    assert shares[2] == pytest.approx(0.01)
    assert shares[3] is None, "other money is no dollars"
    assert history.usage.cost_usd == pytest.approx(0.09)
    assert (history.usage.context_used, history.usage.context_size) == (100, 200)


def test_zeros_of_a_turn_that_ended_badly_are_no_report() -> None:
    zeros = result(2, stopReason="end_turn", usage=dict.fromkeys(USAGE, 0))
    tape = Tape().put("in", "initialize:result", INITIALIZED)
    for outcome, amount in (("limit", 0), ("error", 0.5), ("end_turn", 0.5)):
        tape.begin()
        tape.take(
            update("usage_update", used=1, size=9, cost={"amount": amount, "currency": "USD"})
        )
        tape.end(outcome, answer=zeros)
    tape.take(update("usage_update", used=1, size=9, cost={"amount": 0.5, "currency": "USD"}))
    limit, error, good = [turn.usage for turn in tape.history("opencode").turns]
    assert (limit.input_tokens, limit.cost_usd, limit.scope) == (None, None, None)
    assert (error.input_tokens, error.cost_usd) == (None, 0.5), "what it has cost is told"
    assert (good.input_tokens, good.cost_usd) == (0, 0.0)


def test_the_cost_of_each_call_is_the_turns_where_all_were_priced() -> None:
    """As our own agent tells it; without a context window there is no `usage_update` to tell it."""

    def call(ident: str, cost: float | None) -> dict[str, Any]:
        told = {"messageId": ident, "usage": USAGE} | ({} if cost is None else {"costUsd": cost})
        return {"jsonrpc": "2.0", "method": "_paseo_nb/model_call", "params": told}

    tape = Tape().put("in", "initialize:result", INITIALIZED)
    for costs in ([0.25, 0.5], [0.25, None]):
        tape.begin()
        for number, cost in enumerate(costs):
            tape.put("in", "_paseo_nb/model_call", call(f"m{tape.turn}{number}", cost))
        tape.end(answer=result(2, stopReason="end_turn", usage=USAGE))
    history = tape.history("api")
    assert [turn.usage.cost_usd for turn in history.turns] == [0.75, None]
    assert [c.usage.cost_usd for c in history.model_calls.values()] == [0.25, 0.5, 0.25, None]


def test_room_that_was_made_is_a_note() -> None:
    said = "The model no longer sees the output of 3 older tool calls."
    message = {"jsonrpc": "2.0", "method": "_paseo_nb/compaction", "params": {"message": said}}
    tape = Tape().begin().put("in", "_paseo_nb/compaction", message).end()
    [note] = [item for item in tape.history("api").items if item.kind == "note"]
    assert (note.title, note.text) == ("compaction", said)
