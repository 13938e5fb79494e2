"""The parts that runs are rendered from: numbers, terminal text, diffs, steps, tables."""

from __future__ import annotations

from typing import Any

import pytest

from paseo_nb.model import ToolCall
from paseo_nb.widgets.render import RunRow, diff_html, runs_table
from paseo_nb.widgets.render.diffs import between_texts, of_patch
from paseo_nb.widgets.render.steps import step_of
from paseo_nb.widgets.render.terminal import terminal_html, terminal_plain
from paseo_nb.widgets.render.units import age, ago, changes, duration, money, tokens, when

from . import tales
from .checks import visible, wrong_in_html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0.00 s"), (0.04, "0.04 s"), (0.1, "0.1 s"), (1.2, "1.2 s"), (6, "6 s"),
        (9.96, "10 s"), (18, "18 s"), (59.6, "1 min"), (143, "2 min 23 s"),
        (3840, "1 h 4 min"), (266_400, "3 d 2 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, ""), (0, "0"), (950, "950"), (1200, "1.2k"), (88_400, "88.4k"), (99_960, "100k"),
     (362_000, "362k"), (999_600, "1M"), (1_340_000, "1.3M")],
)  # fmt: skip
def test_tokens(count: int | None, text: str) -> None:
    assert tokens(count) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(None, ""), (0, "$0.00"), (0.66, "$0.66"), (1204.5, "$1,204.50"), (0.0042, "$0.0042"),
     (0.00001, "<$0.0001"), (-0.02, "−$0.02")],
)  # fmt: skip
def test_money(usd: float | None, text: str) -> None:
    assert money(usd) == text


def test_ages_and_dates() -> None:
    assert ago(tales.T0, tales.T0) == "just now"
    assert ago(tales.T0, tales.T0 + 14_000_000) == "14 s ago"
    assert ago(tales.T0, tales.T0 + 40 * 86_400_000_000) == "on 21 Nov 2025"
    assert age(tales.T0, tales.T0 + 7_300_000_000) == "2 h"
    assert when(tales.T0) == "21 Nov 2025, 14:30 UTC"
    assert changes(24, 1) == "+24 −1"
    assert changes(0, 0) == "no change"


def test_a_progress_bar_shows_its_last_state() -> None:
    assert terminal_plain("10%\r50%\r100%\ndone\r\n") == "100%\ndone\n"


def test_terminal_colours_become_spans_and_links_text() -> None:
    html = terminal_html(
        "\x1b[1;31mred\x1b[0m \x1b]8;;https://x.example\x07link\x1b]8;;\x07 \x1b[38;5;9mx"
    )
    assert html.startswith('<span style="font-weight:600;color:')
    assert html.endswith(" link x")
    assert wrong_in_html(f"<pre>{html}</pre>") == []
    assert terminal_html("\x1b[48;2;1;2;3;32mok\x1b[39m.").count("<span") == 1


# ---------------------------------------------------------------- diffs


def test_nothing_of_a_change_is_hidden_by_a_terminal_escape() -> None:
    """A shell runs what stands inside of one."""
    hidden = "echo hi \x1b]0;$(id)\x07 \u200b\x00\x9b31m"
    shown = "echo hi [U+001B]]0;$(id)[U+0007] [U+200B][U+0000][U+009B]31m"
    assert between_texts("x", "", hidden + "\n").lines == ["+" + shown]
    patch = f"--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+{hidden}\n"
    assert of_patch(patch)[0].lines[-1] == "+" + shown
    html = diff_html(patch)
    assert "$(id)" in html
    assert wrong_in_html(html) == []


def test_a_diff_of_two_texts_keeps_three_lines_around() -> None:
    old = "\n".join(map(str, range(30)))
    diff = between_texts("x", old, old.replace("\n5\n", "\n5a\n").replace("\n25\n", "\n"))
    assert (diff.added, diff.removed) == (1, 2)
    assert diff.lines[:5] == [" 2", " 3", " 4", "-5", "+5a"]
    assert "@@ … @@" in diff.lines
    assert diff.lines[-4:] == ["-25", " 26", " 27", " 28"]


