"""Claude Code's dialect held against the vendor's own SDK (claude-agent-sdk, in the version that
belongs to the pinned CLI): what we write has the shape of what it writes, what we read it reads alike.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import claude_agent_sdk as sdk
import pytest
from claude_agent_sdk import _cli_version
from claude_agent_sdk._internal.message_parser import parse_message
from kit import Project

import paseo_nb as paseo
from paseo_nb import pinned
from tests.claude.test_fake_claude import BEGUN, FAKE, Stage, asks, result, says
from tests.modelserver import ModelServer, behaviours

ALLOW_RULE = {"type": "setMode", "mode": "acceptEdits", "destination": "session"}
DONE = result(duration_ms=1, duration_api_ms=1, num_turns=1, session_id="$session")
WORKING = says("working") | {"uuid": "e1", "session_id": "$session"}
TURNS = [
    [BEGUN, asks("q1", permission_suggestions=[ALLOW_RULE]), {"await": "control_response"},
     asks("q2"), {"await": "control_response"}, DONE],
    [BEGUN, WORKING, asks("q3"), {"await": "control_response"}, {"sleep": 0.3}, DONE],
    [BEGUN, asks("h1", "hook_callback", callback_id="$hook", tool_use_id="t1",
                 input={"hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {}}),
     {"await": "control_response"}, DONE],
]  # fmt: skip

# By message: what we write and the SDK does not, and the other way round.
OURS = {
    # The id is that by which the message's fate is told; blocks, as there may be pictures.
    "user": {".uuid: str", ".message.content[].type: str", ".message.content[].text: str"},
    "interrupt": {".request.cancel_queued: bool"},  # what was sent in mid-turn ends with it
}
THEIRS = {"user": {".message.content: str"}}


@pytest.fixture
def stage(project: Project) -> Stage:
    return Stage(project)


def named(message: dict[str, Any]) -> str:
    """Which message it is: a request's subtype, the id that is answered, else its type."""
    if message["type"] == "control_request":
        return str(message["request"]["subtype"])
    return str(message.get("response", {}).get("request_id") or message["type"])


def keys(value: Any, path: str = "") -> set[str]:
    """The paths of all members, with the types of the last ones."""
    if isinstance(value, dict):
        return {found for name, one in value.items() for found in keys(one, f"{path}.{name}")}
    if isinstance(value, list):
        return {found for one in value for found in keys(one, f"{path}[]")}
    return {f"{path}: {type(value).__name__}"}


async def by_the_sdk(stage: Stage, program: Path) -> list[dict[str, Any]]:
    """The SDK plays the two turns; what it wrote."""

    async def may(name: str, given: Any, context: sdk.ToolPermissionContext) -> Any:
        asked.append(name)
        if len(asked) == 1:
            return sdk.PermissionResultAllow(updated_input=given)
        return sdk.PermissionResultDeny(message="not that one", interrupt=len(asked) == 3)

    async def look(given: Any, tool_use_id: str | None, context: Any) -> Any:
        return {"hookSpecificOutput": {
            "hookEventName": "PreToolUse", "permissionDecision": "deny",
            "permissionDecisionReason": "read only",
        }}  # fmt: skip

    asked: list[str] = []
    hooks: Any = {"PreToolUse": [sdk.HookMatcher(matcher="Bash", hooks=[look])]}
    options = sdk.ClaudeAgentOptions(cli_path=str(program), can_use_tool=may, hooks=hooks)
    async with sdk.ClaudeSDKClient(options) as client:
        await client.set_model("opus")
        await client.set_permission_mode("default")
        await client.query("hello")
        async for _ in client.receive_response():
            pass
        await client.query("again")
        async for message in client.receive_messages():
            if isinstance(message, sdk.StreamEvent):
                await client.interrupt()
            elif isinstance(message, sdk.ResultMessage):
                break
        await client.query("look")
        async for _ in client.receive_response():
            pass
    return stage.got()


