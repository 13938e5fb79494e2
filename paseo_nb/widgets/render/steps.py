"""A tool call as one row: the kind's word, the target, the result, the time; and what unfolds.

Agents name the same things differently: what a command, a path, an exit code or an output is
called by each is gathered here and nowhere else.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any, cast

import msgspec

from ...drivers.acp_reading import as_dict, as_int, as_list, as_str, content_text
from ...model import ToolCall
from .diffs import FileDiff, between_texts, of_patch
from .states import Tone
from .text import one_line, spelled
from .units import between, changes, plural

WORDS = {
    "read": "Read",
    "edit": "Edit",
    "delete": "Delete",
    "move": "Move",
    "search": "Search",
    "execute": "Run",
    "think": "Think",
    "fetch": "Fetch",
    "switch_mode": "Switch mode",
}
_PATHS = ("file_path", "filePath", "path", "abs_path", "absolute_path", "notebook_path", "filename")
TARGETS: dict[str, tuple[str, ...]] = {
    "execute": ("command", "cmd", "script"),
    "search": ("pattern", "query", "regex", "glob"),
    "fetch": ("url", "uri", "query"),
}
_OLD = ("old_string", "oldString", "old_str", "oldText", "old_text")
_NEW = ("new_string", "newString", "new_str", "newText", "new_text", "content", "file_text")
_OUTPUTS = (
    "output",
    "formatted_output",
    "aggregated_output",
    "stdout",
    "text",
    "result",
    "content",
)
_ERRORS = ("error", "stderr", "message")
_EXITS = ("exit_code", "exitCode", "exit", "returncode")
_EXIT_TEXT = re.compile(r"\bexit(?:ed)?(?: with)?(?: exit)?(?: code| status)[: ]+(\d{1,3})\b", re.I)
_TESTS = re.compile(
    r"^[= ]*(\d+ (?:passed|failed|errors?|skipped)(?:, \d+ [a-z]+)*)(?: in [\d.]+ ?s.*)?$"
)
_MISSING = re.compile(r"no such file|not found|does not exist|ENOENT", re.I)
_LOOK = 4000  # characters of an output's end where an exit code or a test's summary is sought


class Step(msgspec.Struct):
    """One tool call, ready to be shown; every string is still the agent's."""

    word: str
    target: str
    result: str
    tone: Tone
    time: str
    full: str = ""
    output: str = ""
    diffs: list[FileDiff] = []
    is_edit: bool = False
    is_command: bool = False
    failed: bool = False
    running: bool = False


def step_of(call: ToolCall, *, cwd: str, now_us: int, live: bool) -> Step:
    """The row of a tool call. One that has no outcome is running while `live`, else unfinished."""
    diffs = [] if call.outcome == "failed" else diffs_of(call, cwd)
    output = output_of(call)
    full = target_of(call, cwd)
    target = one_line(full, 110)
    step = Step(
        word=_word(call),
        target=target,
        result="",
        tone="",
        time=between(call.started_us, call.finished_us) if call.finished_us else "",
        full=full if "\n" in full.strip() or len(full.strip()) > len(target) else "",
        output=output,
        diffs=diffs,
        is_edit=bool(diffs),
        is_command=call.kind == "execute",
    )
    if call.outcome is None:
        step.running = live
        step.result, step.tone = ("running", "now") if live else ("unfinished", "warn")
        step.time = between(call.started_us, now_us) if live else ""
    elif call.outcome == "completed":
        _completed(step, call)
    elif call.outcome == "failed":
        step.failed, step.tone = True, "bad"
        step.output = output or (call.error or "")
        step.result = _failure(step.output, exit_code(call, step.output))
    else:
        step.result = {"interrupted": "cut off"}.get(call.outcome, call.outcome)
        step.tone = "warn"
    return step


def _completed(step: Step, call: ToolCall) -> None:
    lines = step.output.strip("\n").count("\n") + 1 if step.output.strip() else 0
    if step.diffs:
        known = [diff for diff in step.diffs if diff.added is not None]
        added, removed = sum(d.added or 0 for d in known), sum(d.removed or 0 for d in known)
        step.result = changes(added, removed) if len(known) == len(step.diffs) else ""
    elif step.is_command:
        code = exit_code(call, step.output)
        if code:
            step.failed, step.tone, step.result = True, "bad", f"exit {code}"
        else:
            step.result = tests_summary(step.output) or (plural(lines, "line") if lines else "")
    elif lines and call.kind in ("read", "search", "fetch"):
        step.result = plural(lines, "line")


def _failure(output: str, code: int | None) -> str:
    if code:
        return f"exit {code}"
    head = output[:_LOOK]
    if _MISSING.search(head):
        return "failed, not found"
    first = one_line(head.strip().split("\n", 1)[0], 70).rstrip(".")
    return f"failed, {first}" if first and first != "failed" else "failed"


def _word(call: ToolCall) -> str:
    if call.kind == "edit" and _whole_file(call):
        return "Write"
    return WORDS.get(call.kind or "", "Use")


