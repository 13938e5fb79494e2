"""An agent built on the official SDK's agent side, run by our supervisor: everything it asks is
answered as the SDK expects, everything it tells is told on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from kit import SLACK, Project, check_invariants, exists

from paseo_nb.history import History
from paseo_nb.model import Limits
from paseo_nb.supervisor import cleanup

AGENT = Path(__file__).with_name("sdk_agent.py")


def start(project: Project, prompt: str, *flags: str, **more: Any) -> str:
    """A run of the SDK agent."""
    folder = project.root / "sdk-sessions"
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(AGENT), str(folder), *flags]
    more.setdefault("auth_method", "password")
    more.setdefault("limits", Limits(permission_timeout_s=60, idle_s=120))
    return project.start(prompt=prompt, command=command, **more)


def said(history: History, turn: int = 1) -> str:
    """All that the agent said in a turn."""
    kinds = ("agent", "message")
    return "".join(x.text for x in history.items if (x.role, x.kind) == kinds and x.turn == turn)


def test_one_turn_of_everything(project: Project) -> None:
    (project.root / "in.txt").write_text("first\nsecond\nthird\n")
    prompt = "files terminal plan settings content extension usage hello"
    run_id = start(project, prompt, model="small", model_by="session")
    history = project.ended(run_id, within=12 * SLACK)
    assert history.turns[0].error is None
    assert history.turns[0].outcome == "end_turn"
    words = said(history)
    assert "Read 'second\\n'. Gone: -32002." in words
    assert "Ran: 'spoken\\n/\\n' exit 4 4. Killed by SIGTERM." in words
    assert "Extension: -32601." in words
    assert "[image][name]" in words
    assert (project.root / "out.txt").read_text() == "written by the SDK\n"
    calls = {call.tool_call_id: (call.kind, call.outcome) for call in history.tool_calls.values()}
    assert calls == {"edit-1": ("edit", "completed"), "t-1": ("execute", "completed")}
    plans = [item.text for item in history.items if item.kind == "plan"]
    assert plans == ["- [x] Look\n- [ ] Mend", "# In words"]
    assert (history.agent_name, history.agent_version) == ("SDK agent", "0.12.1")
    assert (history.agent_mode, history.model_answered) == ("plan", "large")
    assert history.title == "Named by the SDK"
    assert [command["name"] for command in history.commands] == ["init"]
    usage = history.turns[0].usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (110, 20, 10)
    assert (usage.cost_usd, usage.context_used, usage.context_size) == (0.25, 500, 1000)
    kinds = [line.kind for line in project.lines(run_id)]
    assert {"_vendor/notice", "plan_removed", "agent_thought_chunk"} <= set(kinds)
    check_invariants(project, run_id)


def test_permission_settings_cancel_and_stop_reasons(project: Project) -> None:
    run_id = start(project, "ask", mode="ask")
    (asked,) = project.until(lambda: project.history(run_id).open_permissions(), 30)
    assert (asked.title, asked.kind, asked.input) == ("Delete all", "delete", {"path": "/"})
    project.command(run_id, "answer", permission=asked.id, option_id="y")
    assert said(project.ended(run_id)) == "Permission: selected y. "

    project.command(run_id, "set_agent_mode", value="plan")
    project.command(run_id, "set_model", value="large")
    history = project.history(run_id)
    assert (history.agent_mode, history.model_answered) == ("plan", "large")

    project.send(run_id, "slow")
    project.until(lambda: "Waiting" in said(project.history(run_id), 2), 20)
    terminal = project.own(run_id, "terminal")[-1]["pid"]
    below = cleanup.descendants(terminal, run_id)
    assert exists(terminal)
    assert below
    project.command(run_id, "cancel")
    history = project.ended(run_id, turns=2)
    assert (history.turns[1].outcome, history.turns[1].stop_reason) == ("cancelled", "cancelled")
    assert "Ended by SIGTERM." in said(history, 2)
    project.until(lambda: not any(map(exists, [terminal, *below])), 3 * SLACK, "its children too")
    assert exists(project.processes(run_id)["agent"]), "a cancel ends the turn, not the agent"

    project.send(run_id, "refuse")
    assert project.ended(run_id, turns=3).turns[2].outcome == "refused"
    project.send(run_id, "fail")
    failed = project.ended(run_id, turns=4).turns[3]
    assert failed.outcome == "error"
    assert failed.error is not None
    assert "the model is on fire" in failed.error.message
    project.send(run_id, "late")
    project.ended(run_id, turns=5)
    project.until(lambda: said(project.history(run_id), 5) == "Late words.", 20)
    project.send(run_id, "hello")
    assert "Heard 5 prompts" in said(project.ended(run_id, turns=6), 6)
    check_invariants(project, run_id)


@pytest.mark.parametrize("flags", [(), ("--resume",)])
def test_a_session_goes_on_in_another_process(project: Project, flags: tuple[str, ...]) -> None:
    run_id = start(project, "hello", *flags)
    first = project.ended(run_id)
    project.command(run_id, "set_model", value="large")
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "again")
    history = project.ended(run_id, turns=2)
    assert said(history, 2) == "Heard 2 prompts; blocks text. "
    assert history.session_id == first.session_id
    assert history.model_answered == "large"
    assert [turn.tool_calls for turn in history.turns] == [0, 0], (
        "what was replayed is not told anew"
    )
    users = [item.text for item in history.items if item.role == "user"]
    assert users == ["hello", "again"]
    kinds = [line.kind for line in project.lines(run_id)]
    assert ("session/resume:result" in kinds) is bool(flags)
    assert ("replay/agent_message_chunk" in kinds) is not bool(flags)
    assert len(history.commands) == 1
    check_invariants(project, run_id)


def test_without_a_login_the_error_says_what_to_do(project: Project) -> None:
    run_id = start(project, "hello", auth_method=None)
    problem = project.ended(run_id).error
    assert problem is not None
    assert problem.code == "auth"
    assert problem.hint is not None
    assert "Password" in problem.hint
    project.gone(run_id, 30)
    run_id = start(project, "hello", auth_method="nonsense")
    problem = project.ended(run_id).error
    assert problem is not None
    assert "no method nonsense" in problem.message