def test_what_we_write_has_the_shape_of_what_the_sdk_writes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = stage.project
    run_id = stage.start(*TURNS, mode="ask", agent_mode="default", model_by="session")

    def question(number: int) -> Any:
        return project.until(lambda: (stage.history(run_id).open_permissions() or [None])[0]
                             if len(stage.history(run_id).permissions) == number else None, 20)  # fmt: skip

    project.command(run_id, "answer", permission=question(1).id, allow=True)
    project.command(
        run_id, "answer", permission=question(2).id, allow=False, message="not that one"
    )
    stage.ended(run_id, 1)
    project.send(run_id, "again")
    question(3)
    project.command(run_id, "cancel")
    stage.ended(run_id, 2)
    project.command(run_id, "set_mode", mode="read")
    project.send(run_id, "look")
    stage.ended(run_id, 3)
    ours = {named(message): message for message in stage.got()}

    Path(f"{stage.script}.got").unlink()
    program = project.root / "claude"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} {stage.script} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("CLAUDE_AGENT_SDK_SKIP_VERSION_CHECK", "1")
    theirs = {named(message): message for message in asyncio.run(by_the_sdk(stage, program))}

    both = {"initialize", "set_model", "set_permission_mode", "interrupt", "user"}
    both |= {"q1", "q2", "q3", "h1"}  # the answers to questions, and to the hook
    assert both <= set(ours)
    assert set(theirs) == both
    for name in both:
        assert keys(ours[name]) - keys(theirs[name]) == OURS.get(name, set()), name
        assert keys(theirs[name]) - keys(ours[name]) == THEIRS.get(name, set()), name


@pytest.mark.real_agent
def test_what_we_read_the_sdk_reads_alike(repo: Path, server: ModelServer) -> None:
    assert _cli_version.__cli_version__ == pinned.AGENTS["claude"].version
    server.enqueue(
        behaviours.think("let me see", "I look."), behaviours.write("made.txt", "made\n"),
        behaviours.command("echo out; exit 3"), "It is done.",
    )  # fmt: skip
    run = paseo.run("claude/sonnet", "look", mode="auto", timeout=100)
    run.send("write and run").wait(100)
    server.enqueue(behaviours.error(429, "too many requests today", times=None))
    run.send("again").wait(100, check=False)
    run.stop()
    history = run.history()
    control = {"control_request", "control_response", "control_cancel_request"}
    told = [json.loads(bytes(line.raw)) for line in Project(repo).lines(run.id) if line.dir == "in"]
    read = [parse_message(one) for one in told if one["type"] not in control]
    blocks = [b for m in read if isinstance(m, sdk.AssistantMessage) for b in m.content]
    uses = [block for block in blocks if isinstance(block, sdk.ToolUseBlock)]
    calls = list(history.tool_calls.values())
    assert [(u.id, u.name, u.input) for u in uses] == [
        (c.tool_call_id, c.tool_name, c.input) for c in calls
    ]
    given = [b for m in read if isinstance(m, sdk.UserMessage) for b in m.content]
    failed = {b.tool_use_id: bool(b.is_error) for b in given if isinstance(b, sdk.ToolResultBlock)}
    assert failed == {c.tool_call_id: c.outcome == "failed" for c in calls}
    results = [m for m in read if isinstance(m, sdk.ResultMessage)]
    assert [m.is_error for m in results] == [t.outcome == "error" for t in history.turns]
    assert [m.result for m in results[:2]] == [t.text for t in history.turns[:2]]
    assert {m.session_id for m in results} == {run.session_id}
    assert results[-1].total_cost_usd == pytest.approx(run.usage.cost_usd)
    usage = [m.usage or {} for m in results]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert [sum(one[name] for name in names) for one in usage[:2]] == [
        turn.usage.input_tokens for turn in history.turns[:2]
    ]
    assert [u["output_tokens"] for u in usage[:2]] == [
        turn.usage.output_tokens for turn in history.turns[:2]
    ]
    said = "".join(b.text for b in blocks if isinstance(b, sdk.TextBlock))
    streamed = [m.event.get("delta", {}) for m in read if isinstance(m, sdk.StreamEvent)]
    assert "".join(d.get("text", "") for d in streamed) in said
