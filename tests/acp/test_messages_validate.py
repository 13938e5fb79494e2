"""Every message that we send is valid in the official SDK's models, and has no field that they do
not know. The messages are those of journals (`out` lines) of sessions that use everything."""

from __future__ import annotations

import base64
import json
from typing import Any

from acp import schema
from kit import Project, check_invariants

from paseo_nb.model import Limits, Line

REQUESTS = {
    "initialize": schema.InitializeRequest,
    "authenticate": schema.AuthenticateRequest,
    "session/new": schema.NewSessionRequest,
    "session/load": schema.LoadSessionRequest,
    "session/resume": schema.ResumeSessionRequest,
    "session/prompt": schema.PromptRequest,
    "session/cancel": schema.CancelNotification,
    "session/set_mode": schema.SetSessionModeRequest,
    "session/set_config_option": schema.SetSessionConfigOptionSelectRequest,
}
RESULTS = {
    "session/request_permission:result": schema.RequestPermissionResponse,
    "fs/read_text_file:result": schema.ReadTextFileResponse,
    "fs/write_text_file:result": schema.WriteTextFileResponse,
    "terminal/create:result": schema.CreateTerminalResponse,
    "terminal/output:result": schema.TerminalOutputResponse,
    "terminal/wait_for_exit:result": schema.WaitForTerminalExitResponse,
    "terminal/kill:result": schema.KillTerminalResponse,
    "terminal/release:result": schema.ReleaseTerminalResponse,
}
NOTIFICATIONS = {"session/cancel"}
MCP = [
    {"name": "stdio", "command": "/bin/true", "args": ["-x"], "env": [{"name": "A", "value": "b"}]},
    {"type": "http", "name": "web", "url": "http://127.0.0.1:9/mcp", "headers": []},
]
BLOCKS = [
    {"type": "text", "text": "look at these"},
    {"type": "image", "mimeType": "image/png", "data": base64.b64encode(b"png").decode()},
    {
        "type": "resource",
        "resource": {"uri": "file:///a.py", "mimeType": "text/x-python", "text": "1"},
    },
    {"type": "resource_link", "uri": "file:///b.bin", "name": "b.bin"},
]


def check(model: Any, value: Any) -> None:
    """Valid, and nothing in it that the model does not know."""
    parsed = model.model_validate(value, strict=True)
    assert parsed.model_dump(mode="json", by_alias=True, exclude_unset=True) == value


def validate(lines: list[Line]) -> set[str]:
    """Check every `out` line; the kinds that there were."""
    seen: set[str] = set()
    ids: list[int] = []
    for line in lines:
        if line.dir != "out":
            continue
        message = json.loads(bytes(line.raw))
        assert message.pop("jsonrpc") == "2.0"
        seen.add(line.kind)
        if line.kind in REQUESTS:
            assert message.pop("method") == line.kind
            if line.kind not in NOTIFICATIONS:
                ids.append(message.pop("id"))
            check(REQUESTS[line.kind], message.pop("params"))
        elif line.kind in RESULTS:
            message.pop("id")
            check(RESULTS[line.kind], message.pop("result"))
        else:
            assert line.kind == "error"
            message.pop("id")
            check(schema.Error, message.pop("error"))
        assert not message, f"more than the protocol has: {message}"
    assert len(ids) == len(set(ids)), "an id is used once in a process"
    return seen


