"""The demo agent speaks correct ACP in every scenario: each line is checked against the SDK's
models, and the SDK's own client can drive it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from acp import PROTOCOL_VERSION, spawn_agent_process, text_block
from acp.schema import AllowedOutcome, RequestPermissionResponse

from paseo_nb.programs.demo.scenarios import SCENARIOS
from paseo_nb.programs.demo.steps import VERBS

if TYPE_CHECKING:
    from .conftest import Launch

PROMPTS = {
    "asker": "run: echo hi",
    "flood": "count=2000",
    "slow": "seconds=0.6",
    "silent": "seconds=0.1",
    "sleep": "seconds=0.1",
    "bigline": "bytes=300kB",
    "stderr": "bytes=50_000",
    "stubborn": "seconds=1",
    "late": "after=0.01 count=2",
    "children": "seconds=5",
    "secrets": "PATH DEMO_SECRET",
    "hostile": "ask=1",
    "nested": "run: echo nested",
}
KINDS = {
    "user_message_chunk",
    "agent_message_chunk",
    "agent_thought_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
    "available_commands_update",
    "current_mode_update",
    "config_option_update",
    "session_info_update",
    "usage_update",
}
STOPS = {"refuse": "refusal", "maxtokens": "max_tokens"}
PLAYABLE = [s.name for s in SCENARIOS if s.name not in ("crash", "exit", "error")]


@pytest.mark.parametrize("name", PLAYABLE)
def test_every_line_of_every_scenario_is_valid(launch: Launch, repo: Path, name: str) -> None:
    demo = launch("--model", name, env={"DEMO_SECRET": 'quo"te\\and\nline é'})
    demo.start(repo, fs=True, terminal=True)
    answer = demo.prompt(PROMPTS.get(name, "please do it"))
    assert answer["result"]["stopReason"] == STOPS.get(name, "end_turn")
    assert demo.updates("usage_update")
    assert name == "garbage" or demo.bad_lines == []
    if name in ("late", "children"):
        demo.until(lambda d: "after the turn's" in d.text() or d.text().startswith("Left"))
    if name == "terminal":
        assert {m.split("/")[1] for m in demo.terminals.used} == {
            *("create", "output", "wait_for_exit", "kill", "release")
        }


def test_every_update_kind_is_used(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "modes")
    demo.start(repo)
    for text in ("switch", "/usage calls=1", "/terminal", "/echo hello", "/fixer please"):
        demo.prompt(text)
    demo.call("session/load", sessionId=demo.session, cwd=str(repo), mcpServers=[])
    assert {update["sessionUpdate"] for update in demo.updates()} == KINDS
    contents = [c for u in demo.updates("tool_call_update") for c in u.get("content", [])]
    assert {content["type"] for content in contents} == {"content", "diff"}
    started = demo.updates("tool_call")
    assert all("rawInput" in call for call in started)
    assert any(call.get("locations") for call in started)
    assert any("rawOutput" in update for update in demo.updates("tool_call_update"))


def test_initialize_says_that_it_is_scripted(launch: Launch) -> None:
    result = launch().initialize()["result"]
    assert "scripted" in result["agentInfo"]["title"]
    can = result["agentCapabilities"]
    assert can["loadSession"] is True
    assert set(can["sessionCapabilities"]) == {"list", "fork", "resume", "close"}
    assert can["promptCapabilities"] == {"image": True, "embeddedContext": True}
    assert can["mcpCapabilities"] == {"http": True}


class SdkClient:
    """A client as the SDK wants it; says yes to everything."""

    def __init__(self) -> None:
        self.updates: list[Any] = []

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)

    async def request_permission(self, session_id: str, tool_call: Any, options: Any, **_: Any):
        chosen = AllowedOutcome(option_id=options[0].option_id, outcome="selected")
        return RequestPermissionResponse(outcome=chosen)

    def on_connect(self, conn: Any) -> None:
        pass


def test_the_sdk_client_can_drive_it(home: Path, repo: Path) -> None:
    async def drive() -> None:
        client = SdkClient()
        env = {"PASEO_DEMO_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
        argv = ["-m", "paseo_nb.programs.demo", "--model", "fixer", "--pace", "0"]
        async with spawn_agent_process(client, sys.executable, *argv, env=env) as (conn, _):  # type: ignore[arg-type]
            await conn.initialize(protocol_version=PROTOCOL_VERSION)
            new = await conn.new_session(cwd=str(repo), mcp_servers=[])
            first = await conn.prompt(session_id=new.session_id, prompt=[text_block("fix it")])
            assert first.stop_reason == "end_turn"
            await conn.set_session_mode(session_id=new.session_id, mode_id="auto")
            chosen = await conn.set_config_option("model", new.session_id, "echo")
            assert chosen is not None
            second = await conn.prompt(session_id=new.session_id, prompt=[text_block("hello")])
            assert first.usage is not None
            assert second.usage is not None
            assert (second.usage.cached_read_tokens or 0) > 10 * second.usage.input_tokens
            listed = await conn.list_sessions(cwd=str(repo))
            assert [s.session_id for s in listed.sessions] == [new.session_id]
            await conn.close_session(new.session_id)
            await conn.load_session(session_id=new.session_id, cwd=str(repo), mcp_servers=[])
            await conn.resume_session(session_id=new.session_id, cwd=str(repo), mcp_servers=[])
        kinds = {update.session_update for update in client.updates}
        assert {"tool_call", "plan", "user_message_chunk", "usage_update"} <= kinds

    asyncio.run(asyncio.wait_for(drive(), 60))
    tests = subprocess.run([sys.executable, "-B", "-m", "unittest"], cwd=repo, capture_output=True)
    assert tests.returncode == 0


def test_errors_name_what_is_known(launch: Launch, repo: Path) -> None:
    demo = launch("--model", "slow")
    demo.start(repo)
    one = demo.session
    assert demo.call("session/nonsense")["error"]["code"] == -32601
    assert demo.call("session/new")["error"]["code"] == -32602
    assert demo.call("session/prompt", sessionId="demo_none", prompt=[])["error"]["code"] == -32002
    assert (
        demo.call("session/load", sessionId="../../etc/passwd", cwd="/")["error"]["code"] == -32002
    )
    bad = demo.call("session/set_mode", sessionId=one, modeId="bold")["error"]
    assert "acceptEdits" in bad["message"]
    bad = demo.call("session/set_config_option", sessionId=one, configId="model", value="gpt")
    assert "fixer" in bad["error"]["message"]
    bad = demo.call("session/set_model", sessionId=one, modelId="gpt")["error"]
    assert "fixer" in bad["message"]
    demo.write(b"{nonsense\n[1]\n")
    demo.until(lambda d: sum("error" in m and m["id"] is None for m in d.messages) == 2)
    first = demo.ask("seconds=5")
    assert "running" in demo.prompt("another")["error"]["message"]
    demo.cancel()
    assert demo.result(first)["result"]["stopReason"] == "cancelled"


def test_settings(launch: Launch, repo: Path) -> None:
    demo = launch()
    demo.start(repo)
    demo.call("session/set_model", sessionId=demo.session, modelId="echo")
    demo.until(lambda d: d.updates("config_option_update"))
    (told,) = demo.updates("config_option_update")
    assert told["configOptions"][0]["currentValue"] == "echo"
    set_effort = {"configId": "effort", "value": "high"}
    answer = demo.call("session/set_config_option", sessionId=demo.session, **set_effort)
    assert [o["currentValue"] for o in answer["result"]["configOptions"]] == ["echo", "high"]
    demo.prompt("one two")
    assert "user message 1 of this session is: one two" in demo.text()


@pytest.mark.parametrize("prompt", [[], [{"type": "text", "text": " \n"}]])
def test_an_empty_prompt_is_handled(launch: Launch, repo: Path, prompt: list[Any]) -> None:
    demo = launch()
    demo.start(repo)
    assert demo.prompt(prompt)["result"]["stopReason"] == "end_turn"
    assert "empty" in demo.text()


def test_a_wrong_script_or_name_names_the_known_ones(tmp_path: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "paseo_nb.programs.demo", *args]
        root = Path(__file__).parents[2]
        return subprocess.run(argv, capture_output=True, text=True, cwd=root, input="")

    script = tmp_path / "s.json"
    script.write_text('[[{"say": "x"}], [{"sing": "la"}]]')
    wrong = run("--script", str(script))
    assert wrong.returncode == 2
    assert "turn 2, step 1" in wrong.stderr
    assert all(verb in wrong.stderr for verb in VERBS)
    script.write_text('{"say": "x"}')
    assert run("--script", str(script)).returncode == 2
    wrong = run("--model", "gpt")
    assert wrong.returncode == 2
    assert "fixer" in wrong.stderr
    listed = run("--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [scenario.name for scenario in SCENARIOS]
    assert '{"say": "text"}' in run("--steps").stdout


def test_it_imports_nothing_heavy(launch: Launch) -> None:
    code = (
        "import sys, paseo_nb.programs.demo.__main__\n"
        "print(*[m for m in sys.modules if m.split('.')[0] not in sys.stdlib_module_names])"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    ours = [m for m in found.stdout.split() if m.startswith("paseo_nb.")]
    assert ours
    assert all(m.startswith("paseo_nb.programs") for m in ours)
    heavy = {"pydantic", "pandas", "duckdb", "IPython", "anyio", "git", "acp", "numpy"}
    assert heavy.isdisjoint(m.split(".")[0] for m in found.stdout.split())
