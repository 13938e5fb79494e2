"""Reading failures: where two runs parted, and comparisons as one file."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from minds import Minds

import paseo_nb as paseo
from paseo_nb.contests.reports import rates_svg, save, table
from paseo_nb.contests.side_by_side import Pair, aligned
from paseo_nb.errors import StorageProblem, UsageProblem
from paseo_nb.widgets.render.steps import Step


def did(text: str, result: str = "") -> Step:
    word, _, target = text.partition(" ")
    return Step(word, target, result, "", "", failed=result.startswith("exit"))


def kinds(pairs: list[Pair]) -> list[str]:
    return [pair.kind for pair in pairs]


def test_actions_are_compared_one_by_one_and_found_again_after_they_parted() -> None:
    a = [did("Read a.py"), did("Run pytest", "exit 1"), did("Edit a.py"), did("Run pytest", "ok")]
    b = [did("Read a.py"), did("Run pytest", "exit 1"), did("Read b.py"), did("Edit b.py"), did("Run pytest", "ok")]  # fmt: skip
    found = aligned(a, b)
    assert kinds(found) == ["same", "same", "another action", "only b", "same"]
    assert kinds(aligned(a, a)) == ["same"] * 4
    assert kinds(aligned(a, [])) == ["only a"] * 4
    other = [did("Run pytest", "3 passed")]
    assert kinds(aligned([did("Run pytest", "exit 1")], other)) == ["another result"]
    took = [did("Run x", "done in 3.2 s")], [did("Run x", "done in 4 s")]
    assert kinds(aligned(*took)) == ["same"], "how long it took is no difference"


def test_two_runs_are_shown_side_by_side_with_their_first_difference(repo: Path) -> None:
    one = paseo.run("demo/fixer", "fix it", worktree="one")
    other = paseo.run("demo/echo", "hello", worktree="two")
    found = paseo.compare(one, other)
    assert found.first == 1
    assert found.says.startswith("At action 1 they part: demo/fixer")
    frame = found.frame
    assert list(frame["first"])[:2] == [True, False]
    assert frame["a_kind"].notna().all()
    assert "first difference" in found.html()
    again = paseo.run("demo/fixer", "fix it", worktree="three")
    same = paseo.compare(one, again)
    assert set(same.frame["how"]) == {"same"}, "in other folders, and at other times"
    assert same.first is None
    assert "the same" in repr(same)


def test_a_match_and_a_tournament_are_saved_as_one_file(
    repo: Path, minds: Minds, tmp_path: Path
) -> None:
    match = paseo.arena("add <b>total</b>", ["alpha", "beta"], tests="grep xs sum.py").wait()
    with pytest.raises(UsageProblem, match="no run"):
        match.compare("A", "C")
    assert "Neither used a tool" in match.compare("A", "B").says
    found = paseo.tournament(
        [{"prompt": "x", "tests": "grep 'sum(xs)' sum.py"}], ["alpha", "beta", "gamma"]
    ).wait()
    assert found.compare("1", "alpha", "beta").first is None
    for name, one in (("match", match), ("tournament", found)):
        text = one.save(tmp_path / f"{name}.html").read_text()
        assert "default-src 'none'" in text
        assert not re.search(r"<script|<link|<img|src=|url\(|@import|https?://", text)
        assert "<b>total</b>" not in text
    assert "gamma broke" in text
    assert "alpha against beta" in text
    assert "1 of 1" in text
    with pytest.raises(StorageProblem):
        match.save(tmp_path / "nowhere" / "x.html")


def test_reports_escape_what_they_are_given(tmp_path: Path) -> None:
    frame = pd.DataFrame({"agent": ["<i>x</i>"], "solve_rate": [0.5], "solve_low": [0.1], "solve_high": [0.9]})  # fmt: skip
    for told in (table(frame, {"agent": "Agent"}), rates_svg(frame)):
        assert "<i>" not in told
        assert "&lt;i&gt;" in told
    assert "<i>" not in save(tmp_path / "x.html", "<i>", "").read_text()
