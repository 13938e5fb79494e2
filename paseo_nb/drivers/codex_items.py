"""What Codex's app-server calls things, in ACP's words: items as tool calls, errors as problems.
Pure functions, for both halves of the dialect."""

from __future__ import annotations

import re
import shlex
from typing import Any, cast

from ..model import Problem, Usage
from .acp_reading import Json, as_dict, as_int, as_list, as_str, problem_of
from .failing import model_problem
from .jsonrpc import RequestError

STATUSES = {
    "inProgress": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "declined": "failed",
}
TOOLS = frozenset(
    {
        "commandExecution",
        "fileChange",
        "mcpToolCall",
        "webSearch",
        "imageView",
        "imageGeneration",
        "dynamicToolCall",
        "collabAgentToolCall",
        "functionCallOutput",
    }
)

# ---------------------------------------------------------------- commands

_LOOKING = frozenset(
    ("cat", "cut", "echo", "grep", "head", "ls", "nl", "pwd", "rg", "stat", "tail", "true", "wc")
)
_JOINING = frozenset({"&&", "||", "|", ";"})
_RUNS_OTHERS = ("--pre", "--hostname-bin")  # options of rg


def plain_command(command: str) -> str:
    """The script in `/bin/bash -lc SCRIPT`; anything else as it is."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    if len(words) == 3 and words[0].endswith("sh") and words[1] in ("-lc", "-c"):
        return words[2]
    return command


def only_looks(script: str) -> bool:
    """Whether a shell script certainly does nothing but look: it is made of a few known programs,
    joined plainly. Codex's own word on that (`commandActions`) is made for display."""
    if any(mark in script for mark in ("`", "$(", "${", "\n", "\\")):
        return False
    try:
        lexer = shlex.shlex(script, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = ""  # to a shell, `a#b` is a word
        words = list(lexer)
    except ValueError:
        return False
    begins = True
    for word in words:
        if word and all(letter in lexer.punctuation_chars for letter in word):
            if word not in _JOINING:
                return False
            begins = True
        elif (begins and word not in _LOOKING) or word.startswith(_RUNS_OTHERS):
            return False
        else:
            begins = False
    return bool(words)


def command_kind(command: str) -> str:
    """`read` where a command only looks, else `execute`."""
    return "read" if only_looks(plain_command(command)) else "execute"


def came_with_turn(now: set[int], before: set[int]) -> set[int]:
    """The processes of now that came since `before`, but for Codex's own programs (the host of its
    code mode, say) and what comes from a process that was there, an earlier turn's server say."""
    return {pid for pid in now - before if not _own(pid) and not _comes_from(pid, before)}


def _own(pid: int) -> bool:
    """Whether a process is one of Codex's own programs; also where that cannot be told."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().startswith("codex")
    except OSError:
        return True


def _comes_from(pid: int, before: set[int]) -> bool:
    while pid > 1:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            return False
        if pid in before:
            return not _own(pid)
    return False


# ---------------------------------------------------------------- tool calls


def tool_call(item: Json) -> Json:
    """An item as the fields of an ACP tool call. Missing ones are left out."""
    kind = as_str(item.get("type")) or ""
    told: Json = {"toolCallId": as_str(item.get("id")) or kind}
    status = as_str(item.get("status"))
    if status is not None:
        told["status"] = STATUSES.get(status, "in_progress")
    if status == "declined":
        told["content"] = [text_content("denied")]
    if kind == "commandExecution":
        told.update(_command(item))
    elif kind == "fileChange":
        told.update(_file_change(as_list(item.get("changes"))))
    elif kind == "mcpToolCall":
        told.update(_mcp_call(item))
    elif kind == "webSearch":
        told.update(_web_search(item))
    elif kind in ("imageView", "imageGeneration"):
        path = as_str(item.get("path")) or as_str(item.get("savedPath"))
        read = kind == "imageView"
        told.update(
            kind="read" if read else "other",
            toolName="view_image" if read else "generate_image",
            title=f"{'View' if read else 'Generate'} image" + (f" {path}" if path else ""),
            locations=[{"path": path}] if path else [],
        )
    else:
        name = as_str(item.get("tool")) or as_str(item.get("name")) or kind
        told.update(kind="other", toolName=name, title=name, rawInput=item.get("arguments") or {})
        if kind == "collabAgentToolCall":
            told["rawInput"] = {"prompt": item.get("prompt"), "model": item.get("model")}
        if item.get("contentItems"):
            told["rawOutput"] = item["contentItems"]
    return told


def _command(item: Json) -> Json:
    command = as_str(item.get("command")) or ""
    script = plain_command(command)
    told: Json = {
        "kind": command_kind(command),
        "toolName": "shell",
        "title": script or "command",
        "rawInput": {"command": script, "cwd": item.get("cwd")},
    }
    paths = [as_str(as_dict(a).get("path")) for a in as_list(item.get("commandActions"))]
    told["locations"] = [{"path": path} for path in paths if path]
    output = as_str(item.get("aggregatedOutput"))
    if output is not None:
        told["content"] = [text_content(output)]
    if item.get("exitCode") is not None:
        told["rawOutput"] = {"exit_code": item["exitCode"], "output": output}
    return told


def _file_change(changes: list[Any]) -> Json:
    known = [as_dict(change) for change in changes]
    paths = [str(change.get("path")) for change in known]
    kinds = {as_str(as_dict(change.get("kind")).get("type")) for change in known}
    moved = [as_str(as_dict(change.get("kind")).get("move_path")) for change in known]
    words = {"add": "Write", "delete": "Delete"}
    word = words.get(next(iter(kinds)) or "", "Edit") if len(kinds) == 1 else "Edit"
    return {
        "kind": "delete" if kinds == {"delete"} else "edit",
        "toolName": "apply_patch",
        "title": f"{word} {', '.join(path.rsplit('/', 1)[-1] for path in paths)}",
        "locations": [{"path": path} for path in (*paths, *moved) if path],
        "rawInput": {"files": paths},
        "content": [diff_content(change) for change in known],
    }


def diff_content(change: Json) -> Json:
    """One changed file as an ACP diff. A new or deleted file comes whole, an edited one as the
    lines around its changes: Codex tells no more."""
    kind = as_str(as_dict(change.get("kind")).get("type"))
    diff, path = as_str(change.get("diff")) or "", str(change.get("path"))
    if kind == "add":
        return {"type": "diff", "path": path, "oldText": None, "newText": diff}
    if kind == "delete":
        return {"type": "diff", "path": path, "oldText": diff, "newText": ""}
    old: list[str] = []
    new: list[str] = []
    for line in diff.splitlines(keepends=True):
        if line.startswith(("@@", "\\")):
            continue
        if line[:1] != "+":
            old.append(line[1:])
        if line[:1] != "-":
            new.append(line[1:])
    return {"type": "diff", "path": path, "oldText": "".join(old), "newText": "".join(new)}


def _mcp_call(item: Json) -> Json:
    name = f"{item.get('server')}.{item.get('tool')}"
    told: Json = {
        "kind": "read" if item.get("readOnlyHint") is True else "other",
        "toolName": name,
        "title": name,
        "rawInput": item.get("arguments") or {},
    }
    result, error = as_dict(item.get("result")), as_dict(item.get("error"))
    if result:
        blocks = as_list(result.get("content"))
        told["content"] = [{"type": "content", "content": block} for block in blocks]
        told["rawOutput"] = result
    if error:
        told["content"] = [text_content(str(error.get("message")))]
    return told


def _web_search(item: Json) -> Json:
    action = as_dict(item.get("action"))
    what = as_str(action.get("url")) or as_str(item.get("query")) or as_str(action.get("query"))
    return {
        "kind": "fetch",
        "toolName": "web_search",
        "title": f"Search the web: {what}" if what else "Search the web",
        "rawInput": {"query": item.get("query"), **action},
    }


def text_content(text: str) -> Json:
    """A text block of a tool call's content."""
    return {"type": "content", "content": {"type": "text", "text": text}}


# ---------------------------------------------------------------- errors

_RETRY = re.compile(r"(\d+)\s*/\s*(\d+)")
_HINTS = {
    "auth": "Run `codex login` in a terminal, or set the key that its config.toml names.",
    "rate_limit": "Wait, or choose another model; Codex has tried again already.",
    "quota": "Your plan's limit is used up: wait until it is reset, or use an API key.",
    "context_overflow": "Start a new run, or send /compact first.",
    "model_not_found": "Name a model that your account or endpoint has: codex/MODEL.",
}
_CODES = {
    "unauthorized": "auth",
    "rateLimitExceeded": "rate_limit",
    "usageLimitExceeded": "quota",
    "sessionBudgetExceeded": "quota",
    "contextWindowExceeded": "context_overflow",
    "serverOverloaded": "server_error",
    "internalServerError": "server_error",
    "modelNotFound": "model_not_found",
}
REFUSING = frozenset({"cyberPolicy", "misalignmentPolicyViolation", "inferenceHookDenied"})
LIMITING = frozenset({"contextWindowExceeded", "sessionBudgetExceeded"})


def error_info(error: Json) -> tuple[str, int | None]:
    """The name of a turn's error in Codex's words, and the HTTP status if it tells one."""
    info = error.get("codexErrorInfo")
    if isinstance(info, dict):
        for name, details in as_dict(info).items():
            return name, as_int(as_dict(details).get("httpStatusCode"))
    return as_str(info) or "other", None


def turn_problem(error: Json) -> Problem:
    """Why a turn failed, in words a user can act on."""
    name, status = error_info(error)
    message = as_str(error.get("message")) or "Codex reported a failure without a message"
    more = as_str(error.get("additionalDetails"))
    if more and more not in message:
        message = f"{message}: {more}"
    problem = model_problem(message, status, _HINTS)
    code = _CODES.get(name) or ("model_error" if name in REFUSING else problem.code)
    return problem if code == problem.code else Problem(code, message, _HINTS.get(code))


def retry(error: Json) -> Json:
    """An `error` notification that says "willRetry", as the fact `retry`."""
    message = as_str(error.get("message")) or ""
    count = _RETRY.search(message)
    _, status = error_info(error)
    return {
        "attempt": int(count.group(1)) if count else None,
        "max_attempts": int(count.group(2)) if count else None,
        "delay_s": None,
        "status": status,
        "message": as_str(error.get("additionalDetails")) or message,
    }


def request_problem(error: RequestError) -> Problem:
    """Why a request of ours was refused."""
    problem = problem_of({"code": error.code, "message": str(error), "data": error.data})
    if "no rollout found" in problem.message:
        problem.code = "no_session"
        problem.hint = "Codex keeps its sessions in CODEX_HOME (~/.codex): is it another one now?"
    return problem


# ---------------------------------------------------------------- figures


def usage_of(told: Json) -> Usage:
    """A `TokenUsageBreakdown`: cached tokens are in the input, reasoning in the output. Its own
    total is left aside: Codex sets it to the window's size once the context is full."""
    tokens, out = as_int(told.get("inputTokens")), as_int(told.get("outputTokens"))
    return Usage(
        input_tokens=tokens,
        output_tokens=out,
        cache_read_tokens=as_int(told.get("cachedInputTokens")),
        cache_write_tokens=as_int(told.get("cacheWriteInputTokens")),
        reasoning_tokens=as_int(told.get("reasoningOutputTokens")),
        total_tokens=None if tokens is None or out is None else tokens + out,
    )


def rate_limit(limits: Json) -> str | None:
    reached = limits.get("rateLimitReachedType")
    if reached:
        return f"Codex reached a limit of the account: {reached}"
    for name in ("primary", "secondary"):
        window = as_dict(limits.get(name))
        used = cast(Any, window.get("usedPercent"))
        if isinstance(used, (int, float)) and used >= 90:
            minutes = as_int(window.get("windowDurationMins"))
            per = f" of {minutes / 60:g} h" if minutes else ""
            return f"More than 90 % of the account's {name} limit{per} is used"
    return None
