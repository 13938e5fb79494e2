"""Limits: kept by the supervisor itself, with no front end alive.

Invariants: (1) a turn over a limit ends as `limit`, with the limit's name and number in words, and
the run can go on where the limit allows it; (2) what a run has cost counts over all its processes;
(3) waiting for a person is neither silence nor idleness of the agent; (4) a pair leaves when it is
idle, unless the agent left something at work.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

from kit import SLACK, Project, check_invariants, exists, kill_9

from paseo_nb.host.states import true_state
from paseo_nb.model import Limits

DONE = {"id": "$id", "result": {"stopReason": "end_turn"}}
CANCELLED = {"id": "$id", "result": {"stopReason": "cancelled"}}


def update(kind: str, **fields: Any) -> dict[str, Any]:
    params = {"sessionId": "puppet-session", "update": {"sessionUpdate": kind, **fields}}
    return {"method": "session/update", "params": params}


def cost(amount: float) -> dict[str, Any]:
    return update("usage_update", used=1, size=2, cost={"amount": amount, "currency": "USD"})


def ends(project: Project, run_id: str) -> list[tuple[Any, ...]]:
    """Outcome, reason and words of each turn's end."""
    found = project.own(run_id, "turn_end")
    errors = [facts.get("error") or {} for facts in found]
    return [
        (f["outcome"], e.get("code"), e.get("message")) for f, e in zip(found, errors, strict=True)
    ]


def test_a_turn_takes_too_long(project: Project) -> None:
    script = [[{"say": "a "}, {"children": ["session"]}, {"stall": True}], [{"say": "Two."}]]
    run_id = project.start(script=script, limits=Limits(timeout_s=1.0, idle_s=60))
    history = project.ended(run_id, within=3 * SLACK)
    assert ends(project, run_id) == [("limit", "timeout", "the turn took longer than 1 s")]
    assert history.items[-1].text == "the turn took longer than 1 s"
    assert history.state == "idle"
    project.send(run_id, "again")
    assert project.ended(run_id, turns=2).text == "Two.", "the run goes on"
    check_invariants(project, run_id)


def test_an_agent_that_says_nothing(project: Project) -> None:
    """Silent, and deaf to the cancel for two seconds more; one that talks as long is left alone."""
    limits = Limits(silence_s=0.8, idle_s=60)
    run_id = project.start(script=[[{"say": "a"}, {"silent": 2.5}]], limits=limits)
    talks = project.start("slow", "seconds=2.5", limits=limits)
    loud = {"terminal": "for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.3; done"}
    builds = project.start(script=[[loud]], limits=limits)
    history = project.ended(run_id, within=4 * SLACK)
    (end,) = ends(project, run_id)
    assert end[:2] == ("limit", "silence")
    assert re.fullmatch(r"nothing came from the agent for [0-9.]+ s", end[2] or "")
    assert history.error is not None
    assert "agent-stderr.log" in (history.error.hint or ""), "what to look at"
    assert project.ended(talks, within=4 * SLACK).turns[0].outcome == "end_turn"
    told = project.ended(builds, within=4 * SLACK).turns[0].outcome
    assert told == "end_turn", "what it runs in a terminal of ours speaks for it"
    check_invariants(project, run_id)


def test_what_a_run_costs(project: Project) -> None:
    """Over the limit in mid-turn; by a third process that counts from zero again; and no turn is
    begun when nothing is left."""
    limits = Limits(cost_usd=1.0, idle_s=60)
    turns = [[cost(0.4), cost(0.6), DONE], [cost(0.1), {"$cancel": True}, CANCELLED]]
    command = project.puppet(
        {"session/prompt": turns, "session/load": [{"id": "$id", "result": {}}]}
    )
    run_id = project.start(command=command, limits=limits)
    assert project.ended(run_id).turns[0].outcome == "end_turn"
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "two")  # a new puppet plays its first turn again: 0.6 and 0.4 are enough
    history = project.ended(run_id, turns=2)
    end = ends(project, run_id)[1]
    assert end[:2] == ("limit", "cost")
    assert end[2] == "the run has cost $1, its limit is $1", "reached is over"
    sent = len(project.got(command))
    project.send(run_id, "three")
    history = project.ended(run_id, turns=3)
    assert ends(project, run_id)[2][:2] == ("limit", "cost")
    assert history.error is not None
    assert "budget" in str(history.error.hint)
    got = [message.get("method") for message in project.got(command)[sent:]]
    assert "session/prompt" not in got, "the agent was asked for nothing more"
    check_invariants(project, run_id)
    # In mid-turn: cancelled as soon as it is told.
    command = project.puppet(
        {"session/prompt": [[cost(0.5), cost(1.5), {"$cancel": True}, CANCELLED]]}
    )
    run_id = project.start(command=command, limits=limits)
    project.ended(run_id)
    assert ends(project, run_id)[0][:2] == ("limit", "cost")
    assert "session/cancel" in [message.get("method") for message in project.got(command)]


def call(ident: str, tokens: int) -> dict[str, Any]:
    """The end of a model call, as our own agents tell it."""
    usage = {"inputTokens": tokens - 10, "outputTokens": 10}
    return {"method": "_paseo_nb/model_call", "params": {"messageId": ident, "usage": usage}}


