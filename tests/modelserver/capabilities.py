"""What differs from CLI to CLI: the names of tools and arguments, and how results are dressed up.

A script wants `shell`; this file finds the offered tool that does it (`bash`, …), fills in its
arguments as the offered schema spells them, and undresses what the tool gave back.
"""

from __future__ import annotations

import base64
import itertools
import json
import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from .conversation import TOOL_SEARCH, Capability, Conversation, Tool, ToolCall, Use

TOOL_NAMES: dict[Capability, tuple[str, ...]] = {
    "read": ("read", "read_file", "view"),
    "edit": ("edit", "edit_file", "replace", "str_replace"),
    "write": ("write", "write_file", "create"),
    "shell": ("bash", "run_shell_command", "shell", "exec_command", "run_command", "exec"),
    "answer": ("structuredoutput", "final_result"),
}
ARGUMENT_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("filePath", "file_path", "path", "absolute_path"),
    "old": ("oldString", "old_string", "old_str", "oldText", "old"),
    "new": ("newString", "new_string", "new_str", "newText", "new"),
    "content": ("content", "contents", "file_text", "text"),
    "command": ("command", "cmd"),
}
_WORKING_FOLDER = re.compile(
    r"Working directory: (?P<opencode>/.*)|\*\*Workspace Directories:\*\*\n\s*- (?P<gemini>/.*)"
    r"|[Ww]orking directory: (?P<others>/.*)|<cwd>(?P<codex>/.*)</cwd>"
)
# opencode numbers the lines of a file and wraps it in tags; gemini wraps a command's output
_OPENCODE_FILE = re.compile(r"<content>\n(.*?)\n\n\(.*?\)\n</content>", re.DOTALL)
_LINE_NUMBER = re.compile(r"^ *\d+(?:: ?|\| ?|\t|→)", re.MULTILINE)
_NUMBERED_FILE = re.compile(r"\A(?: *\d+(?:\t|→).*\n?)+\Z")
_GEMINI_OUTPUT = re.compile(
    r"<untrusted_context>\n(?:Output: )?(.*?)\n(?:(?:Exit Code|Process Group PGID): .*\n)*"
    r"</untrusted_context>",
    re.DOTALL,
)
_CODEX_OUTPUT = re.compile(
    r"(?:Process exited with code \d+|Script completed)\n(?:.*\n)*?Output:\n+(.*)", re.DOTALL
)
_SUCCESS = "success: the file is written"
_ids = itertools.count(1)


class NoSuchTool(LookupError):
    """The CLI offers no tool for a capability, or one whose arguments we do not know."""


def capability_of(tool_name: str) -> Capability | None:
    """Which capability the CLI's own tool has; None for tools that scripts do not use."""
    lowered = tool_name.lower()
    return next((c for c, names in TOOL_NAMES.items() if lowered in names), None)


def tool_call(use: Use, conversation: Conversation) -> ToolCall:
    """The call of the offered tool that does what `use` says; raises NoSuchTool.

    A relative path becomes absolute where the CLI told the model its working folder, as real
    models do: the CLIs accept both, but show what they were given. What has no tool of its own
    is done by the shell, as Codex's models do.
    """
    call_id = f"call_{next(_ids)}"
    if exec_tool := next((t for t in conversation.tools if t.custom and t.name == "exec"), None):
        return ToolCall(call_id, "exec", text=_code(use), namespace=exec_tool.namespace)
    if use.capability == "mcp":
        return _mcp_call(call_id, use.arguments, conversation)
    tool = _offered(use.capability, conversation.tools)
    if tool is None and use.capability in ("read", "write", "edit"):
        use = Use("shell", {"command": _by_shell(use)})
        tool = _offered("shell", conversation.tools)
    if tool is None:
        offered = ", ".join(t.name for t in conversation.tools) or "none"
        raise NoSuchTool(f"no tool for {use.capability!r} among the offered ones: {offered}")
    if use.capability == "answer":
        return ToolCall(call_id, tool.name, use.arguments["value"])
    return ToolCall(call_id, tool.name, _arguments(use, tool, conversation), None, tool.namespace)


def _offered(capability: Capability, tools: Sequence[Tool]) -> Tool | None:
    named = {t.name.lower(): t for t in tools}
    return next((named[n] for n in TOOL_NAMES[capability] if n in named), None)


