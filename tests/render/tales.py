"""Runs to be rendered: a scripted agent whose journal lines are fed through the real fold."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from paseo_nb.git.values import DiffSummary, FileChange
from paseo_nb.history import History
from paseo_nb.model import Line, RunSpec

T0 = 1_763_735_400_000_000  # 21 Nov 2025, 14:30 UTC
RUN_ID = "01K3VQ8R7NABCDEFGHJKMNPQRS"


def spec(**more: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "run_id": RUN_ID,
        "created_us": T0,
        "provider": "claude",
        "command": ["claude-agent-acp"],
        "cwd": "/home/u/project",
        "model": "opus-4.6",
        "branch": "paseo/fix-offset",
    }
    return RunSpec(**{**fields, **more})


class Tale:
    """What happened, told in order; `after` seconds pass before each line."""

    def __init__(self) -> None:
        self.history = History()
        self.us = T0
        self.turn = 0

    def line(self, direction: str, kind: str, raw: Any, after: float = 0.01) -> Tale:
        self.us += round(after * 1e6)
        body = msgspec.Raw(json.dumps(raw).encode())
        seq = self.history.seq + 1
        self.history.feed([Line(seq, self.us, self.us, self.turn, direction, kind, body)])  # type: ignore[arg-type]
        return self

    def update(self, update_kind: str, after: float = 0.01, **fields: Any) -> Tale:
        update = {"sessionUpdate": update_kind, **fields}
        message = {"method": "session/update", "params": {"sessionId": "s", "update": update}}
        return self.line("in", update_kind, message, after)

    def prompt(self, text: str, origin: str = "user", after: float = 0.0) -> Tale:
        self.turn += 1
        blocks = [{"type": "text", "text": text}]
        return self.line("own", "turn_start", {"prompt": blocks, "origin": origin}, after)

    def says(self, text: str, after: float = 1.0) -> Tale:
        content = {"type": "text", "text": text}
        return self.update("agent_message_chunk", after, content=content)

    def thinks(self, text: str, seconds: float = 6.0) -> Tale:
        half = len(text) // 2
        for part, after in ((text[:half], 0.1), (text[half:], seconds)):
            content = {"type": "text", "text": part}
            self.update("agent_thought_chunk", after, content=content)
        return self

    def plans(self, *entries: tuple[str, str]) -> Tale:
        told = [{"status": status, "content": text} for status, text in entries]
        return self.update("plan", entries=told)

    def begins(self, call: str, kind: str, title: str, **fields: Any) -> Tale:
        return self.update(
            "tool_call", toolCallId=call, kind=kind, title=title, status="in_progress", **fields
        )

    def ends(
        self, call: str, after: float = 0.04, status: str = "completed", **fields: Any
    ) -> Tale:
        return self.update("tool_call_update", after, toolCallId=call, status=status, **fields)

    def reads(self, call: str, path: str, text: str, after: float = 0.04) -> Tale:
        self.begins(call, "read", f"Read {path}", locations=[{"path": f"/home/u/project/{path}"}])
        return self.ends(call, after, content=[text_block(text)])

    def runs(self, call: str, command: str, text: str, code: int = 0, after: float = 1.2) -> Tale:
        self.begins(call, "execute", command, rawInput={"command": command})
        output = {"output": text, "exit_code": code}
        return self.ends(call, after, rawOutput=output, content=[text_block(text)])

    def edits(self, call: str, path: str, old: str | None, new: str) -> Tale:
        full = f"/home/u/project/{path}"
        diff = {"type": "diff", "path": full, "oldText": old, "newText": new}
        self.begins(call, "edit", f"Edit {path}", locations=[{"path": full}], content=[diff])
        return self.ends(call, 0.1)

    def asks(
        self, call: str, title: str, kind: str = "execute", after: float = 0.1, **tool: Any
    ) -> str:
        request = {
            "id": 7,
            "method": "session/request_permission",
            "params": {
                "toolCall": {"toolCallId": call, "title": title, "kind": kind, **tool},
                "options": tool.pop("options", OPTIONS),
            },
        }
        self.line("in", "session/request_permission", request, after)
        return f"p{self.history.seq}"

    def answers(self, permission: str, option: str, after: float = 18.0, **facts: Any) -> Tale:
        told = {"permission": permission, "option_id": option, "outcome": "selected", **facts}
        return self.line("own", "permission_answer", told, after)

    def costs(self, usd: float, used: int = 48_000, size: int = 200_000) -> Tale:
        cost = {"amount": usd, "currency": "USD"}
        return self.update("usage_update", used=used, size=size, cost=cost)

    def result(self, total: int, reason: str = "end_turn") -> Tale:
        usage = {"inputTokens": total - 2000, "outputTokens": 2000, "totalTokens": total}
        raw = {"result": {"stopReason": reason, "usage": usage}}
        return self.line("in", "session/prompt:result", raw)

    def ended(self, outcome: str = "end_turn", after: float = 0.1, **facts: Any) -> Tale:
        return self.line("own", "turn_end", {"outcome": outcome, **facts}, after)


OPTIONS = [
    {"optionId": "allow-once", "name": "Yes", "kind": "allow_once"},
    {"optionId": "allow-always", "name": "Yes, pip install in this run", "kind": "allow_always"},
    {"optionId": "reject", "name": "No", "kind": "reject_once"},
]


def text_block(text: str) -> dict[str, Any]:
    return {"type": "content", "content": {"type": "text", "text": text}}


PROMPT = (
    "`tests/test_parse.py::test_offset_without_colon` fails. Find out why and fix it. "
    "Keep the public API as it is."
)
FAILURE = """\
============================= test session starts ==============================
platform linux -- Python 3.13.1, pytest-8.4.2, pluggy-1.6.0
rootdir: /home/u/project
configfile: pyproject.toml
collected 14 items

