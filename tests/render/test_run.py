"""What a user sees of a run: the words, their order, what is open, what to do next."""

from __future__ import annotations

import re
from typing import Any

import pytest

from paseo_nb.git.values import DiffSummary
from paseo_nb.history import History
from paseo_nb.widgets.render import bundle, metadata
from paseo_nb.widgets.run_view.rows import Rows

from . import tales
from .checks import visible
from .tales import Tale, text_block

LATER = 14_000_000


def html_of(tale: Tale, state: str, live: bool = False, **more: Any) -> str:
    return of(tale, state, live, **more)["text/html"]


def of(tale: Tale, state: str, live: bool = False, **more: Any) -> dict[str, str]:
    given = {"diff": None, "now_us": tale.us + LATER, "live": live, **more}
    return bundle(tale.history, given.pop("spec", tales.spec()), state=state, **given)


def shown(tale: Tale, state: str, live: bool = False, **more: Any) -> str:
    return visible(html_of(tale, state, live, **more))


def test_a_finished_run_reads_from_top_to_bottom() -> None:
    assert shown(tales.done(), "idle", diff=tales.DIFF).splitlines()[:9] == [
        "✓ Done: tests/test_parse.py::test_offset_without_colon fails. Find out why an…",
        "claude/opus-4.6, branch paseo/fix-offset, 2 min 21 s, 362k tokens, $0.66, 2 files +6 −1",
        "Prompt tests/test_parse.py::test_offset_without_colon fails. Find out why and fix it. "
        "Keep the public API as it is.",
        "I’ll start with the failing test and the code that it covers.",
        "Thought for 6 s",
        "Reading the test first. The offset has no colon; the slices assume one.",
        "Read tests/test_parse.py: 58 lines, 0.04 s",
        "line",
        "line",
    ]
    text = shown(tales.done(), "idle", diff=tales.DIFF)
    order = [
        "Run pytest -q tests/test_parse.py: exit 1, 1.2 s",
        "1 failed, 13 passed in 0.42s",
        "Plan 3 of 4",
        "✓ Fix parse_offset",
        "Edit tidelog/parse.py: +5 −1",
        "-    sign, hh, mm = text[0], text[1:3], text[4:6]",
        "+    m = _OFFSET.fullmatch(text)",
        "Run pytest -q: 42 passed, 2.9 s",
        "Read docs/changelog.rst: failed, not found, 0.01 s",
        'Permission to run python -m pip install "hypothesis>=6,<7": allowed once after 18 s',
        "Fixed. parse_offset assumed a colon at index 3;",
        "Changed 2 files: +6 −1",
        'Saved 21 Nov 2025, 14:32 UTC. To look at it again: paseo.attach("01K3VQ8R7N")',
    ]
    places = [text.find(line) for line in order]
    assert -1 not in places
    assert places == sorted(places)


def test_the_root_names_the_run() -> None:
    html = html_of(tales.done(), "idle")
    assert html.startswith(f'<div data-paseo-run="{tales.RUN_ID}" ')


def test_what_is_open_and_what_is_folded_in_a_saved_run() -> None:
    html = html_of(tales.done(), "idle", diff=tales.DIFF)
    assert summaries(html, opened=True) == ["Edit tidelog/parse.py: +5 −1"]
    assert "Run pytest -q tests/test_parse.py: exit 1, 1.2 s" in summaries(html, opened=False)


def test_while_live_a_failing_command_is_open_with_its_last_lines() -> None:
    html = html_of(tales.running(), "running", live=True)
    assert "Run pytest -q tests/test_parse.py: exit 1, 1.2 s" in summaries(html, opened=True)
    assert "Edit tidelog/parse.py: +5 −1" in summaries(html, opened=True)
    text = visible(html)
    assert 'Last 8 of 17 lines. The rest: paseo.attach("01K3VQ8R7N").tool_calls()' in text
    assert "platform linux" not in text
    assert '<span style="font-weight:600;color:' in html  # the terminal's own bold red


def summaries(html: str, *, opened: bool) -> list[str]:
    mark = " open" if opened else ""
    found = re.findall(rf"<details{mark}><summary[^>]*>(.*?)</summary>", html)
    return [visible(f"<p>{line}</p>") for line in found]


def test_a_live_run_shows_state_figures_running_call_and_latest_text() -> None:
    text = shown(tales.running(), "running", live=True)
    lines = text.splitlines()
    assert lines[0].startswith("◔ Running: tests/test_parse.py")
    assert lines[1] == "claude/opus-4.6, branch paseo/fix-offset, 27 s, $0.32, context 16%"
    assert "◔ Search changelog: running, 15 s" in lines
    assert "✓ Reproduce the failing test" in lines
    assert "◔ Note the change in the changelog" in lines
    assert lines[-2] == "anything else raises ValueError as the docstring▍"
    assert lines[-1].startswith("As of 21 Nov 2025, 14:30:27 UTC. To follow it: paseo.attach(")