def _arguments(use: Use, tool: Tool, conversation: Conversation) -> dict[str, Any]:
    properties: Mapping[str, Any] = tool.schema.get("properties", {})
    arguments: dict[str, Any] = {}
    where = properties
    if "edits" in properties and use.capability == "edit":  # several in one call: pi
        where = {**properties, **properties["edits"].get("items", {}).get("properties", {})}
    for ours, value in use.arguments.items():
        theirs = next((n for n in ARGUMENT_NAMES[ours] if n in where), None)
        if theirs is None:
            raise NoSuchTool(f"{tool.name} has no argument for {ours!r}, only {list(where)}")
        if ours == "path":
            value = posixpath.join(working_folder(conversation), value)
        if ours == "command" and where[theirs].get("type") == "array":
            value = ["bash", "-lc", value]
        arguments[theirs] = value
    inner = {n: arguments.pop(n) for n in list(arguments) if n not in properties}
    if inner:
        arguments["edits"] = [inner]
    for name in tool.schema.get("required", []):
        if name not in arguments:
            arguments[name] = _filler(properties.get(name, {}), use.capability)
    return arguments


def _filler(schema: Mapping[str, Any], capability: str) -> Any:
    """Some value for an argument that a tool requires and no script has an opinion on."""
    if "enum" in schema:
        return schema["enum"][0]
    fillers: dict[str, Any] = {"boolean": False, "number": 30, "integer": 30, "array": []}
    kind = schema.get("type", "string")
    return fillers.get(kind, f"{capability} for the task")


def _mcp_call(call_id: str, wish: Mapping[str, Any], conversation: Conversation) -> ToolCall:
    """A tool of an MCP server; where the CLI only names it, the call that loads it."""
    server, name, arguments = wish["server"], wish["tool"], dict(wish.get("arguments") or {})
    for tool in conversation.tools:
        whole = f"{tool.namespace}{tool.name}"
        if tool.name.endswith(name) and server in whole:
            return ToolCall(call_id, tool.name, arguments, namespace=tool.namespace)
    for tool in conversation.tools:
        if tool.name == name:
            return ToolCall(call_id, name, arguments, namespace=tool.namespace)
    if any(t.name == TOOL_SEARCH for t in conversation.tools):
        return ToolCall(call_id, TOOL_SEARCH, {"query": f"select:mcp__{server}__{name}"})
    offered = ", ".join(t.name for t in conversation.tools) or "none"
    raise NoSuchTool(f"no tool {name!r} of an MCP server {server!r} among the offered: {offered}")


def _code(use: Use) -> str:
    """The program for Codex's code mode, whose one tool runs JavaScript that calls the others."""
    if use.capability == "mcp":
        wish = use.arguments
        call = f"tools.mcp__{wish['server']}__{wish['tool']}"
        arguments = json.dumps(wish.get("arguments") or {})
    elif use.capability == "answer":
        raise NoSuchTool("code mode has no tool for a structured answer")
    else:
        command = use.arguments["command"] if use.capability == "shell" else _by_shell(use)
        return (
            f"const r = await tools.exec_command({json.dumps({'cmd': command})}); text(r.output);"
        )
    return f"const r = await {call}({arguments}); text(r);"


def _by_shell(use: Use) -> str:
    """The command that reads, writes or edits a file as `use` says."""
    wish = use.arguments
    path = shlex.quote(wish["path"])
    if use.capability == "read":
        return f"cat {path}"
    if use.capability == "write":
        return f"printf %s {shlex.quote(wish['content'])} > {path} && echo {_SUCCESS!r}"
    old, new = (base64.b64encode(wish[n].encode()).decode() for n in ("old", "new"))
    program = (
        "import base64,pathlib,sys; f=pathlib.Path(sys.argv[1]); "
        "old,new=(base64.b64decode(a).decode() for a in sys.argv[2:]); "
        f"f.write_text(f.read_text().replace(old,new)); print({_SUCCESS!r})"
    )
    return f"python3 -c {shlex.quote(program)} {path} {old} {new}"


def working_folder(conversation: Conversation) -> str:
    """Where the CLI says it works; empty if it does not say."""
    found = _WORKING_FOLDER.search(conversation.system)
    return next(filter(None, found.groups())).strip() if found else ""


def plain(result: str) -> str:
    """A file's or a command's text without what the CLI's tool put around it."""
    if found := _OPENCODE_FILE.search(result):
        return _LINE_NUMBER.sub("", found[1])
    if found := _GEMINI_OUTPUT.search(result) or _CODEX_OUTPUT.search(result):
        return found[1]
    if _NUMBERED_FILE.match(result):
        return _LINE_NUMBER.sub("", result)
    return result


def took_place(result: str) -> bool:
    """Whether a write or an edit was made: what each CLI says then has one of these words in it."""
    return re.search(r"success|created file|has been updated", result, re.IGNORECASE) is not None
