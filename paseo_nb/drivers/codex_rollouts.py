"""What Codex writes into its rollout files, in the words of its app-server: items, calls, prompts.

Pure but for `Calls`, which pairs what the model asked for with what it was given. For
`codex_sessions`.
"""

from __future__ import annotations

import re
import shlex
from typing import Any
from urllib.parse import unquote

from .acp_reading import Json, as_dict, as_list, as_str, blocks_text
from .transport import decode

_SHELLS = frozenset({"shell", "shell_command", "exec_command", "local_shell", "container.exec"})
_NOT_SAID = ("<environment_context>", "<user_instructions>", "<turn_aborted>")
_EXIT = re.compile(r"^(?:Process exited with code|Exit code:) (-?\d{1,9})$", re.MULTILINE)
_FAILED = ("unsupported call", "aborted", "execution error", "Script failed", "failed ")
_HEAD, _OUTPUT = 400, "Output:\n"
_PATCHED = re.compile(r"^\*\*\* (Add|Delete|Update) File: (.+)$")
_MOVED = "*** Move to: "
_CAMEL = re.compile(r"_([a-z0-9])")


def camel(told: Any) -> Any:
    """The same with keys as the app-server spells them."""
    if isinstance(told, list):
        return [camel(one) for one in as_list(told)]
    if not isinstance(told, dict):
        return told
    return {camel_word(str(key)): camel(value) for key, value in as_dict(told).items()}


def camel_word(word: str) -> str:
    """`internal_server_error` as `internalServerError`."""
    return _CAMEL.sub(lambda found: found.group(1).upper(), word)


# ---------------------------------------------------------------- prompts


def prompt_of(line: Json, whole: bool) -> str | None:
    """What the user said, if a line is that. whole: in the way of writing with whole items."""
    payload = as_dict(line.get("payload"))
    if line.get("type") != "event_msg":
        return None
    if payload.get("type") == "item_completed" and whole:
        item = as_dict(payload.get("item"))
        if item.get("type") != "UserMessage":
            return None
        parts = [as_dict(part) for part in as_list(item.get("content"))]
        said = [as_str(part.get("text")) or f"[{part.get('type')}]" for part in parts]
    elif payload.get("type") == "user_message" and not whole:
        if payload.get("kind") not in (None, "plain"):
            return None
        pictures = [*as_list(payload.get("images")), *as_list(payload.get("local_images"))]
        said = [as_str(payload.get("message")) or "", *("[image]" for _ in pictures)]
    else:
        return None
    text = "\n".join(said).strip()
    return text if text and not text.startswith(_NOT_SAID) else None


# ---------------------------------------------------------------- whole items


def item_of(item: Json) -> Json:
    """An item of the core as one of the app-server."""
    kind = as_str(item.get("type")) or ""
    told: Json = {camel_word(key): value for key, value in item.items()}
    told["type"] = kind = kind[:1].lower() + kind[1:]
    if isinstance(told.get("status"), str):
        told["status"] = camel_word(told["status"])
    if kind == "agentMessage":
        told["text"] = blocks_text(
            [{"type": "text", "text": as_dict(part).get("text")} for part in
             as_list(item.get("content"))]
        )  # fmt: skip
    elif kind == "reasoning":
        told["summary"], told["content"] = item.get("summary_text"), item.get("raw_content")
    elif kind == "commandExecution":
        told.update(_command(item.get("command"), item.get("cwd")))
        told["commandActions"] = item.get("parsed_cmd")
    elif kind == "fileChange":
        told["changes"] = _changes(as_dict(item.get("changes")))
    elif kind == "mcpToolCall":
        told.update(_mcp_result(item.get("result"), item.get("error")))
    return told


def _command(command: Any, cwd: Any) -> Json:
    words = [str(word) for word in as_list(command)]
    folder = as_str(cwd)
    if folder is not None and folder.startswith("file://"):
        folder = unquote(folder.removeprefix("file://"))
    return {"command": shlex.join(words) if words else as_str(command) or "", "cwd": folder}


def _changes(changes: Json) -> list[Json]:
    told: list[Json] = []
    for path, change in changes.items():
        change = as_dict(change)
        kind = {"type": change.get("type"), "move_path": change.get("move_path")}
        diff = as_str(change.get("unified_diff")) or as_str(change.get("content")) or ""
        told.append({"path": path, "kind": kind, "diff": diff})
    return told


def _mcp_result(result: Any, error: Any) -> Json:
    told = as_dict(result)
    if "Err" in told:
        return {"result": None, "error": {"message": str(told["Err"])}, "status": "failed"}
    told = as_dict(told.get("Ok")) or told
    failed = {"status": "failed"} if told.get("isError") or error else {}
    said = {"message": error} if isinstance(error, str) else as_dict(error)
    return {"result": told or None, "error": said or None, **failed}


# ---------------------------------------------------------------- calls and what came of them


