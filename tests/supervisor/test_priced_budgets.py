"""Budgets in US dollars of agents that tell tokens and no cost: held by their model's price.

Invariants: (1) each model call counts with what its tokens cost, in mid-turn where it is told then;
(2) what was counted holds over a kill, also what was waiting for a price; (3) a model without a price
ends the turn where the budget was asked for, else that is said, once; (4) what the agent tells
itself counts where it is more; (5) budgets that runs share count it, and may be raised.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kit import SLACK, Project, check_invariants, kill_9

from paseo_nb.model import Common, Limits, Pricing, Rate, Rates

from .test_limits import CANCELLED, DONE, cost, ends

# A dollar for a hundred thousand tokens in, none for those out.
RATES = {"m": Rates(input=Rate(10.0), output=Rate(0.0))}
LOADS = {"session/load": [{"id": "$id", "result": {}}]}
STOPS = [{"$cancel": True}, CANCELLED]


def call(ident: str, tokens: int, model: str | None = "m", **more: Any) -> dict[str, Any]:
    usage = {"inputTokens": tokens, "outputTokens": 0}
    told = {"messageId": ident, "model": model, "usage": usage, **more}
    return {"method": "_paseo_nb/model_call", "params": told}


def start(project: Project, *turns: list[Any], **more: Any) -> tuple[str, list[str]]:
    """A run with a budget of a dollar, priced by `RATES`; its agent's command."""
    command = project.puppet({"session/prompt": list(turns), **LOADS})
    limits = more.pop("limits", Limits(cost_usd=1.0, idle_s=60))
    pricing = more.pop("pricing", Pricing(rates=RATES, tells=False, firm=True))
    return project.start(command=command, limits=limits, pricing=pricing, **more), command


def asked(project: Project, command: list[str]) -> list[Any]:
    return [message.get("method") for message in project.got(command)]


def test_a_turn_ends_between_two_calls_and_a_kill_forgets_nothing(project: Project) -> None:
    first = [call("a", 40_000), DONE]
    run_id, command = start(project, first, [call("b", 30_000), {"$sleep": 60}])
    assert project.ended(run_id).turns[0].outcome == "end_turn"
    project.send(run_id, "two")
    project.until(lambda: len(project.own(run_id, "metered")) == 2, 20)
    kill_9(project.processes(run_id)["supervisor"])
    project.gone(run_id, 30)
    program = json.loads(Path(command[-1]).read_text())
    later = {**program, "session/prompt": [[call("c", 30_000), *STOPS]]}
    Path(command[-1]).write_text(json.dumps(later))
    project.send(run_id, "three")
    project.ended(run_id, turns=3)
    said = "the run has cost $1, by its tokens and their prices, its limit is $1"
    assert ends(project, run_id)[2] == ("limit", "cost", said), "reached is over"
    assert "session/cancel" in asked(project, command)
    assert project.history(run_id).charged.cost_usd == pytest.approx(1.0)
    assert project.history(run_id).usage.cost_usd is None, "the agent told none"
    sent = asked(project, command).count("session/prompt")
    project.send(run_id, "four")
    project.ended(run_id, turns=4)
    assert ends(project, run_id)[3][:2] == ("limit", "cost")
    assert asked(project, command).count("session/prompt") == sent
    check_invariants(project, run_id)


def test_a_turns_tokens_that_are_told_at_its_end(project: Project) -> None:
    told = {"inputTokens": 1_000, "cachedReadTokens": 150_000, "outputTokens": 0}
    end = {"id": "$id", "result": {"stopReason": "end_turn", "usage": told}}
    rates = {"m": Rates(input=Rate(10.0), output=Rate(0.0), cache_read=Rate(1.0))}
    limits = Limits(cost_usd=0.15, idle_s=60)
    run_id, _ = start(project, [end], limits=limits, pricing=Pricing(rates=rates), model="m")
    project.ended(run_id)
    (line,) = project.own(run_id, "metered")
    assert line["usd"] == pytest.approx(0.16), "cached ones at their own rate"
    assert ends(project, run_id)[0][:2] == ("limit", "cost")


def test_the_larger_of_what_is_told_and_what_tokens_cost(project: Project) -> None:
    """By the call and in all; a run whose agent tells less is held by its tokens."""
    steps = [call("a", 50_000), cost(0.2), call("b", 10_000, costUsd=0.3), cost(0.5)]
    run_id, _ = start(project, [*steps, call("c", 20_000), *STOPS], pricing=Pricing(rates=RATES))
    project.ended(run_id)
    said = "the run has cost $1, by its tokens and their prices, its limit is $1"
    assert ends(project, run_id) == [("limit", "cost", said)]
    run_id, _ = start(project, [call("a", 10_000), cost(1.5), *STOPS], pricing=Pricing(rates=RATES))
    project.ended(run_id)
    assert ends(project, run_id)[0][2] == "the run has cost $1.5, its limit is $1"