def test_a_new_file_is_all_added_and_an_empty_change_is_none() -> None:
    assert between_texts("x", None, "a\nb\n").lines == ["+a", "+b"]
    assert between_texts("x", "a\n", "a\n").counts == "no change"


def test_texts_too_large_to_compare_are_said_to_be() -> None:
    diff = between_texts("x", "a" * 500_000, "b")
    assert diff.lines == []
    assert diff.note == "Too large to compare here."
    assert diff.counts == ""


def test_texts_alike_in_nothing_cost_no_search() -> None:
    a, b = "\n".join(["x", "y"] * 900), "\n".join(["y", "z"] * 900)
    diff = between_texts("x", a, b)
    assert (diff.added, diff.removed) == (1800, 1800)


def test_a_patch_is_read_file_by_file() -> None:
    files = of_patch(tales.PATCH)
    assert [(f.path, f.counts) for f in files] == [
        ("tidelog/parse.py", "+5 −1"),
        ("CHANGELOG.md", "+1"),
    ]
    lines = visible(diff_html(tales.PATCH)).splitlines()
    assert lines[0] == "tidelog/parse.py +5 −1"
    assert lines[1] == "@@ -4,7 +4,11 @@ from datetime import timedelta"
    assert "CHANGELOG.md +1" in lines


def test_a_line_that_looks_like_a_head_is_a_line() -> None:
    heads = "diff --git a/q.sql b/q.sql\n--- a/q.sql\n+++ b/q.sql\n"
    patch = f"{heads}@@ -1,2 +1,2 @@\n--- old\n+++ new\n x\n"
    [file] = of_patch(patch)
    assert (file.path, file.counts) == ("q.sql", "+1 −1")


def test_new_deleted_renamed_and_binary_files() -> None:
    patch = (
        "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n"
        "\\ No newline at end of file\n"
        "diff --git a/d b/d\ndeleted file mode 100644\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
        "diff --git a/o b/p\nsimilarity index 100%\nrename from o\nrename to p\n"
        "diff --git a/i.png b/i.png\nBinary files a/i.png and b/i.png differ\n"
    )
    assert [(f.path, f.counts) for f in of_patch(patch)] == [
        ("n", "+1"), ("d", "−1"), ("p", "no change"), ("i.png", "no change"),
    ]  # fmt: skip
    text = visible(diff_html(patch))
    assert "rename from o" in text
    assert "Binary files a/i.png and b/i.png differ" in text


def test_a_plain_patch_of_two_files_without_git_heads() -> None:
    patch = "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n--- c\n+++ d\n@@ -1 +1 @@\n-x\n+y\n"
    assert [f.path for f in of_patch(patch)] == ["b", "d"]


# ---------------------------------------------------------------- tool calls as agents send them


def call(kind: str, **more: Any) -> ToolCall:
    fields: dict[str, Any] = {
        "tool_call_id": "c", "turn": 1, "seq": 1, "tool_name": None, "title": "title",
        "input": None, "output": None, "content": [], "locations": [], "started_us": 0,
        "finished_us": 1_200_000, "outcome": "completed",
    }  # fmt: skip
    return ToolCall(kind=kind, **{**fields, **more})


def row(found: ToolCall, live: bool = False) -> str:
    step = step_of(found, cwd="/p", now_us=3_000_000, live=live)
    return f"{step.word} {step.target}: {step.result}, {step.time}"


