"""Runs as the kernel would tell them, with the content of the design's pictures."""

from __future__ import annotations

import random
import time
from typing import Any

NOW = int(time.time() * 1e6)
CAN = {
    "steer": True, "interrupt": True, "cancel": True, "send": True, "set_model": True,
    "set_mode": True, "set_effort": True, "set_agent_mode": True, "unqueue": True,
    "trace": True,
}  # fmt: skip
HEAD: dict[str, Any] = {
    "run_id": "01K3VQ8R5T6Y7U8I9O0PABCDEF", "short": "01K3VQ8R", "title": "Fix test_offset_without_colon",
    "state": "running", "shape": "running", "word": "Running", "agent": "claude/opus-4.6",
    "model": "opus-4.6", "models": [{"id": "opus-4.6", "name": "opus-4.6"}, {"id": "sonnet-4.6", "name": "sonnet-4.6"}],
    "permission_mode": "edit", "branch": "paseo/fix-offset", "base": "main", "turn": 1,
    "tokens": 136_000, "cost_usd": 0.32, "context": [32_000, 200_000], "diff": [1, 6, 1],
    "now_us": NOW, "queued": [], "can": CAN, "attach": "%paseo attach 01K3VQ8R",
}  # fmt: skip
PYTEST = """    def test_offset_without_colon():
>       assert parse_offset("+0530") == timedelta(hours=5, minutes=30)
\x1b[31mE       assert datetime.timedelta(seconds=18000) == datetime.timedelta(seconds=19800)\x1b[0m

tests/test_parse.py:31: AssertionError
\x1b[1m1 failed, 13 passed in 0.42s\x1b[0m"""
DIFF: dict[str, Any] = {
    "path": "tidelog/parse.py", "added": 6, "removed": 1, "note": "",
    "lines": [
        "@@ -8,1 +8,3 @@",
        ' _STAMP = re.compile(r"(\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d)(.*)")',
        '+_OFFSET = re.compile(r"([+-])(\\d\\d):?(\\d\\d)")',
        "+",
        "@@ -12,4 +14,7 @@ parse_offset",
        " def parse_offset(text: str) -> timedelta:",
        "-    sign, hh, mm = text[0], text[1:3], text[4:6]",
        "+    m = _OFFSET.fullmatch(text)",
        "+    if m is None:",
        '+        raise ValueError(f"not a UTC offset: {text!r}")',
        "+    sign, hh, mm = m.groups()",
        "     delta = timedelta(hours=int(hh), minutes=int(mm))",
        '     return -delta if sign == "-" else delta',
    ],
}  # fmt: skip


def call(kind: str, word: str, target: str, **fields: Any) -> dict[str, Any]:
    """A tool call's row."""
    row: dict[str, Any] = {
        "k": "call", "kind": kind, "word": word, "target": target, "full": "", "result": "", "tone": "",
        "started_us": NOW, "took_s": 0.04, "running": False, "failed": False, "open": False,
        "input": "", "output": "", "output_lines": 0, "keep": "", "diffs": [],
    }  # fmt: skip
    return row | fields


PROMPT = {
    "k": "prompt", "turn": 1, "label": "Prompt",
    "text": "`tests/test_parse.py::test_offset_without_colon` fails. Find out why and fix it. Keep the public API as it is.",
}  # fmt: skip
THOUGHT = {
    "k": "thought", "label": "Thought for 6 s", "tokens": 412,
    "text": 'The slice `text[4:6]` assumes that index 3 is a colon. For `"+0530"` it takes one character, "0".',
}  # fmt: skip
PLAN = {
    "k": "plan",
    "entries": [
        ["completed", "Reproduce the failing test"],
        ["completed", "Fix `parse_offset`"],
        ["completed", "Run the whole test suite"],
        ["in_progress", "Note the change in the changelog"],
    ],
}
ROWS: list[dict[str, Any]] = [
    PROMPT,
    {"k": "text", "text": "I’ll start with the failing test and the code that it covers."},
    THOUGHT,
    call("read", "Read", "tests/test_parse.py", result="58 lines", output="import pytest"),
    call("read", "Read", "tidelog/parse.py", result="41 lines", output="import re"),
    call("execute", "Run", "pytest -q tests/test_parse.py", result="exit 1", tone="bad", took_s=1.2,
         failed=True, open=True, output=PYTEST, output_lines=31, keep="end"),
    PLAN,
    call("edit", "Edit", "tidelog/parse.py", result="+6 −1", took_s=0.1, open=True, diffs=[DIFF]),
    call("execute", "Run", "pytest -q", result="42 passed", took_s=2.9, output="42 passed in 2.61s", output_lines=1),
    call("read", "Read", "docs/changelog.rst", result="failed, not found", tone="bad", took_s=0.01, failed=True,
         output="No such file: docs/changelog.rst", output_lines=1),
    call("search", "Search", "changelog", result="1 file", took_s=0.2, output="CHANGELOG.md", output_lines=1),
    {"k": "text", "text": "The slice `text[4:6]` took for granted that a colon stands at index 3. For `\"+0530\"` it read one digit and the minutes became 0. I match the whole offset with one expression now, so\n\n- `+05:30` and `+0530` give the same result,\n- anything else raises `ValueError` as the docstring"},
]  # fmt: skip
ASK = {
    "id": "p12", "question": "Run this command?", "kind": "execute",
    "why": "To test offsets with generated input. It changes the environment, so your policy asks first.",
    "asked_us": NOW - 14_000_000, "subject": 'python -m pip install "hypothesis>=6,<7"', "editable": True, "diffs": [],
    "options": [
        {"id": "once", "kind": "allow_once", "name": "Yes"},
        {"id": "always", "kind": "allow_always", "name": "Allow `pip install` in this run"},
        {"id": "no", "kind": "reject_once", "name": "No"},
    ],
    "row": 0,
}  # fmt: skip
FINAL = {
    "k": "text",
    "text": "Fixed. `parse_offset` assumed a colon at index 3; it now matches the whole offset, with or without the colon. All 43 tests pass, one of them new. The public API is unchanged.",
}
ANSWERED = {
    "k": "answered",
    "spans": [["", "Permission to run "], ["code", 'python -m pip install "hypothesis>=6,<7"'], ["", ": "], ["", "allowed once"], ["quiet", " after 18 s"]],
}  # fmt: skip