def test_a_waiting_permission_says_what_and_how_to_answer() -> None:
    tale, asked = tales.waiting()
    for live in (True, False):
        found = of(tale, "waiting", live)
        text = visible(found["text/html"])
        assert text.startswith("◆ Waiting for you: ")
        assert "◆ Run this command? asked 14 s ago" in text
        assert '\npython -m pip install "hypothesis>=6,<7"\n' in text
        assert (
            "Its options: 1. Yes · 2. Allow this very command for the rest of the run · 3. No"
            in text
        )
        assert f"%paseo allow 01K3VQ8R7N {asked}" in text
        assert f'%paseo deny 01K3VQ8R7N {asked} "reason"' in text
        assert f"paseo-nb allow 01K3VQ8R7N {asked}" in text
        for form in ("text/markdown", "text/plain"):
            assert f"%paseo allow 01K3VQ8R7N {asked}" in found[form]


def test_a_permission_about_an_edit_shows_the_edit() -> None:
    tale = Tale().prompt("p")
    diff = {"type": "diff", "path": "/home/u/project/a.py", "oldText": "one\n", "newText": "two\n"}
    tale.begins("c", "edit", "Edit a.py", content=[diff])
    tale.asks("c", "Edit a.py", "edit")
    text = shown(tale, "waiting", live=True)
    assert "◆ Make this edit?" in text
    assert text.count("\n-one\n+two\n") == 2  # in the row that waits and in the question


def test_answers_of_people_are_told_those_of_rules_only_when_they_deny() -> None:
    tale = Tale().prompt("p")
    tale.answers(tale.asks("a", "rm x", rawInput={"command": "rm x"}), "reject", 3, message="no!")
    by_rule = tale.asks("b", "ls", rawInput={"command": "ls"})
    tale.answers(by_rule, "allow-once", 0.001, by="policy", rule="mode edit lets looking pass")
    denied = tale.asks("c", "curl x", rawInput={"command": "curl x"})
    tale.answers(denied, "reject", 0, by="policy", rule="mode read forbids execute")
    text = shown(tale.ended(), "idle")
    assert "Permission to run rm x: denied after 3 s, no!" in text
    assert "Permission to run curl x: denied after 0.00 s, mode read forbids execute" in text
    assert "run ls" not in text


def test_a_failed_run_says_what_happened_and_what_to_do() -> None:
    found = of(tales.failed(), "error")
    lines = visible(found["text/html"]).splitlines()
    assert lines[0] == "✗ Failed: Add property tests for parse_offset"
    assert lines[3].startswith("codex is not signed in. ")
    assert lines[4] == "Run codex login in a terminal, then try again."
    assert "! codex is not signed in." in found["text/plain"]
    assert "Run `codex login` in a terminal" in found["text/markdown"]


def test_a_run_that_never_had_a_turn_says_why_it_ended() -> None:
    tale = Tale().line(
        "own", "run_ended", {"reason": "the command was not found", "state": "error"}
    )
    text = shown(tale, "error")
    assert "The run ended: the command was not found" in text
    assert 'paseo.attach("01K3VQ8R7N").inspect() has the details.' in text


def test_an_interrupted_run_says_what_is_kept_and_how_to_go_on() -> None:
    text = shown(tales.interrupted(), "interrupted")
    assert "The run's processes ended during turn 2." in text
    assert "Everything up to event 28 is kept." in text
    assert 'paseo.attach("01K3VQ8R7N").resume()' in text
    assert "Run pytest -q: cut off" in text


@pytest.mark.parametrize(
    ("outcome", "title"),
    [
        ("cancelled", "■ Cancelled: p"),
        ("limit", "■ Stopped at a limit: p"),
        ("refused", "✗ Refused: p"),
    ],
)
def test_a_turn_that_did_not_end_by_itself_is_not_called_done(outcome: str, title: str) -> None:
    tale = Tale().prompt("p").ended(outcome)
    assert shown(tale, "idle").splitlines()[0] == title
    assert of(tale, "idle")["text/plain"].splitlines()[0] == title


def test_a_cached_answer_says_that_nothing_was_spent() -> None:
    for text in of(tales.done(), "idle", cached=True).values():
        assert "Cached: the answer of run 01K3VQ8R7N, nothing was spent." in text


def test_every_turn_shows_its_prompt() -> None:
    lines = shown(tales.conversation(), "idle").splitlines()
    assert "Turn 2 What does %z accept?" in lines
    assert "What %z accepts" in lines
    assert lines[1].startswith("claude/opus-4.6, branch paseo/fix-offset, 2 turns, ")


def test_hidden_turns_are_named_in_the_gap() -> None:
    tale = Tale()
    for number in range(40):
        tale.prompt(f"question {number}").says("one").runs("c", "ls", "x").says("two").ended()
    for live in (True, False):
        text = shown(tale, "idle", live)
        assert "earlier steps are in the run: paseo.attach(" in text
        assert "question 39" in text
        assert "Turn 25 question 24" in text or live


