"""Claude Code's tools in ACP's words: kind, title, places, what changes, and the ways to answer.

Pure functions from a tool's name and input; both halves of the dialect use them, so that a
permission is answered by the options that were shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model import Rule
from .acp_reading import Json, as_dict, as_list, as_str

KINDS = {
    "Read": "read",
    "NotebookRead": "read",
    "LSP": "read",
    "ListMcpResourcesTool": "read",
    "ReadMcpResourceTool": "read",
    "TaskOutput": "read",
    "BashOutput": "read",
    "Glob": "search",
    "Grep": "search",
    "LS": "search",
    "ToolSearch": "search",
    "Edit": "edit",
    "MultiEdit": "edit",
    "Write": "edit",
    "NotebookEdit": "edit",
    "Bash": "execute",
    "PowerShell": "execute",
    "KillShell": "execute",
    "TaskStop": "execute",
    "WebFetch": "fetch",
    "WebSearch": "fetch",
    "Task": "think",
    "Agent": "think",
    "Skill": "think",
    "TodoWrite": "think",
    "TaskCreate": "think",
    "TaskGet": "think",
    "TaskList": "think",
    "TaskUpdate": "think",
    "EnterPlanMode": "switch_mode",
    "ExitPlanMode": "switch_mode",
}
# Tools that must not run in a mode which lets only looking pass: for the hook that sees to it.
CHANGING = "|".join(
    [
        *(name for name, kind in KINDS.items() if kind in ("edit", "execute", "fetch")),
        "Monitor",
        "REPL",
        "SendMessage",
        "EnterWorktree",
        "Cron.*",
        "mcp__.*",
    ]
)
ANSWER_TOOL = "StructuredOutput"  # by which the model hands over what a schema asks for
OPTIONS: list[Json] = [
    {"optionId": "allow", "name": "Allow", "kind": "allow_once"},
    {"optionId": "allow_always", "name": "Allow always", "kind": "allow_always"},
    {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
]
_PATHS = ("file_path", "notebook_path", "path")


def tool_kind(name: str) -> str:
    """ACP's kind of a tool; "other" for one that is not known, MCP tools among them."""
    return KINDS.get(name, "other")


def describe(name: str, given: Json) -> Json:
    """A tool call's title, kind, input, places and (for an edit) what it would change."""
    paths = [path for key in _PATHS if (path := as_str(given.get(key)))]
    told: Json = {
        "title": _title(name, given),
        "kind": tool_kind(name),
        "rawInput": given,
        "locations": [{"path": path} for path in paths],
    }
    content = _changes(name, given, paths)
    return {**told, "content": content} if content else told


def _title(name: str, given: Json) -> str:
    for key in ("command", *_PATHS, "pattern", "url", "query", "description", "skill"):
        said = as_str(given.get(key))
        if said:
            return said if key == "command" else f"{name} {said}"
    if name.startswith("mcp__"):
        server, _, tool = name.removeprefix("mcp__").partition("__")
        return f"{tool} ({server})" if tool else name
    return name


def _changes(name: str, given: Json, paths: list[str]) -> list[Json]:
    if name == "ExitPlanMode" and as_str(given.get("plan")):
        return [{"type": "content", "content": {"type": "text", "text": given["plan"]}}]
    if not paths:
        return []
    if name == "Write" and as_str(given.get("content")) is not None:
        return [{"type": "diff", "path": paths[0], "oldText": None, "newText": given["content"]}]
    edits = as_list(given.get("edits")) if name == "MultiEdit" else [given]
    return [
        {
            "type": "diff",
            "path": paths[0],
            "oldText": as_str(edit.get("old_string")),
            "newText": as_str(edit.get("new_string")) or "",
        }
        for edit in map(as_dict, edits)
        if name in ("Edit", "MultiEdit") and "new_string" in edit
    ]


def plan_of(name: str, given: Json) -> list[Json] | None:
    """The entries of a plan, where the call tells one."""
    if name != "TodoWrite":
        return None
    return [
        {
            "content": as_str(todo.get("content")) or "",
            "status": as_str(todo.get("status")) or "pending",
            "priority": as_str(todo.get("priority")) or "medium",
        }
        for todo in map(as_dict, as_list(given.get("todos")))
    ]


def permission(request: Json) -> tuple[Json, list[Json]]:
    """A `can_use_tool` request as ACP's tool call and options."""
    name = as_str(request.get("tool_name")) or "tool"
    given = as_dict(request.get("input"))
    ident = as_str(request.get("tool_use_id"))
    call = {"toolCallId": ident, "toolName": name, **describe(name, given)}
    if as_str(request.get("agent_id")):
        call["_meta"] = {"agent_id": request["agent_id"]}
    return call, OPTIONS


def hooked(rules: Sequence[Rule]) -> str:
    """The tools that the hook is to be asked about: what changes anything, for mode `read`, which
    may be set later; every tool where a rule denies something."""
    return "*" if any(rule.verdict == "deny" for rule in rules) else CHANGING


def call_of(request: Json) -> Json | None:
    """A `hook_callback` before a tool as ACP's tool call; None for the answer to a schema."""
    told = as_dict(request.get("input"))
    name = as_str(told.get("tool_name")) or "tool"
    if name == ANSWER_TOOL:
        return None
    return {
        "toolCallId": as_str(request.get("tool_use_id")),
        **describe(name, as_dict(told.get("tool_input"))),
    }


def result_content(content: Any) -> list[Json]:
    """A tool result's content as ACP's: text and images."""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    told: list[Json] = []
    for block in map(as_dict, as_list(content)):
        source = as_dict(block.get("source"))
        if block.get("type") == "text":
            told.append({"type": "text", "text": as_str(block.get("text")) or ""})
        elif block.get("type") == "image" and as_str(source.get("data")):
            image = {"data": source["data"], "mimeType": source.get("media_type")}
            told.append({"type": "image", **image})
    return [{"type": "content", "content": block} for block in told]