def test_a_session_with_everything(project: Project) -> None:
    read, gone = str(project.root / "a.txt"), str(project.root / "gone.txt")
    (project.root / "a.txt").write_text("one\ntwo\nthree\n")

    def ask(method: str, **params: Any) -> dict[str, Any]:
        return {"request": {"method": method, "params": params}}

    script = [
        [
            ask("fs/read_text_file", path=read, line=2, limit=1),
            ask("fs/read_text_file", path=gone),
            ask("fs/read_text_file", path="relative.txt"),
            {"write": {"path": "b.txt", "text": "written\n"}},
            {"terminal": "echo out; exit 3"},
            {"terminal": {"command": "sleep 60", "kill": True}},
            ask("terminal/output", terminalId="none"),
            ask("terminal/create", command="/no/such/program"),
            ask("elicitation/create", message="?", mode="form"),
            ask("_vendor/anything"),
            {"permission": {"title": "Run it", "bare": True}},
        ],
        [{"permission": {"title": "Never answered"}}],
        [{"say": "I am back."}],
    ]
    run_id = project.start(
        script=script,
        mode="ask",
        auth_method="demo-login",
        mcp=MCP,
        model="script",
        model_by="session",
        agent_mode="auto",
        effort="high",
        limits=Limits(permission_timeout_s=30, idle_s=60),
    )

    def asked(count: int) -> Any:
        history = project.history(run_id)
        return len(history.permissions) == count and history.open_permissions()

    (waiting,) = project.until(lambda: asked(1), 30)
    project.command(run_id, "answer", permission=waiting.id, allow=True)
    history = project.ended(run_id)
    assert history.turns[0].outcome == "end_turn"
    assert "Permission: allow_once" in history.text
    project.command(run_id, "send", prompt=BLOCKS)
    project.until(lambda: asked(2), 20)
    project.command(run_id, "cancel")
    assert project.ended(run_id, turns=2).turns[1].outcome == "cancelled"
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "again")
    history = project.ended(run_id, turns=3)
    assert history.text == "I am back."
    seen: set[str] = set()
    for process in processes(project.lines(run_id)):
        seen |= validate(process)
    assert seen == {*REQUESTS, *RESULTS, "error"} - {"session/load"}
    answers = [item.text for item in history.items if item.turn == 1 and item.kind == "message"]
    assert "{'content': 'two\\n'}" in "".join(answers)
    for code in ("-32002", "-32601", "-32602", "-32603"):
        assert code in "".join(answers), "each error by its own code"
    check_invariants(project, run_id)


def processes(lines: list[Line]) -> list[list[Line]]:
    """The lines of each launch of the agent."""
    parts: list[list[Line]] = [[]]
    for line in lines:
        if (line.dir, line.kind) == ("own", "agent_started"):
            parts.append([])
        parts[-1].append(line)
    return parts


def test_an_agent_without_resume_and_with_fewer_abilities(project: Project) -> None:
    """`session/load`, blocks turned into what it takes, a boolean option, the older set_model."""
    option = {
        "id": "think",
        "name": "Think",
        "category": "thought_level",
        "type": "boolean",
        "currentValue": False,
    }
    models = {
        "currentModelId": "a",
        "availableModels": [{"modelId": "a", "name": "A"}, {"modelId": "b", "name": "B"}],
    }
    state = {"configOptions": [option], "models": models}
    does = {
        "session/new": [{"id": "$id", "result": {"sessionId": "puppet-session", **state}}],
        "session/load": [{"id": "$id", "result": state}],
        "session/set_config_option": [{"id": "$id", "result": {"configOptions": [option]}}],
        "session/prompt": [[{"id": "$id", "result": {"stopReason": "end_turn"}}]],
    }
    command = project.puppet(does)
    run_id = project.start(command=command, model="b", model_by="session", effort="on")
    project.ended(run_id)
    project.command(run_id, "send", prompt=[block for block in BLOCKS if block["type"] != "image"])
    project.ended(run_id, turns=2)
    project.command(run_id, "send", prompt=BLOCKS)
    history = project.ended(run_id, turns=3)
    assert history.turns[2].outcome == "error"
    assert history.error is not None
    assert "takes no images" in history.error.message
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.send(run_id, "again")
    project.ended(run_id, turns=4)
    got = project.got(command)
    methods = [message.get("method") for message in got]
    assert methods.count("session/load") == 1
    prompts = [message["params"] for message in got if message.get("method") == "session/prompt"]
    for params in prompts:
        check(schema.PromptRequest, params)
    assert [block["type"] for block in prompts[1]["prompt"]] == ["text", "text", "resource_link"]
    assert "file:///a.py" in prompts[1]["prompt"][1]["text"]
    for message in got:
        if message.get("method") == "session/load":
            check(schema.LoadSessionRequest, message["params"])
        elif message.get("method") == "session/set_config_option":
            check(schema.SetSessionConfigOptionBooleanRequest, message["params"])
            assert message["params"]["value"] is True
        elif message.get("method") == "session/set_model":
            assert message["params"] == {"sessionId": "puppet-session", "modelId": "b"}
    assert {"session/set_model", "session/set_config_option"} <= set(methods)
    check_invariants(project, run_id)
