"""What the doctor learns from an agent that it starts for a moment; nothing of it stays."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from paseo_nb import asking_agents
from paseo_nb.drivers import registry
from paseo_nb.examination import diagnose
from paseo_nb.examining_agents import AgentFacts, look
from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import ModelServer

TESTS = Path(__file__).resolve().parents[1]
INITIALIZED = {
    "claude_code_version": "2.1.329",
    "current_permission_mode": "default",
    "models": [{"value": "opus", "supportsEffort": True}, {"value": "haiku"}, 7],
    "commands": [{"name": "review"}, {"name": "compact"}],
}
# It answers `initialize` of the control protocol with what its first argument says.
CLAUDE = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    assert asked["request"]["subtype"] == "initialize"
    print("no message"), print(json.dumps({"type": "system", "subtype": "init"}))
    told = {"request_id": asked["request_id"], **json.loads(sys.argv[1])}
    print(json.dumps({"type": "control_response", "response": told}), flush=True)
"""


def facts_of(project: Path, name: str) -> AgentFacts:
    ((_, facts),) = look(project, [name])
    return facts


def claude(folder: Path, answer: dict[str, Any]) -> None:
    script = folder / "claude.py"
    script.write_text(CLAUDE)
    command = [sys.executable, str(script), json.dumps(answer)]
    registry.register_provider("mine", command=command, extends="claude")


@pytest.mark.parametrize(
    ("account", "signed_in"),
    [
        ({"apiProvider": "firstParty", "tokenSource": "none"}, None),
        ({"apiKeySource": "ANTHROPIC_API_KEY", "tokenSource": "none"}, "ANTHROPIC_API_KEY"),
        ({"email": "a@b.c", "subscriptionType": "max", "tokenSource": "keychain"},
         "a@b.c, max, keychain"),
        ({"apiProvider": "bedrock", "tokenSource": "none"}, "bedrock"),
    ],
)  # fmt: skip
def test_claude_is_asked(project: Path, account: Any, signed_in: str | None) -> None:
    claude(project, {"subtype": "success", "response": {**INITIALIZED, "account": account}})
    facts = facts_of(project, "mine")
    assert (facts.models, facts.commands) == (["opus", "haiku"], ["review", "compact"])
    assert facts.modes is not None
    assert {"plan", "acceptEdits"} <= set(facts.modes)
    assert (facts.signed_in, facts.effort, facts.problem) == (signed_in, True, None)
    assert ("sign in" in facts.next_step) == (signed_in is None)


def test_claude_that_refuses_is_quoted(project: Path) -> None:
    result = {"type": "result", "is_error": True, "result": "No conversation found"}
    script = project / "refuses.py"
    script.write_text(f"print({json.dumps(result)!r})")
    registry.register_provider("mine", [sys.executable, str(script)], extends="claude")
    assert facts_of(project, "mine").problem == "cannot be asked: No conversation found"
    claude(project, {"subtype": "error", "error": "the organization is disabled"})
    assert facts_of(project, "mine").problem == "cannot be asked: the organization is disabled"


def codex(project: Path, account: Any, model: str | None = None, **config: Any) -> None:
    def says(result: Any) -> list[Any]:
        return [{"id": "$id", "result": result}]

    efforts = [{"reasoningEffort": "high"}]
    listed = {"model": "gpt-x", "supportedReasoningEfforts": efforts, "inputModalities": ["text"]}
    does = {
        "initialized": [],
        "account/read": [{"method": "configWarning", "params": {}}, *says(account)],
        "model/list": says({"data": [listed]}),
        "config/read": says({"config": {"model": model, **config}}),
    }
    file = project / "does.json"
    file.write_text(json.dumps(does))
    command = [sys.executable, str(TESTS / "puppet.py"), str(file)]
    registry.register_provider("mine", command=command, extends="codex")