class Calls:
    """Tool calls of the older way of writing: what the model asked for, then, by the same id, an
    event of what was done, or only what the model was given."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[int, Json]] = {}
        self._told: set[str] = set()

    def read(self, at: int, payload: Json) -> tuple[int, Json] | None:
        """A call that this line ends, as an item, and when it began."""
        kind, ident = as_str(payload.get("type")) or "", as_str(payload.get("call_id"))
        if kind == "web_search_call":
            ident = as_str(payload.get("id")) or f"search-{at}"
            action = as_dict(payload.get("action"))
            query = action.get("query")
            told = {"type": "webSearch", "id": ident, "query": query, "action": action}
            return at, {**told, "status": "completed"}
        if ident is None:
            return None
        if kind in ("function_call", "custom_tool_call", "local_shell_call"):
            self._open[ident] = (at, {"id": ident, **_asked(kind, payload)})
            return None
        done = _done(payload) if kind.endswith("_end") or kind == "view_image_tool_call" else None
        if done is not None:
            began, asked = self._open.pop(ident, (at, {}))
            self._told.add(ident)
            return began, {"cwd": asked.get("cwd"), "id": ident, **done}
        if kind.endswith("_output") and ident in self._open and ident not in self._told:
            began, asked = self._open.pop(ident)
            return began, {**asked, **_given(asked, payload.get("output"))}
        return None

    def left(self) -> list[tuple[int, Json]]:
        """The calls that nothing came of."""
        left = list(self._open.values())
        self._open.clear()
        return left


def _asked(kind: str, payload: Json) -> Json:
    """What the model asked for, as an item that is in progress."""
    name = as_str(payload.get("name")) or kind
    given = as_dict(decode((as_str(payload.get("arguments")) or "{}").encode("utf-8", "replace")))
    space = as_str(payload.get("namespace")) or ""
    server, _, tool = (space if space.startswith("mcp__") else name)[5:].partition("__")
    text = as_str(payload.get("input"))
    told: Json = {"status": "inProgress"}
    if kind == "local_shell_call":
        action = as_dict(payload.get("action"))
        command = _command(action.get("command"), action.get("working_directory"))
        return {**told, "type": "commandExecution", **command}
    if name == "apply_patch":
        patch = text or as_str(given.get("input")) or as_str(given.get("patch")) or ""
        return {**told, "type": "fileChange", "changes": _patched(patch)}
    if name in _SHELLS:
        command = _command(given.get("command", given.get("cmd")), given.get("workdir"))
        return {**told, "type": "commandExecution", **command}
    if name.startswith("mcp__") or space.startswith("mcp__"):
        tool = tool or name
        return {**told, "type": "mcpToolCall", "server": server, "tool": tool, "arguments": given}
    if name == "view_image":
        return {**told, "type": "imageView", "path": given.get("path")}
    arguments = given if text is None else {"input": text}
    return {**told, "type": "dynamicToolCall", "tool": name, "arguments": arguments}


def _patched(patch: str) -> list[Json]:
    """The files that a patch of the model's changes."""
    told: list[Json] = []
    for line in patch.splitlines():
        found = _PATCHED.match(line)
        if found:
            kind = {"type": found.group(1).lower(), "move_path": None}
            told.append({"path": found.group(2), "kind": kind, "diff": ""})
        elif told and line.startswith(_MOVED):
            told[-1]["kind"]["move_path"] = line.removeprefix(_MOVED)
        elif told and not line.startswith("***"):
            added = told[-1]["kind"]["type"] == "add"
            told[-1]["diff"] += f"{line[1:] if added else line}\n"
    return told


def _done(payload: Json) -> Json | None:
    """An event of what was done, as an item that has ended."""
    kind = payload.get("type")
    status = as_str(payload.get("status"))
    if kind == "exec_command_end":
        failed = payload.get("exit_code") not in (0, None)
        return {
            "type": "commandExecution",
            **_command(payload.get("command"), payload.get("cwd")),
            "commandActions": payload.get("parsed_cmd"),
            "status": status or ("failed" if failed else "completed"),
            "aggregatedOutput": payload.get("aggregated_output"),
            "exitCode": payload.get("exit_code"),
        }
    if kind == "patch_apply_end":
        status = status or ("completed" if payload.get("success") else "failed")
        changes = _changes(as_dict(payload.get("changes")))
        return {"type": "fileChange", "changes": changes, "status": status}
    if kind == "mcp_tool_call_end":
        called = as_dict(payload.get("invocation"))
        names = {name: called.get(name) for name in ("server", "tool", "arguments")}
        result = _mcp_result(payload.get("result"), None)
        return {"type": "mcpToolCall", "status": "completed", **names, **result}
    if kind == "view_image_tool_call":
        return {"type": "imageView", "path": payload.get("path"), "status": "completed"}
    return None


def _given(asked: Json, output: Any) -> Json:
    """What the model was given, as the end of an item."""
    success = as_dict(output).get("success")
    if isinstance(output, dict):
        output = as_dict(output).get("content")
    text = as_str(output)
    if text is None:
        parts = [as_dict(part) for part in as_list(output)]
        text = "\n".join(as_str(part.get("text")) or f"[{part.get('type')}]" for part in parts)
    code: Any = None
    known = as_dict(decode(text.encode("utf-8", "replace"))) if text.startswith("{") else {}
    if as_dict(known.get("metadata")):  # the first way of telling
        code, said = as_dict(known["metadata"]).get("exit_code"), as_str(known.get("output")) or ""
    else:
        found = _EXIT.search(text[:_HEAD].partition(_OUTPUT)[0])
        code = int(found.group(1)) if found else None
        head, mark, said = text.partition(_OUTPUT)
        said = said if mark and len(head) < _HEAD else text
    failed = success is False or code not in (0, None)
    failed = failed or text.startswith(_FAILED) or said.startswith(_FAILED)
    told: Json = {"status": "failed" if failed else "completed"}
    kind = asked.get("type")
    if kind == "commandExecution":
        return {**told, "aggregatedOutput": said, "exitCode": code}
    if kind == "mcpToolCall":
        return {**told, "result": {"content": [{"type": "text", "text": said}]}}
    if kind == "dynamicToolCall":
        return {**told, "contentItems": [{"type": "inputText", "text": text}]}
    return told