def _whole_file(call: ToolCall) -> bool:
    """Whether the agent gave a file's new text only, not what it replaces."""
    blocks = [block for block in map(as_dict, call.content) if block.get("type") == "diff"]
    if blocks:
        return all(block.get("oldText") is None for block in blocks)
    given = as_dict(call.input)
    return any(key in given for key in _NEW) and not any(key in given for key in _OLD)


def untold_input(call: ToolCall, step: Step) -> str:
    """The input as JSON, where neither the target nor a diff tells it: whoever allows a call must
    see what it is given."""
    given = as_dict(call.input)
    told = step.diffs or any(key in given for key in TARGETS.get(call.kind or "", ()))
    if not given or told:
        return ""
    return _json(given)


def target_of(call: ToolCall, cwd: str) -> str:
    """What the call is about: a command, a path, a pattern, an address, else its title. In full."""
    given = as_dict(call.input)
    for key in TARGETS.get(call.kind or "", ()):
        value = given.get(key)
        if isinstance(value, list):
            value = shlex.join(str(part) for part in as_list(value))
        if isinstance(value, str) and value.strip():
            return spelled(value)
    title = (call.title or call.tool_name or call.tool_call_id).strip().strip("`")
    if call.kind in ("read", "edit", "delete", "move"):
        paths = call.locations or [as_str(given.get(key)) or "" for key in _PATHS]
        paths = list(dict.fromkeys(short_path(path, cwd) for path in paths if path))
        if not paths:
            blocks = map(as_dict, call.content)
            paths = [short_path(str(b.get("path")), cwd) for b in blocks if b.get("type") == "diff"]
        if paths:
            return paths[0] + (f" and {len(paths) - 1} more" if len(paths) > 1 else "")
    return title


def short_path(path: str, cwd: str) -> str:
    """The path as seen from the run's folder, where it lies in it."""
    base = cwd.rstrip("/") + "/"
    return path[len(base) :] if cwd and path.startswith(base) and len(path) > len(base) else path


def output_of(call: ToolCall) -> str:
    """What the tool gave back, as text: its content, else its raw output."""
    texts = [
        content_text(block)
        for block in map(as_dict, call.content)
        if block.get("type") not in ("diff", "terminal")
    ]
    text = "\n".join(part for part in texts if part) or _text_of(call.output)
    return _unfenced(text)


def _text_of(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and depth < 4:
        items = as_list(value)[:200]
        parts = [_text_of(as_dict(item).get("text") or item, depth + 1) for item in items]
        return "\n".join(part for part in parts if part)
    if isinstance(value, dict) and depth < 4:
        fields = as_dict(cast(Any, value))
        keys = [key for key in (*_OUTPUTS, *_ERRORS) if fields.get(key)]
        parts = [_text_of(fields[key], depth + 1) for key in keys]
        if parts or any(key in fields for key in (*_OUTPUTS, *_EXITS)):
            return "\n".join(dict.fromkeys(part for part in parts if part))
    return "" if value is None else _json(value)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "[not shown]"


def _unfenced(text: str) -> str:
    """Without the code fence that some agents put around a whole output."""
    bare = text.strip()
    if bare.startswith("```") and bare.endswith("```") and "\n" in bare:
        inner = bare[bare.index("\n") + 1 : -3].rstrip("`")
        return text if "```" in inner else inner.rstrip("\n")
    return text


def exit_code(call: ToolCall, output: str) -> int | None:
    """A command's exit code, from its raw output or from its text."""
    fields = as_dict(call.output)
    for source in (fields, as_dict(fields.get("metadata")), as_dict(fields.get("exitStatus"))):
        for key in _EXITS:
            code = as_int(source.get(key))
            if code is not None:
                return code
    if call.kind != "execute":
        return None
    found = _EXIT_TEXT.search(output[:200]) or _EXIT_TEXT.search(output[-200:])
    return int(found[1]) if found else None


def tests_summary(output: str) -> str:
    """`42 passed` from the last line of a test run."""
    lines = output[-_LOOK:].strip().splitlines()
    found = _TESTS.match(lines[-1][:300]) if lines else None
    return found[1] if found else ""


def diffs_of(call: ToolCall, cwd: str) -> list[FileDiff]:
    """The changes a call made: ACP diffs, else what its raw output or input tells."""
    out: list[FileDiff] = []
    for block in map(as_dict, call.content[:50]):
        if block.get("type") == "diff":
            path = short_path(str(block.get("path") or ""), cwd)
            out.append(
                between_texts(path, as_str(block.get("oldText")), as_str(block.get("newText")))
            )
    if out or call.kind != "edit":
        return out
    told = as_str(as_dict(as_dict(call.output).get("metadata")).get("diff"))
    if told:
        return of_patch(told)
    given = as_dict(call.input)
    path = next((as_str(given.get(key)) for key in _PATHS if given.get(key)), None)
    new = next((as_str(given.get(key)) for key in _NEW if key in given), None)
    if path is None or new is None:
        return []
    old = next((as_str(given.get(key)) for key in _OLD if key in given), None)
    return [between_texts(short_path(path, cwd), old, new)]