def test_a_title_is_the_users_else_the_agents_else_the_prompts() -> None:
    tale = Tale().prompt("the `prompt` of **two** parts, 2**3\nsecond line")
    assert "◔ Running: the prompt of two parts, 2**3\n" in shown(tale, "running", live=True)
    tale.update("session_info_update", title="theirs")
    assert "◔ Running: theirs\n" in shown(tale, "running", live=True)
    named = tales.spec(title="mine")
    assert "◔ Running: mine\n" in shown(tale, "running", live=True, spec=named)


def test_nothing_is_invented_where_nothing_was_reported() -> None:
    tale = Tale().prompt("p").says("hello").ended()
    line = shown(tale, "idle", spec=tales.spec(branch=None, model=None)).splitlines()[1]
    assert line == "claude, 1.1 s"
    empty = DiffSummary([], "", "a1b2c3d")
    assert shown(tale, "idle", diff=empty).splitlines()[1].endswith(", no file changed")


def test_a_run_without_a_line_yet_is_shown() -> None:
    prompt = [{"type": "text", "text": "Begin"}]
    found = bundle(
        History(),
        tales.spec(prompt=prompt),
        state="starting",
        diff=None,
        now_us=tales.T0,
        live=True,
    )
    assert visible(found["text/html"]).splitlines()[0] == "◌ Starting: Begin"


def test_plain_text_and_markdown_tell_the_same_story() -> None:
    found = of(tales.done(), "idle")
    for words in ("exit 1", "42 passed", "failed, not found", "allowed once after 18 s", "+5"):
        assert words in found["text/plain"]
        assert words in found["text/markdown"]
    assert "+    m = _OFFSET.fullmatch(text)" in found["text/plain"]
    assert "  ```diff\n" in found["text/markdown"]
    assert "- [x] Fix `parse_offset`" in found["text/markdown"]


def test_a_long_command_is_cut_in_its_row_and_whole_in_its_fold() -> None:
    command = "python - <<'EOF'\nprint('first')\nprint('second')\nEOF"
    text = shown(Tale().prompt("p").runs("c", command, "first\nsecond"), "idle")
    assert "Run python - <<'EOF' print('first') print('second') EOF: 2 lines, 1.2 s" in text
    assert "\nprint('second')\nEOF\n" in text


def test_a_fence_around_an_output_is_not_shown() -> None:
    text = shown(Tale().prompt("p").reads("c", "a.py", "```python\nx = 1\ny = 2\n```"), "idle")
    assert "Read a.py: 2 lines, 0.04 s\nx = 1\ny = 2\n" in text


def test_metadata_names_run_model_and_cost() -> None:
    tale = tales.done()
    assert metadata(tale.history, tales.spec())["paseo_nb"] == {
        "run_id": tales.RUN_ID,
        "agent": "claude/opus-4.6",
        "model_asked": "opus-4.6",
        "model_answered": None,
        "state": "idle",
        "turns": 1,
        "tokens": 362_000,
        "cost_usd": 0.66,
    }


def test_a_price_is_no_formula() -> None:
    """JupyterLab runs MathJax over an output: `$1 and $2` must stay text."""
    html = html_of(Tale().prompt("p").says("It costs $1 and $2, or \\(x\\)."), "idle")
    assert "It costs <span>$</span>1 and <span>$</span>2" in html


def test_images_and_resources_of_tools_are_named() -> None:
    image = {"type": "content", "content": {"type": "image", "data": "AAAA", "mimeType": "x"}}
    tale = (
        Tale().prompt("p").begins("c", "other", "shot").ends("c", content=[image, text_block("ok")])
    )
    text = shown(tale, "idle")
    assert "[image]\nok" in text


def test_a_question_hides_nothing_of_what_would_be_done() -> None:
    """What is cut is said to be; the input of a tool that only its title names is shown."""
    tale = Tale().prompt("p")
    command = "\n".join(f"echo {n}" for n in range(60))
    tale.asks("a", "harmless", rawInput={"command": command})
    tale.asks("b", "mcp__files__remove", "other", rawInput={"path": "/everything", "force": True})
    escape = "echo hi \x1b]0;$(id)\x07"  # a terminal, and a text without escapes, has only echo hi
    ident = tale.asks("c", "harmless", rawInput={"command": escape})
    asks = Rows(tale.history, tales.spec(), "waiting", tale.us).asks()
    (ask,) = [one for one in asks if one["id"] == ident]
    assert ask["subject"] == "echo hi [U+001B]]0;$(id)[U+0007]"
    assert not ask["editable"]  # as what was shown would be sent
    for live in (True, False):
        found = of(tale, "waiting", live)
        assert "$(id)" in visible(found["text/html"])
        for text in (visible(found["text/html"]), found["text/markdown"], found["text/plain"]):
            assert "echo 0" in text
            assert "echo 59" in text
            assert "of 60 lines. The rest: " in text
            assert '"path": "/everything"' in text
            assert "harmless" not in text