def test_a_model_that_was_not_named_is_looked_up(project: Project) -> None:
    """In a process of its own, while the turn goes on; killed meanwhile, by the next pair."""
    prices = {"mine*": {"input": 10.0, "output": 0.0}}
    pricing = Pricing(prices=prices, tells=False, firm=True)
    run_id, _ = start(project, [call("a", 120_000, "mine-2"), *STOPS], pricing=pricing)
    project.ended(run_id, within=10 * SLACK)
    assert ends(project, run_id)[0][:2] == ("limit", "cost")
    first, *_ = project.own(run_id, "metered")
    assert (first["usd"], len(first["waiting"])) == (0, 1)
    assert "waiting" not in project.own(run_id, "metered")[-1]
    run_id, _ = start(project, [call("a", 120_000, "mine-2"), {"$sleep": 60}], pricing=pricing)
    project.until(lambda: project.own(run_id, "metered"), 20)
    kill_9(project.processes(run_id)["supervisor"])
    project.gone(run_id, 30)
    waited = "waiting" in project.own(run_id, "metered")[-1]
    project.send(run_id, "two")
    project.ended(run_id, turns=2, within=10 * SLACK)
    assert ends(project, run_id)[-1][:2] == ("limit", "cost"), f"waited: {waited}"


def test_the_bundled_table_is_asked_for_a_model_it_has(project: Project) -> None:
    pricing = Pricing(tells=False, firm=True)
    steps = [call("a", 1_000, "gpt-5.1"), DONE]
    run_id, _ = start(project, steps, pricing=pricing, provider="codex", extends="acp")
    project.ended(run_id, within=10 * SLACK)
    assert project.own(run_id, "metered")[-1]["usd"] == pytest.approx(0.00125)
    assert ends(project, run_id)[0][0] == "end_turn"


@pytest.mark.parametrize("firm", [True, False])
def test_a_model_without_a_price(project: Project, firm: bool) -> None:
    pricing = Pricing(rates=RATES, tells=False, firm=firm)
    turn = [call("a", 10, "no-such-model"), call("b", 10, "no-such-model")]
    run_id, command = start(project, [*turn, *(STOPS if firm else [DONE])], [DONE], pricing=pricing)
    project.ended(run_id, within=10 * SLACK)
    ((outcome, code, said),) = ends(project, run_id)
    warned = [one["message"] for one in project.own(run_id, "warning")]
    why = "no price for no-such-model, and it tells no cost: a budget in US dollars cannot be kept"
    if firm:
        assert (outcome, code) == ("limit", "no_price")
        assert why in str(said)
        hint = project.history(run_id).error
        assert "token_budget=" in str(hint and hint.hint)
        assert "session/cancel" in asked(project, command)
        project.send(run_id, "more")
        project.ended(run_id, turns=2)
        assert ends(project, run_id)[1][:2] == ("limit", "no_price")
        assert asked(project, command).count("session/prompt") == 1, "not tried with it again"
    else:
        assert outcome == "end_turn"
        assert [why in one for one in warned] == [True], "said once"


def test_an_agent_that_tells_nothing_at_all(project: Project) -> None:
    """Then a budget that was asked for lets no further turn begin."""
    run_id, _ = start(project, [DONE], [DONE], pricing=Pricing(firm=True))
    project.ended(run_id)
    ((outcome, code, said),) = ends(project, run_id)
    assert (outcome, code) == ("limit", "no_price")
    assert "it tells neither tokens nor cost" in said
    told = start(project, [cost(0.0), DONE], pricing=Pricing(firm=True))[0]
    project.ended(told)
    assert ends(project, told)[0][0] == "end_turn", "a cost of 0 is a cost"
    plain = start(project, [DONE], limits=Limits(idle_s=60), pricing=Pricing())[0]
    project.ended(plain)
    assert ends(project, plain)[0][0] == "end_turn"
    assert not project.own(plain, "metered")


def test_two_runs_of_one_days_budget_at_once_and_one_that_is_raised(project: Project) -> None:
    """Each sees what the other's tokens cost; what was raised holds from the next prompt on."""
    day = Limits(idle_s=60, common=[Common("day", usd=1.0)])
    steps = [call("a", 60_000), *STOPS]
    first, command = start(project, steps, [call("b", 5_000), DONE], limits=day)
    project.until(lambda: project.own(first, "metered"), 20)
    second, _ = start(project, [call("a", 50_000), *STOPS], limits=day)
    for one in (first, second):
        project.ended(one, within=5 * SLACK)
        ((outcome, code, said),) = ends(project, one)
        assert (outcome, code) == ("limit", "day_budget")
        assert "$1.1" in said
    (file,) = (project.host.home / "spent").iterdir()
    spent = [json.loads(line).get("usd", 0.0) for line in file.read_text().splitlines()]
    assert sum(spent) == pytest.approx(1.1), "each call once"
    project.send(first, "again")
    project.ended(first, turns=2)
    assert ends(project, first)[1][:2] == ("limit", "day_budget")
    more = [{"span": "day", "usd": 2.0}]
    project.send(first, "go", common=more)
    project.ended(first, turns=3)
    assert ends(project, first)[2][0] == "end_turn"
    kill_9(project.processes(first)["supervisor"])
    project.gone(first, 30)
    Path(command[-1]).write_text(
        json.dumps({**json.loads(Path(command[-1]).read_text()), "session/prompt": [[DONE]]})
    )
    project.send(first, "and on")
    project.ended(first, turns=4)
    assert ends(project, first)[3][0] == "end_turn", "and for the pairs after"
