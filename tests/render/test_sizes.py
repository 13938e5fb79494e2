"""Outputs stay small and a live one looks only at what it shows, whatever a run was."""

from __future__ import annotations

from typing import Any, SupportsIndex

import pytest

from paseo_nb.git.values import DiffSummary, FileChange
from paseo_nb.widgets.render import bundle, diff_html

from . import tales
from .checks import visible, wrong_in_html
from .tales import Tale, text_block

LIVE, FINAL = 40_000, 200_000


def many_steps() -> Tale:
    tale = Tale().prompt("go")
    for n in range(400):
        tale.says("text **b** `c` $ " * 40).edits(f"e{n}", f"{n}.py", tales.OLD, tales.NEW + str(n))
        tale.runs(f"r{n}", "pytest", tales.FAILURE * 30, 1)
    return tale


def many_questions() -> Tale:
    tale = Tale().prompt("go")
    for n in range(300):
        tale.asks(f"q{n}", "x", rawInput={"command": '"<&' * 5000})
    return tale


def huge_error() -> Tale:
    error = {"code": "x", "message": "$<b>\n" * 50_000, "hint": "`$`" * 50_000}
    return Tale().prompt("$" * 500_000).ended("error", error=error)


def huge_plan() -> Tale:
    entries = [("completed", '"$' * 4000)] * 2000
    return Tale().prompt("go").plans(*entries)


def one_line_output() -> Tale:
    return Tale().prompt("go").runs("c", "cat x", "\x1b[31m<" * 300_000)


def many_colours() -> Tale:
    return Tale().prompt("go").runs("c", "x", "\n".join(f"\x1b[3{n % 8}mx" * 99 for n in range(99)))


def huge_message() -> Tale:
    return Tale().prompt("go").says('"$`<' * 400_000).thinks("```\n" * 90_000).says("\\$" * 90_000)


def huge_diff() -> Tale:
    old, new = "\n".join(f'"{n}' for n in range(20_000)), "\n".join(f'"{n}<' for n in range(20_000))
    tale = Tale().prompt("go")
    tale.edits("a", "a.py", old, new).edits("b", "b" * 5000, None, '"' * 900_000)
    return tale


def many_turns() -> Tale:
    tale = Tale()
    for n in range(1500):
        tale.prompt('"$<' * 300 + str(n)).says("ok").ended()
    return tale


def many_files_in_one_call() -> Tale:
    diff = {"type": "diff", "path": "/p/" + "x" * 300, "oldText": tales.OLD, "newText": tales.NEW}
    tale = Tale().prompt("go")
    return tale.begins("c", "edit", "all", content=[diff] * 300).ends("c")


def long_words() -> Tale:
    tale = Tale().prompt("go")
    for n in range(80):
        tale.begins(f"c{n}", "other", "$" * 9000, rawInput={"x": ["<" * 100] * 900})
        tale.ends(f"c{n}", content=[text_block("&" * 9000)])
    return tale


TALES = [
    many_steps, many_questions, huge_error, huge_plan, one_line_output, many_colours, huge_message,
    huge_diff, many_turns, many_files_in_one_call, long_words,
]  # fmt: skip


@pytest.mark.parametrize("make", TALES)
def test_an_output_stays_small_and_whole(make: Any) -> None:
    tale = make()
    patch = "".join(tales.PATCH.replace("parse", f'"{n}"' * 20) for n in range(3000))
    diff = DiffSummary([FileChange('"' * 900, 1, 1)] * 3000, patch, "x")
    for live, limit in ((True, LIVE), (False, FINAL)):
        for state in ("waiting", "error"):
            found = bundle(
                tale.history, tales.spec(branch="$" * 900, model="$" * 900), state=state,
                diff=diff, now_us=tale.us, live=live,
            )  # fmt: skip
            total = sum(len(text.encode()) for text in found.values())
            assert total <= limit, {form: len(text) for form, text in found.items()}
            assert wrong_in_html(found["text/html"]) == []


def test_what_matters_stays_when_the_middle_goes() -> None:
    tale = many_steps()
    tale.asks("q", "x", rawInput={"command": "make dangerous"})
    tale.says("The **last** words.")
    for live in (True, False):
        found = bundle(
            tale.history, tales.spec(), state="waiting", diff=None, now_us=tale.us, live=live
        )
        text = visible(found["text/html"])
        assert "Prompt go" in text
        assert "make dangerous" in text
        assert "The last words." in text
        assert 'earlier steps are in the run: paseo.attach("01K3VQ8R7N").transcript()' in text


def test_the_gap_counts_every_step_that_is_not_shown() -> None:
    tale = Tale().prompt("go")
    for n in range(499):
        tale.runs(f"r{n}", f"step {n}", "x")
    found = bundle(
        tale.history, tales.spec(), state="running", diff=None, now_us=tale.us, live=True
    )
    shown = visible(found["text/html"]).count("Run step ")
    assert shown == 14
    assert "⋮ 485 earlier steps are in the run" in found["text/html"]


def test_a_long_message_keeps_both_ends_and_its_code_block() -> None:
    body = "\n".join(f"line {n} of the code" for n in range(9000))
    tale = Tale().prompt("go").says(f"Beginning.\n\n```python\n{body}\n```\n\nThe **end**.")
    found = bundle(tale.history, tales.spec(), state="idle", diff=None, now_us=tale.us, live=False)
    text = visible(found["text/html"])
    assert "Beginning." in text
    assert "characters are left out here." in text
    assert "line 8999 of the code" in text
    assert text.splitlines()[-2] == "The end."


class Watched(list[Any]):
    """A list that counts how many of its items were looked at."""

    seen = 0

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        found = super().__getitem__(at)
        self.seen += len(found) if isinstance(at, slice) else 1
        return found

    def __iter__(self) -> Any:
        self.seen += len(self)
        return super().__iter__()

    def __reversed__(self) -> Any:
        self.seen += len(self)
        return super().__reversed__()


class WatchedDict(dict[Any, Any]):
    """A dictionary that may be asked for a key, never walked through."""

    def __iter__(self) -> Any:
        raise AssertionError("walked through all tool calls")

    items = values = keys = __iter__  # type: ignore[assignment]


@pytest.mark.parametrize("steps", [300, 20_000])
def test_a_live_view_looks_at_what_it_shows_only(steps: int) -> None:
    tale = Tale().prompt("go")
    for n in range(steps // 2):
        tale.begins(f"r{n}", "execute", "ls", rawInput={"command": "ls"}).ends(f"r{n}")
        tale.says("ok")
    tale.history.items = items = Watched(tale.history.items)
    tale.history.tool_calls = WatchedDict(tale.history.tool_calls)
    bundle(tale.history, tales.spec(), state="running", diff=None, now_us=tale.us, live=True)
    assert items.seen <= 60


def test_a_cut_diff_points_to_the_rest() -> None:
    lines = "\n".join(f"+{n}" for n in range(900))
    patch = f"--- a/x\n+++ b/x\n@@ -0,0 +1,900 @@\n{lines}\n"
    text = visible(diff_html(patch, max_lines=50, pointer='paseo.attach("X").diff()'))
    assert text.splitlines()[0] == "x +900"
    assert text.splitlines()[-1] == 'First 50 lines of 901. The rest: paseo.attach("X").diff()'
    assert "\n+48" in text
    assert "\n+50" not in text