def test_codex_is_asked(project: Path) -> None:
    codex(project, {"account": None, "requiresOpenaiAuth": True})
    facts = facts_of(project, "mine")
    assert (facts.models, facts.signed_in) == (["gpt-x"], None)
    assert facts.problem is None
    assert facts.next_step.startswith("sign in: codex login; ")
    who = {"type": "chatgpt", "email": "a@b.c", "planType": "plus"}
    codex(project, {"account": who, "requiresOpenaiAuth": True})
    (check,) = diagnose(project, ["mine"])
    assert "sign in" not in check.fix
    assert "signed in: a@b.c, plus, ChatGPT" in check.detail
    assert "steer" in check.detail
    assert "MCP stdio http" in check.detail
    own = {"account": None, "requiresOpenaiAuth": False}
    codex(project, own, model="qwen", model_provider="local")
    facts = facts_of(project, "mine")
    assert (facts.models, facts.signed_in) == (["qwen", "gpt-x"], "model_provider local")


def test_an_agent_that_wants_a_sign_in_says_so(project: Path) -> None:
    able = {"loadSession": True, "mcpCapabilities": {"http": True}}
    does = {
        "initialize": [{"id": "$id", "result": {"agentCapabilities": able}}],
        "session/new": [{"id": "$id", "error": {"code": -32000, "message": "Sign in first"}}],
    }
    file = project / "does.json"
    file.write_text(json.dumps(does))
    registry.register_provider("mine", [sys.executable, str(TESTS / "puppet.py"), str(file)])
    facts = facts_of(project, "mine")
    assert (facts.problem, facts.signed_in) == ("Sign in first", None)
    assert "Sign in" in facts.next_step
    assert (facts.returns, facts.mcp) == ("load", "stdio http")


def test_our_api_agent_is_asked_without_a_model(project: Path) -> None:
    facts = facts_of(project, "api")
    assert (facts.problem, facts.returns, facts.images) == (None, "resume", True)


@pytest.mark.parametrize("base", ["acp", "claude", "codex"])
def test_one_that_does_not_answer_is_ended_with_all_it_started(
    project: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    marker = f"{os.getpid()}{time.time_ns()}"
    script = project / "silent.py"
    script.write_text(
        "import subprocess, sys, time\n"
        f"code = 'import time; time.sleep(600)  # {marker}'\n"
        "subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    registry.register_provider("mine", [sys.executable, str(script)], extends=base)
    monkeypatch.setattr(asking_agents, "ASK_S", 2.0)
    assert str(facts_of(project, "mine").problem).startswith("no answer in")
    left = [pid for pid in os.listdir("/proc") if pid.isdigit() and marker in _command(pid)]
    assert left == []


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.real_agent
@pytest.mark.parametrize("name", ["claude", "codex"])
def test_a_real_agent_tells_who_is_signed_in_and_asks_no_model(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = f"{executable(name).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    home = tmp_path / "agent-home"
    home.mkdir()
    with ModelServer("no") as server:
        for key, value in recipes.RECIPES[name](home, server.url).items():
            monkeypatch.setenv(key, value)
        facts = facts_of(project, name)
        assert (facts.problem, facts.next_step, facts.tested) == (None, "", True)
        assert facts.models
        assert facts.modes
        assert facts.effort is True
        by = {"claude": "ANTHROPIC_API_KEY", "codex": "model_provider fake"}[name]
        assert facts.signed_in == by
        if name == "claude":
            assert {"opus", "sonnet"} <= set(facts.models)
            assert "compact" in (facts.commands or [])
            monkeypatch.delenv("ANTHROPIC_API_KEY")
        else:
            assert facts.models[0] == "gpt-5.1-codex", "what it is set to, then what it lists"
            assert len(facts.models) > 3
            (home / ".codex/config.toml").write_text("")
        facts = facts_of(project, name)
        assert (facts.problem, facts.signed_in) == (None, None)
        assert facts.next_step.startswith("sign in: ")
        assert server.requests == []
    kept = [file for file in home.rglob("*.jsonl") if "sessions" in str(file)]
    assert kept == [], "no session is left behind"
