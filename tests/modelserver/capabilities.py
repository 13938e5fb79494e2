"""What differs from CLI to CLI: the names of tools and arguments, and how results are dressed up.

A script wants `shell`; this file finds the offered tool that does it (`bash`, …), fills in its
arguments as the offered schema spells them, and undresses what the tool gave back.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from typing import Any

from .conversation import Capability, Conversation, ToolCall, Use

TOOL_NAMES: dict[Capability, tuple[str, ...]] = {
    "read": ("read", "read_file", "view"),
    "edit": ("edit", "replace", "str_replace"),
    "write": ("write", "write_file", "create"),
    "shell": ("bash", "run_shell_command", "shell", "exec_command"),
}
ARGUMENT_NAMES: dict[str, tuple[str, ...]] = {
    "path": ("filePath", "file_path", "path", "absolute_path"),
    "old": ("oldString", "old_string", "old_str", "oldText"),
    "new": ("newString", "new_string", "new_str", "newText"),
    "content": ("content", "contents", "file_text"),
    "command": ("command", "cmd"),
}
_WORKING_FOLDER = re.compile(
    r"Working directory: (?P<opencode>/.*)|\*\*Workspace Directories:\*\*\n\s*- (?P<gemini>/.*)"
)
# opencode numbers the lines of a file and wraps it in tags; gemini wraps a command's output
_OPENCODE_FILE = re.compile(r"<content>\n(.*?)\n\n\(.*?\)\n</content>", re.DOTALL)
_LINE_NUMBER = re.compile(r"^ *\d+(?:: ?|\| ?|\t|→)", re.MULTILINE)
_GEMINI_OUTPUT = re.compile(
    r"<untrusted_context>\n(?:Output: )?(.*?)\n(?:(?:Exit Code|Process Group PGID): .*\n)*"
    r"</untrusted_context>",
    re.DOTALL,
)
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
    models do: the CLIs accept both, but show what they were given.
    """
    tools = conversation.tools
    tool = next((t for t in tools if capability_of(t.name) == use.capability), None)
    if tool is None:
        offered = ", ".join(t.name for t in tools) or "none"
        raise NoSuchTool(f"no tool for {use.capability!r} among the offered ones: {offered}")
    properties = tool.schema.get("properties", {})
    arguments: dict[str, Any] = {}
    for ours, value in use.arguments.items():
        theirs = next((n for n in ARGUMENT_NAMES[ours] if n in properties), None)
        if theirs is None:
            raise NoSuchTool(f"{tool.name} has no argument for {ours!r}, only {list(properties)}")
        if ours == "path":
            value = posixpath.join(working_folder(conversation), value)
        arguments[theirs] = value
    for name in tool.schema.get("required", []):
        if properties.get(name, {}).get("type") == "string":
            arguments.setdefault(name, f"{use.capability} for the task")
    return ToolCall(f"call_{next(_ids)}", tool.name, arguments)


def working_folder(conversation: Conversation) -> str:
    """Where the CLI says it works; empty if it does not say."""
    found = _WORKING_FOLDER.search(conversation.system)
    return (found["opencode"] or found["gemini"]).strip() if found else ""


def plain(result: str) -> str:
    """A file's or a command's text without what the CLI's tool put around it."""
    if found := _OPENCODE_FILE.search(result):
        return _LINE_NUMBER.sub("", found[1])
    if found := _GEMINI_OUTPUT.search(result):
        return found[1]
    return result


def took_place(result: str) -> bool:
    """Whether a write or an edit was made: what each CLI says then has this word in it."""
    return "success" in result.lower()
