"""What a user forbids holds, or is refused, or is said: agents that act unasked, and agent modes in
which they do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kit import Project

import paseo_nb as paseo
from paseo_nb.drivers import codex, copilot, gemini, opencode, registry
from paseo_nb.drivers.holding import not_held
from paseo_nb.model import Limits, Mode, Rule

DENY = [Rule("deny", "execute", "git push *")]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project that is the current folder, with a `pi` that is the scripted agent."""
    made = Project(tmp_path)
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "bin" / "pi-acp"
    program.parent.mkdir()
    lines = f"#!/bin/sh\nexec {sys.executable} -m paseo_nb.programs.demo --model echo\n"
    program.write_text(lines)
    program.chmod(0o755)
    program.with_name("pi").symlink_to(program)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(paseo.__file__).parents[1]))
    yield made
    made.runs = made.host.list()
    made.close()


@pytest.mark.parametrize(
    ("module", "agent_mode", "held"),
    [
        (codex, "danger-full-access/never", False),
        (codex, "workspace-write/on-request", False),
        (codex, "workspace-write", True),
        (codex, "Read-only/untrusted", True),
        (codex, "plan", True),
        (gemini, "yolo", False),
        (gemini, "AutoEdit", False),
        (gemini, "plan", True),
        (copilot, "https://agentclientprotocol.com/protocol/session-modes#autopilot", False),
        (copilot, "https://agentclientprotocol.com/protocol/session-modes#agent", True),
        (copilot, "plan", True),
    ],
)
def test_an_agent_mode_that_does_not_ask_is_refused_with_what_it_would_pass_by(
    module: Any, agent_mode: str, held: bool
) -> None:
    can = module.CAPABILITIES

    def said(mode: Mode, rules: list[Rule]) -> str | None:
        return not_held(module.NAME, can.asks, can.asking_modes, mode, rules, agent_mode)

    assert said("ask", []) is None
    assert said("auto", []) is None
    cases: list[tuple[Mode, list[Rule], str]] = [
        ("read", [], "mode='read'"),
        ("auto", DENY, "deny execute:git"),
    ]
    for mode, rules, what in cases:
        told = said(mode, rules)
        assert (told is None) == held
        assert held or (what in str(told) and agent_mode in str(told))


@pytest.mark.parametrize("wish", [{"mode": "read"}, {"mode": "auto", "deny": ["execute"]}])
def test_what_an_agent_cannot_hold_is_refused_before_launch(
    project: Project, wish: dict[str, Any]
) -> None:
    with pytest.raises(paseo.UsageProblem, match="pi never asks for permission, so"):
        paseo.start("pi", "hello", **wish)
    assert not project.host.list()


def doubts(run: Any) -> list[str]:
    """Its warnings about permissions."""
    return [said for said in run.inspect()["warnings"] if "permission" in said]


def test_what_an_agent_does_not_hold_is_a_warning_of_the_run(project: Project) -> None:
    loose = paseo.run("pi", "hello", mode="auto", timeout=60)
    assert not doubts(loose)
    with pytest.raises(paseo.PaseoError, match="asks for no permission in this run"):
        loose.set_mode("ask")
    run = paseo.run("pi", "hello", mode="ask", timeout=60)
    [said] = doubts(run)
    assert "pi never asks for permission: with it mode='ask' is as mode='auto'" in said
    run.stop()
    run.send("again").wait(60)
    assert len(doubts(run)) == 1


def test_no_change_on_the_way_lets_a_policy_go(project: Project) -> None:
    paseo.register_provider("mine", extends="demo")
    run = paseo.run("mine/echo", "hello", mode="read", timeout=60)
    with pytest.raises(paseo.PaseoError, match="agent_mode='auto' lets mine act unasked"):
        run.set_agent_mode("auto")
    run.set_mode("ask").set_agent_mode("auto")
    with pytest.raises(paseo.PaseoError, match="mode='read' would not hold"):
        run.set_mode("read")


@pytest.mark.parametrize(
    ("mode", "rules", "reads"),
    [
        ("auto", [], None),
        ("auto", DENY, "allow"),
        ("ask", [], "allow"),
        ("read", [Rule("allow", "read")], "allow"),
        ("edit", [Rule("deny", "read", "keys/**")], "ask"),
    ],
)
def test_opencode_is_told_to_ask(mode: Mode, rules: list[Rule], reads: str | None) -> None:
    made = opencode.provider()
    agent = registry.Resolved(
        agent="opencode", provider="opencode", model=None, command=[], env={}, env_names=[],
        asking=made.asking, asking_all=made.asking_all,
    )  # fmt: skip
    told = agent.made_to_ask(mode, rules)
    if mode == "auto" and not rules:
        assert told == {}
        return
    says = msgspec.json.decode(told["OPENCODE_PERMISSION"])
    assert (says["*"], says["task"], says.get("read")) == ("ask", "deny", reads)


def test_an_agent_mode_that_its_own_settings_chose_is_left_where_the_policy_forbids(
    project: Project,
) -> None:
    modes = {"currentModeId": "mine", "availableModes": [{"id": "mine"}, {"id": "default"}]}
    command = project.puppet(
        {
            "session/new": [{"id": "$id", "result": {"sessionId": "s", "modes": modes}}],
            "session/prompt": [[{"id": "$id", "result": {"stopReason": "end_turn"}}]],
        }
    )
    held = {"asking_modes": ["default"], "limits": Limits(idle_s=60)}
    run_id = project.start(command=command, mode="ask", **held)
    project.ended(run_id)
    project.command(run_id, "set_mode", mode="read")
    project.send(run_id, "again")
    [said] = project.ended(run_id, turns=2).warnings
    assert "unasked in its agent mode 'mine': it works in 'default'" in said
    asked = [m["method"] for m in project.got(command) if "method" in m]
    assert asked[-3:] == ["session/prompt", "session/set_mode", "session/prompt"]
    project.send(run_id, "again")
    project.ended(run_id, turns=3)
    assert [m["method"] for m in project.got(command) if "method" in m][-1:] == ["session/prompt"]
    assert len(project.history(run_id).warnings) == 1
