"""Messages of an agent as real ones write them (claude, codex, opencode, pi, gemini, copilot), and
how tests put them into a journal, or change them beyond recognition."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterable
from typing import Any

import msgspec

from paseo_nb.history import History
from paseo_nb.model import Line

Json = dict[str, Any]
SESSION = "f888d5c5-2ea9-4764-953a-b7113697a38d"


def update(kind: str, /, **fields: Any) -> Json:
    """A `session/update`."""
    params = {"sessionId": SESSION, "update": {"sessionUpdate": kind, **fields}}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


def text(words: str) -> Json:
    return {"type": "text", "text": words}


def said(words: str, kind: str = "agent_message_chunk", **more: Any) -> Json:
    return update(kind, content=text(words), **more)


def result(ident: Any, /, **fields: Any) -> Json:
    return {"jsonrpc": "2.0", "id": ident, "result": fields}


def request(ident: Any, method: str, /, **params: Any) -> Json:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}


def call(ident: str, /, **fields: Any) -> dict[str, Any]:
    return update("tool_call", toolCallId=ident, **fields)


def more(ident: str, /, **fields: Any) -> dict[str, Any]:
    return update("tool_call_update", toolCallId=ident, **fields)


OPTIONS = [
    {"optionId": "allow-once", "name": "Yes", "kind": "allow_once"},
    {"optionId": "allow-with-updates", "name": "Yes, and don't ask again", "kind": "allow_always"},
    {"optionId": "reject", "name": "No", "kind": "reject_once"},
]
MODEL_OPTION = {
    "id": "model",
    "name": "Model",
    "category": "model",
    "type": "select",
    "currentValue": "opus",
    "options": [
        {"value": "opus", "name": "Opus"},
        {"group": "more", "name": "More", "options": [{"value": "haiku", "name": "Haiku"}]},
    ],
}
INITIALIZED = result(
    0,
    protocolVersion=1,
    agentInfo={
        "name": "@agentclientprotocol/claude-agent-acp",
        "title": "Claude Agent",
        "version": "0.100.0",
    },
    agentCapabilities={
        "_meta": {"claudeCode": {"promptQueueing": True}},
        "promptCapabilities": {"image": True, "embeddedContext": True},
        "mcpCapabilities": {"http": True, "sse": True},
        "loadSession": True,
        "sessionCapabilities": {"close": {}, "fork": {}, "list": {}, "resume": {}},
    },
    authMethods=[],
)
OPENED = result(
    1,
    sessionId=SESSION,
    modes={
        "currentModeId": "default",
        "availableModes": [{"id": "default", "name": "Manual"}, {"id": "plan", "name": "Plan"}],
    },
    models={
        "currentModelId": "gpt-6.1-sol[low]",
        "availableModels": [{"modelId": "gpt-6.1-sol[low]", "name": "6.1 Sol (low)"}],
    },
    configOptions=[MODEL_OPTION],
)
USAGE = {
    "inputTokens": 1111,
    "outputTokens": 42,
    "cachedReadTokens": 7007,
    "cachedWriteTokens": 303,
    "totalTokens": 8463,
}
ANSWERED = result(2, stopReason="end_turn", usage=USAGE, _meta={"quota": {"token_count": {}}})
PATH = "/home/u/project/hello.txt"
DIFF = {"type": "diff", "path": PATH, "oldText": None, "newText": "hello\n"}

# (kind in the journal, message)
MESSAGES: list[tuple[str, Json]] = [
    ("initialize:result", INITIALIZED),
    ("_auth/status_update", {"jsonrpc": "2.0", "method": "_auth/status_update", "params": {"authStatus": {"kind": "api_key"}}}),
    ("session/new:result", OPENED),
    ("available_commands_update", update("available_commands_update", availableCommands=[{"name": "init", "description": "guided setup", "input": {"hint": "x"}}])),
    ("session_info_update", update("session_info_update", title="please create it", updatedAt="2026-11-21T03:04:26.874Z")),
    ("session_info_update", update("session_info_update", _meta={"piAcp": {"queueDepth": 0, "running": True}})),
    ("agent_thought_chunk", said("hmm, thinking", "agent_thought_chunk", messageId="msg_69")),
    ("plan", update("plan", entries=[{"content": "look", "priority": "high", "status": "in_progress"}])),
    ("tool_call", update("tool_call", toolCallId="toolu_64", name="Write", title="Preparing file…", kind="edit", status="pending", content=[], locations=[], rawInput={}, _meta={"claudeCode": {"toolName": "Write"}})),
    ("tool_call_update", update("tool_call_update", toolCallId="toolu_64", title="Write hello.txt", rawInput={"file_path": PATH, "content": "hello\n"}, content=[DIFF], locations=[{"path": PATH, "line": 1}])),
    ("session/request_permission", request(0, "session/request_permission", sessionId=SESSION, toolCall={"toolCallId": "toolu_64", "title": "Write hello.txt", "kind": "edit", "status": "pending", "rawInput": {"file_path": PATH}, "content": [DIFF], "locations": [{"path": PATH}]}, options=OPTIONS)),
    ("session/request_permission", request("q-2", "session/request_permission", sessionId=SESSION, toolCall={"toolCallId": "toolu_64"}, options=OPTIONS)),
    ("tool_call_update", update("tool_call_update", toolCallId="toolu_64", status="completed", rawOutput="File created")),
    ("tool_call", update("tool_call", toolCallId="call_75", name="exec_command", kind="execute", title="printf hello", status="in_progress", content=[{"type": "terminal", "terminalId": "call_75"}], rawInput={"command": "printf hello", "cwd": "/home/u/project"})),
    ("tool_call_update", update("tool_call_update", toolCallId="call_75", status="failed", content=[{"type": "content", "content": text("exit code 1")}], rawOutput={"exit_code": 1})),
    ("tool_call_update", update("tool_call_update", toolCallId="call_gemini", status="completed", title="only an update", kind="edit", content=[DIFF])),
    ("usage_update", update("usage_update", used=8463, size=1000000, cost={"amount": 0.0246, "currency": "USD"}, _meta={"_claude/model": "claude-opus-5-5"})),
    ("current_mode_update", update("current_mode_update", currentModeId="plan")),
    ("config_option_update", update("config_option_update", configOptions=[MODEL_OPTION])),
    ("fs/read_text_file", request(3, "fs/read_text_file", sessionId=SESSION, path="/nonexistent/a", line=1, limit=2)),
    ("terminal/output", request(5, "terminal/output", sessionId=SESSION, terminalId="t1")),
    ("elicitation/create", request(6, "elicitation/create", sessionId=SESSION, message="?", mode="form")),
    ("_x/notice", {"jsonrpc": "2.0", "method": "_x/notice", "params": {"update": {"sessionUpdate": "plan"}}}),
    ("demo_unknown_update", update("demo_unknown_update", text="no client knows this kind")),
    ("plan_update", update("plan_update", plan={"type": "markdown", "planId": "p", "content": "# Plan"})),
    ("user_message_chunk", said("a message the agent queued", "user_message_chunk")),
    ("agent_message_chunk", said("DONE: tool r", messageId="msg_65")),
    ("agent_message_chunk", said("esult received", messageId="msg_65")),
    ("agent_message_chunk", update("agent_message_chunk", content={"type": "image", "mimeType": "image/png", "data": "AAAA"})),
    ("agent_message_chunk", update("agent_message_chunk", content={"type": "resource_link", "uri": "file:///a", "name": "a"})),
    ("agent_message_chunk", update("agent_message_chunk", content={"type": "resource", "resource": {"uri": "file:///b", "text": "inner"}})),
    ("session/set_config_option:result", result(7, configOptions=[MODEL_OPTION])),
    ("session/prompt:result", ANSWERED),
    ("session/prompt:error", {"jsonrpc": "2.0", "id": 2, "error": {"code": -32000, "message": "Authentication required", "data": {"details": "no key"}}}),
    ("unasked:result", result(987654321, anything="goes")),
]  # fmt: skip

ODD: list[Any] = [
    None, True, False, 0, -1, 3.7, 1e300, 2**70, "", "x", "0", "\x00", "/etc/passwd", "é🙂", "null",
    [], {}, [[]], [None], [{}], {"": None}, {"a": {"b": {}}}, [1, "2", None], {"type": 5},
    {"type": "text", "text": 7}, {"sessionUpdate": 1}, "session", "permission_request", "tool_call",
    "prompt_result", "agent_info", "x" * 5000,
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, but the whole."""
    found: list[tuple[Any, ...]] = []
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in inner:
        found += [(*path, key), *places(part, (*path, key))]
    return found