def test_how_many_tokens(project: Project) -> None:
    """Over the limit by a call in mid-turn; what an earlier pair counted counts on, though it was
    killed; and no turn is begun when nothing is left."""
    limits = Limits(tokens=1000, idle_s=60)
    told = {"inputTokens": 290, "outputTokens": 10}
    turns = [
        [call("a", 300), {"id": "$id", "result": {"stopReason": "end_turn", "usage": told}}],
        [call("b", 300), {"$sleep": 60}],
    ]
    loads = {"session/load": [{"id": "$id", "result": {}}]}
    command = project.puppet({"session/prompt": turns, **loads})
    run_id = project.start(command=command, limits=limits)
    assert project.ended(run_id).turns[0].outcome == "end_turn"
    assert project.own(run_id, "metered") == [{"tokens": 300}], "the turn's sum is its calls'"
    project.send(run_id, "two")
    project.until(lambda: len(project.own(run_id, "metered")) == 2, 20)
    kill_9(project.processes(run_id)["supervisor"])
    project.gone(run_id, 30)
    later = [[call("c", 500), {"$cancel": True}, CANCELLED]]
    Path(command[-1]).write_text(
        json.dumps({**json.loads(Path(command[-1]).read_text()), "session/prompt": later})
    )
    project.send(run_id, "three")
    project.ended(run_id, turns=3)
    said = "the run has used 1,100 tokens, its limit is 1,000"
    assert ends(project, run_id)[2] == ("limit", "tokens", said)
    assert project.own(run_id, "limit")[-1]["message"] == said
    assert "session/cancel" in [message.get("method") for message in project.got(command)]
    sent = len(project.got(command))
    project.send(run_id, "four")
    history = project.ended(run_id, turns=4)
    assert ends(project, run_id)[3][:2] == ("limit", "tokens")
    assert "token_budget" in str(history.error and history.error.hint)
    got = [message.get("method") for message in project.got(command)[sent:]]
    assert "session/prompt" not in got, "the agent was asked for nothing more"
    check_invariants(project, run_id)


def test_tokens_that_are_told_for_a_whole_turn_only(project: Project) -> None:
    told = {"inputTokens": 500, "cachedReadTokens": 400, "outputTokens": 200}
    end = {"id": "$id", "result": {"stopReason": "end_turn", "usage": told}}
    run_id = project.start(
        command=project.puppet({"session/prompt": [[end]]}), limits=Limits(tokens=1000, idle_s=60)
    )
    project.ended(run_id)
    assert ends(project, run_id) == [
        ("limit", "tokens", "the run has used 1,100 tokens, its limit is 1,000")
    ]


def test_how_many_turns(project: Project) -> None:
    run_id = project.start("echo", "one", limits=Limits(max_turns=2, idle_s=60))
    project.ended(run_id)
    project.send(run_id, "two")
    project.send(run_id, "three")
    history = project.ended(run_id, turns=3)
    assert [turn.outcome for turn in history.turns] == ["end_turn", "end_turn", "limit"]
    assert ends(project, run_id)[2] == ("limit", "max_turns", "the run has had its 2 turns")
    assert history.state == "idle"
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "four")
    assert project.ended(run_id, turns=4).turns[3].outcome == "limit", "for a later pair too"
    assert len([line for line in project.lines(run_id) if line.kind == "session/prompt"]) == 2
    check_invariants(project, run_id)


def test_an_idle_pair_leaves_and_comes_back(project: Project) -> None:
    run_id = project.start("echo", "one", limits=Limits(idle_s=0.5))
    project.ended(run_id)
    agent = project.processes(run_id)["agent"]
    project.gone(run_id, 3 * SLACK)
    assert not exists(agent)
    assert not project.left(run_id)
    assert project.own(run_id, "run_ended")[-1] == {"reason": "idle", "state": "idle"}
    assert true_state(project.folder(run_id)) == "idle"
    project.send(run_id, "two")
    history = project.ended(run_id, turns=2)
    assert "user message 2 of this session" in history.text, "the same session"
    check_invariants(project, run_id)


def test_a_pair_stays_while_the_agent_left_something_at_work(project: Project) -> None:
    """A child of its own, one whose parent is gone, a command in a terminal of ours."""
    background = {"method": "terminal/create", "params": {"command": "/bin/sleep", "args": ["300"]}}
    for step in ({"children": ["session"]}, {"children": ["double"]}, {"request": background}):
        run_id = project.start(script=[[step, {"say": "Done."}]], limits=Limits(idle_s=0.4))
        history = project.ended(run_id)
        time.sleep(2.0)
        assert project.alive(run_id), step
        if "children" in step:
            (call,) = history.tool_calls.values()
            (pid,) = call.output["pids"].values()
        else:
            pid = project.own(run_id, "terminal")[-1]["pid"]
        assert exists(pid)
        agent, pair = project.processes(run_id)["agent"], project.left(run_id)
        assert agent in pair
        kill_9(pid)
        project.gone(run_id, 3 * SLACK)
        assert project.own(run_id, "run_ended")[-1]["reason"] == "idle", json.dumps(step)