def running(**head: Any) -> dict[str, Any]:
    """In the middle of a turn."""
    return {"head": HEAD | {"turn_started_us": NOW - 41_000_000} | head, "rows": ROWS, "asks": []}


def waiting(**head: Any) -> dict[str, Any]:
    """With a question."""
    more = {"state": "waiting", "shape": "waiting", "word": "Waiting for you", "tokens": 190_000, "cost_usd": 0.39,
            "context": [36_000, 200_000], "diff": [2, 7, 1], "turn_started_us": NOW - 84_000_000}  # fmt: skip
    return {"head": HEAD | more | head, "rows": ROWS[:9], "asks": [ASK]}


def ended(shape: str = "done", **head: Any) -> dict[str, Any]:
    """Over: done, failed, interrupted or stopped."""
    states = {"done": ("idle", "Done"), "failed": ("error", "Failed"), "interrupted": ("interrupted", "Interrupted"),
              "stopped": ("stopped", "Stopped")}  # fmt: skip
    state, word = states[shape]
    rows = [*ROWS[:11], ANSWERED, {"k": "prompt", "turn": 2, "label": "Turn 2", "text": "Note it in the changelog."},
            call("edit", "Edit", "CHANGELOG.md", result="+1", diffs=[{"path": "CHANGELOG.md", "lines": ["+- offsets"], "added": 1, "removed": 0, "note": ""}])]  # fmt: skip
    more: dict[str, Any] = {"state": state, "shape": shape, "word": word, "tokens": 362_000, "cost_usd": 0.66,
                            "turn_took_s": 143, "turn": 2, "context": [48_000, 200_000], "diff": [3, 24, 1]}  # fmt: skip
    if shape == "failed":
        more |= {"title": "Add property tests for parse_offset", "agent": "codex/gpt-5.4", "model": "gpt-5.4", "models": [],
                 "tokens": 0, "cost_usd": 0, "turn_took_s": 8, "context": [0, 200_000], "diff": [0, 0, 0], "can": {"retry": True}}  # fmt: skip
        rows = [PROMPT, {"k": "note", "tone": "bad", "text": "codex is not signed in.", "hint": "The agent ended the turn with an authentication error after 8 s. Run `codex login` in a terminal, then try again."}]  # fmt: skip
    elif shape == "interrupted":
        more |= {"can": {"resume": True}}
        rows.append({"k": "note", "tone": "warn", "text": "The machine restarted during turn 2.", "hint": "Everything up to event 318 is kept. Resume continues in the agent’s own session; the command `pytest -q` was cut off and will run again."})  # fmt: skip
    else:
        more["can"] = CAN | {"undo": True, "apply": True}
        rows.append(FINAL)
    return {"head": HEAD | more | head, "rows": rows, "asks": []}


def long_run(rows: int) -> list[dict[str, Any]]:
    """Rows of all kinds and heights."""
    rng = random.Random(4)
    words = ROWS[-1]["text"].split()
    out: list[dict[str, Any]] = []
    for number in range(rows):
        kind = rng.random()
        if kind < 0.35:
            paragraphs = (
                " ".join(rng.choices(words, k=rng.randint(5, 80))) for _ in range(rng.randint(1, 4))
            )
            out.append({"k": "text", "text": f"Row {number}. " + "\n\n".join(paragraphs)})
        elif kind < 0.4:
            out.append({"k": ""})
        elif kind < 0.5:
            out.append(
                call(
                    "edit",
                    "Edit",
                    f"src/f{number}.py",
                    result="+6 −1",
                    open=True,
                    diffs=[DIFF],
                )
            )
        else:
            out.append(
                call("read", "Read", f"src/g{number}.py", result="40 lines", output="x\n" * 40)
            )
    return out