def mutated(message: Json, rng: random.Random, spare: Iterable[Any] = ()) -> Json:
    """The message with one to three places changed: other values, lost or doubled fields. Keys in
    `spare` are left as they are."""
    changed = copy.deepcopy(message)
    for _ in range(rng.randrange(1, 4)):
        somewhere = [place for place in places(changed) if place[0] not in spare]
        if not somewhere:
            return changed
        *path, key = rng.choice(somewhere)
        parent: Any = changed
        for part in path:
            parent = parent[part]
        match rng.randrange(5):
            case 0:
                del parent[key]
            case 1 if isinstance(parent, list):
                parent.insert(0, copy.deepcopy(rng.choice(ODD)))
            case 2:
                parent[key] = {"wrapped": parent[key]}
            case 3:
                parent[key] = [parent[key]]
            case _:
                parent[key] = copy.deepcopy(rng.choice(ODD))
    return changed


class Tape:
    """A journal in memory: lines as a supervisor would have written them."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.turn = 0

    def put(self, direction: Any, kind: str, message: Any) -> Tape:
        """One more line, a millisecond later."""
        raw = msgspec.Raw(json.dumps(message).encode())
        seq = len(self.lines) + 1
        self.lines.append(Line(seq, seq * 1000, seq * 1000, self.turn, direction, kind, raw))
        return self

    def own(self, kind: str, **facts: Any) -> Tape:
        return self.put("own", kind, facts)

    def take(self, *messages: Json, prefix: str = "") -> Tape:
        """Lines of the agent: updates by their own kind."""
        for message in messages:
            self.put("in", prefix + str(message["params"]["update"]["sessionUpdate"]), message)
        return self

    def begin(self, prompt: str = "do it", origin: str = "user") -> Tape:
        """A turn begins and its prompt is sent."""
        self.turn += 1
        self.own("turn_start", origin=origin, prompt=[text(prompt)], command_id=None)
        params = {"sessionId": SESSION, "prompt": [text(prompt)]}
        return self.put("out", "session/prompt", request(9, "session/prompt", **params))

    def end(self, outcome: str = "end_turn", answer: Json | None = None, **facts: Any) -> Tape:
        """The agent's answer, if any, and the turn's end."""
        if answer is not None:
            self.put("in", "session/prompt:result", answer)
        return self.own("turn_end", outcome=outcome, **facts)

    def history(self, provider: str = "") -> History:
        return History("acp", provider).feed(self.lines)


def snapshot(history: History) -> Any:
    """The story, to compare; how many lines tell it is no part of it."""
    turns = [msgspec.structs.replace(turn, last_seq=0) for turn in history.turns]
    told = (turns, history.items, history.tool_calls, history.permissions, history.title)
    return msgspec.to_builtins(
        (*told, history.session_id, history.agent_name, history.plan, history.commands),
        enc_hook=str,
    )