def test_commands() -> None:
    given = {"command": ["bash", "-lc", "ls 'a b'"]}
    assert row(call("execute", input=given)).startswith("Run bash -lc 'ls '\"'\"'a b'")
    assert row(call("execute", title="`ls`", output="a\nb")) == "Run ls: 2 lines, 1.2 s"
    assert row(call("execute", output={"exitCode": 0, "stdout": ""})) == "Run title: , 1.2 s"
    said = call("execute", output="Exit code 2\nls: x", outcome="failed")
    assert row(said) == "Run title: exit 2, 1.2 s"
    opencode = call("execute", output={"output": "boom", "metadata": {"exit": 127}})
    assert row(opencode) == "Run title: exit 127, 1.2 s"
    tests = "...\n=== 1 failed, 41 passed in 2.61s ==="
    assert row(call("execute", output=tests)) == "Run title: 1 failed, 41 passed, 1.2 s"
    running = call("execute", outcome=None, finished_us=None)
    assert row(running, live=True) == "Run title: running, 3 s"
    assert row(running) == "Run title: unfinished, "


def test_edits_however_the_agent_tells_them() -> None:
    claude = {"type": "diff", "path": "/p/h.txt", "oldText": None, "newText": "hello\n"}
    assert row(call("edit", content=[claude], locations=["/p/h.txt"])) == "Write h.txt: +1, 1.2 s"
    opencode = call(
        "edit",
        input={"filePath": "/p/h.txt", "content": "hello\n"},
        output={"output": "Wrote file successfully.", "metadata": {"exists": False}},
    )
    assert row(opencode) == "Write h.txt: +1, 1.2 s"
    replaced = call("edit", input={"path": "/p/a", "oldString": "x", "newString": "x\ny"})
    assert row(replaced) == "Edit a: +1, 1.2 s"
    patched = call("edit", locations=["/p/a"], output={"metadata": {"diff": tales.PATCH}})
    assert row(patched) == "Edit a: +6 −1, 1.2 s"
    two = [{**claude, "path": "/p/a"}, {**claude, "path": "/p/b"}]
    assert row(call("edit", content=two)) == "Write a and 1 more: +2, 1.2 s"
    failed = call("edit", content=[claude], outcome="failed", error="string not found in file")
    assert row(failed) == "Write h.txt: failed, not found, 1.2 s"


def test_other_kinds() -> None:
    assert (
        row(call("search", input={"pattern": "TODO"}, output="a\nb\nc"))
        == "Search TODO: 3 lines, 1.2 s"
    )
    assert (
        row(call("fetch", input={"url": "https://x.example"})) == "Fetch https://x.example: , 1.2 s"
    )
    assert row(call("other", title="mcp__github__issue")) == "Use mcp__github__issue: , 1.2 s"
    assert row(call("read", locations=["/p/a", "/q/b"])) == "Read a and 1 more: , 1.2 s"
    gone = call("read", outcome="failed", error="permission denied: /p/x.")
    assert row(gone) == "Read title: failed, permission denied: /p/x, 1.2 s"
    assert row(call("read", outcome="interrupted")) == "Read title: cut off, 1.2 s"


# ---------------------------------------------------------------- the table of runs

ROWS = [
    RunRow(tales.RUN_ID, "running", "claude/opus", "Fix it", tales.T0, 362_000, 0.66, "paseo/x"),
    RunRow("01K3VQ8R8NXXXX", "idle", "pi", "日本語の題 | <b>", outcome="cancelled"),
]


def test_the_table_lines_up_and_leaves_the_unknown_empty() -> None:
    found = runs_table(ROWS, now_us=tales.T0 + 180_000_000)
    assert found["text/plain"].splitlines() == [
        "run         state        agent        title               age  tokens   cost  branch",
        "01K3VQ8R7N  ◔ Running    claude/opus  Fix it            3 min    362k  $0.66  paseo/x",
        "01K3VQ8R8N  ■ Cancelled  pi           日本語の題 | <b>",
    ]
    assert wrong_in_html(found["text/html"]) == []
    assert "日本語の題 | <b>" in visible(found["text/html"])
    assert found["text/markdown"].splitlines()[3].count(" | ") == 7


def test_no_runs() -> None:
    found = runs_table([], now_us=0)
    assert found["text/plain"] == "No runs yet."
    assert visible(found["text/html"]) == "No runs yet."