tests/test_parse.py .............F                                       [100%]

=================================== FAILURES ===================================
__________________________ test_offset_without_colon ___________________________

    def test_offset_without_colon():
>       assert parse_offset("+0530") == timedelta(hours=5, minutes=30)
\x1b[1m\x1b[31mE       assert timedelta(seconds=18000) == timedelta(seconds=19800)\x1b[0m

tests/test_parse.py:31: AssertionError
\x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m13 passed\x1b[0m in 0.42s"""
OLD = """\
import re
from datetime import timedelta

_STAMP = re.compile(r"(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d)(.*)")


def parse_offset(text: str) -> timedelta:
    sign, hh, mm = text[0], text[1:3], text[4:6]
    delta = timedelta(hours=int(hh), minutes=int(mm))
    return -delta if sign == "-" else delta
"""
NEW = """\
import re
from datetime import timedelta

_STAMP = re.compile(r"(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d)(.*)")
_OFFSET = re.compile(r"([+-])(\\d\\d):?(\\d\\d)")


def parse_offset(text: str) -> timedelta:
    m = _OFFSET.fullmatch(text)
    if m is None:
        raise ValueError(f"not a UTC offset: {text!r}")
    sign, hh, mm = m.groups()
    delta = timedelta(hours=int(hh), minutes=int(mm))
    return -delta if sign == "-" else delta
"""
PATCH = """\
diff --git a/tidelog/parse.py b/tidelog/parse.py
index 1111111..2222222 100644
--- a/tidelog/parse.py
+++ b/tidelog/parse.py
@@ -4,7 +4,11 @@ from datetime import timedelta
 _STAMP = re.compile(r"(.*)")
+_OFFSET = re.compile(r"([+-])(.*)")
\x20
\x20
 def parse_offset(text: str) -> timedelta:
-    sign, hh, mm = text[0], text[1:3], text[4:6]
+    m = _OFFSET.fullmatch(text)
+    if m is None:
+        raise ValueError(f"not a UTC offset: {text!r}")
+    sign, hh, mm = m.groups()
     delta = timedelta(hours=int(hh), minutes=int(mm))
     return -delta if sign == "-" else delta
diff --git a/CHANGELOG.md b/CHANGELOG.md
index 1111111..2222222 100644
--- a/CHANGELOG.md
+++ b/CHANGELOG.md
@@ -1,2 +1,3 @@
 # Changes
+- Offsets are read without a colon, too.
\x20
"""
DIFF = DiffSummary(
    [FileChange("tidelog/parse.py", 5, 1), FileChange("CHANGELOG.md", 1, 0)], PATCH, "a1b2c3d"
)
_DONE = "completed"


def beginning() -> Tale:
    tale = Tale().prompt(PROMPT)
    tale.says("I’ll start with the failing test and the code that it covers.", 2)
    tale.thinks("**Reading the test first.** The offset has no colon; the slices assume one.")
    tale.reads("c1", "tests/test_parse.py", "line\n" * 58)
    tale.reads("c2", "tidelog/parse.py", OLD)
    tale.runs("c3", "pytest -q tests/test_parse.py", FAILURE, 1)
    tale.plans(
        (_DONE, "Reproduce the failing test"),
        (_DONE, "Fix `parse_offset`"),
        (_DONE, "Run the whole test suite"),
        ("in_progress", "Note the change in the changelog"),
    )
    tale.edits("c4", "tidelog/parse.py", OLD, NEW)
    tale.runs("c5", "pytest -q", "...........\n42 passed in 2.61s", 0, 2.9)
    tale.begins("c6", "read", "Read", locations=[{"path": "/home/u/project/docs/changelog.rst"}])
    tale.ends("c6", 0.01, "failed", content=[text_block("No such file: docs/changelog.rst")])
    return tale.costs(0.32, 32_000)


def running() -> Tale:
    tale = beginning()
    tale.begins("c7", "search", "Search", rawInput={"pattern": "changelog"})
    return tale.says(
        'The slice `text[4:6]` took for granted that a colon stands at index 3. For `"+0530"` it '
        "read one digit and the minutes became 0. I match the whole offset with one expression "
        "now, so\n\n- `+05:30` and `+0530` give the same result,\n- anything else raises "
        "`ValueError` as the docstring"
    )


def waiting() -> tuple[Tale, str]:
    tale = beginning()
    command = 'python -m pip install "hypothesis>=6,<7"'
    asked = tale.asks("c8", command, rawInput={"command": command})
    return tale.line("own", "state", {"state": "waiting"}), asked


def done() -> Tale:
    tale, asked = waiting()
    tale.answers(asked, "allow-once")
    tale.says(
        "Fixed. `parse_offset` assumed a colon at index 3; it now matches the whole offset, with "
        "or without the colon. All 43 tests pass, one of them new. The public API is unchanged.",
        110,
    )
    return tale.costs(0.66).result(362_000).ended()


def failed() -> Tale:
    tale = Tale().prompt("Add property tests for parse_offset")
    error = {
        "code": "auth",
        "message": "codex is not signed in. The agent ended the turn with an authentication error.",
        "hint": "Run `codex login` in a terminal, then try again.",
    }
    return tale.ended("error", 8, error=error)


def interrupted() -> Tale:
    tale = done().prompt("Now review the change to parse_offset.", after=60)
    tale.says("Reading the change again.")
    return tale.begins("d1", "execute", "pytest -q", rawInput={"command": "pytest -q"})


def conversation() -> Tale:
    tale = done()
    tale.prompt("What does `%z` accept?\n\nIn one table, please.", after=30)
    tale.says(
        "## What `%z` accepts\n\nIt reads *four* forms, see "
        "[the docs](https://docs.python.org/3/library/datetime.html) and "
        "[parse.py](/home/u/project/tidelog/parse.py:12):\n\n"
        "| form | example | since |\n|---|---|---:|\n| `±HHMM` | `+0530` | 3.2 |\n"
        "| `±HH:MM` | `+05:30` | 3.7 |\n| `Z` | `Z` | 3.7 |\n\n"
        "1. Keep `fullmatch`.\n2. Reject the rest:\n\n   ```python\n   if m is None:\n"
        "       raise ValueError(text)\n   ```\n\n> A quote, $5 and $HOME stay what they are.\n"
    )
    tale.costs(0.71).result(40_000).ended()
    return tale
