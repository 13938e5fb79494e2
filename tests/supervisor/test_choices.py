"""Choices in the middle of a run: model, effort, the agent's mode, the permission mode.

Invariants: (1) a choice that the agent does not offer is refused, with the nearest that it does; (2)
what was chosen holds for every later process and pair; (3) a choice that cannot be carried out says
so, and leaves no process behind.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from kit import Project, check_invariants

from paseo_nb.errors import UsageProblem
from paseo_nb.store import advance, frames


def test_choices_are_checked_and_hold_for_later_processes(project: Project) -> None:
    run_id = project.start("echo", "one", mode="auto")
    project.command(run_id, "set_model", value="planner")  # while the agent may be starting
    project.command(run_id, "set_effort", value="high")
    project.command(run_id, "set_agent_mode", value="plan")
    project.command(run_id, "set_mode", mode="read")
    project.ended(run_id)
    for verb, value, said in (
        ("set_model", "plannr", "knows no model 'plannr'[.] Nearest: planner"),
        ("set_effort", "extreme", "knows no effort 'extreme'"),
        ("set_agent_mode", "nowhere", "knows no agent mode 'nowhere'"),
    ):
        with pytest.raises(UsageProblem, match=said):
            project.command(run_id, verb, value=value)
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "anything")
    history = project.ended(run_id, turns=2)
    assert "plan of 5 entries" in history.text, "the model that was chosen"
    asked = ["model_asked", "effort", "permission_mode"]
    for _ in range(2):  # from the journal, then from the index
        row = frames.runs(project.host.home, run=run_id, columns=asked).iloc[0]
        assert row.tolist() == ["planner", "high", "read"], "what was asked for last, not at launch"
        advance(project.host.home)
    assert (history.agent_mode, history.model_answered) == ("plan", "planner")
    project.command(run_id, "set_model", value="writer")
    project.command(run_id, "set_agent_mode", value="default")
    project.send(run_id, "notes.txt")
    history = project.ended(run_id, turns=3)
    row = frames.runs(project.host.home, run=run_id, columns=asked).iloc[0]
    assert row.tolist() == ["writer", "high", "read"], "what the index has, and what came after"
    assert not (project.root / "notes.txt").exists(), "mode read, still"
    assert [asked.outcome for asked in history.permissions.values()] == ["denied"]
    check_invariants(project, run_id)


def test_a_choice_brings_processes_back_and_one_that_fails_says_so(project: Project) -> None:
    run_id = project.start("echo", "one")
    project.ended(run_id)
    project.command(run_id, "stop")
    project.gone(run_id, 30)

    def choose(value: str) -> Any:
        sent = project.host.command(run_id, "set_model", {"value": value}, environment=project.env)
        return asyncio.run(sent)

    assert choose("planner")["alive"]
    project.send(run_id, "two")
    assert "plan of 5 entries" in project.ended(run_id, turns=2).text
    broken = project.start(command=project.puppet({"initialize": [{"$exit": 5}]}))
    project.ended(broken)
    project.gone(broken, 30)
    run_id = broken
    with pytest.raises(UsageProblem, match="cannot be started"):
        choose("planner")
    check_invariants(project, run_id)
