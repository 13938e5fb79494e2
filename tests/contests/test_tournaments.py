"""Tournaments: every trial once, whatever is killed; judged, ranked, and said how sure that is."""

from __future__ import annotations

import random
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kit import git
from minds import Minds

import paseo_nb as paseo
from paseo_nb.contests import boards, tournaments
from paseo_nb.contests.tasks import tasks_of
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.engine.values import Outcome, Wanted
from paseo_nb.errors import UsageProblem
from paseo_nb.model import Usage
from paseo_nb.widgets import frame_view

RIGHT = {"good": 0.9, "fair": 0.6, "bad": 0.2, "worse": 0.1}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository with one commit."""
    path = tmp_path / "here"
    path.mkdir()
    git(path, "init", "-q")
    git(path, "-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "x")  # fmt: skip
    monkeypatch.chdir(path)
    return path


def answers(wanted: Wanted) -> Outcome:
    """Right as often as its agent is good, of a task and trial always the same."""
    call = wanted.call
    chance = random.Random(f"{call.agent} {call.key}").random()
    text = "yes" if chance < RIGHT[call.agent or ""] else "no"
    return Outcome(text, usage=Usage(cost_usd=RIGHT[call.agent or ""] / 10))


def simulated(here: Path, tasks: int, trials: int, place: Any) -> tournaments.Tournament:
    given = tasks_of([{"prompt": f"is {n} right?", "expect": "yes"} for n in range(tasks)], here)
    contest = tournaments.Contest(given, list(RIGHT), trials)
    home = here / ".paseo_nb"
    return tournaments.begun(home, contest, place=lambda: place).wait(120)


def test_a_tournament_of_simulated_agents_has_each_trial_once(here: Path) -> None:
    place = SimulatedPlace(answers)
    found = simulated(here, 10, 3, place)
    frame = found.trials()
    assert len(frame) == 10 * 4 * 3 == len(place.started)
    assert frame.groupby(["task", "agent", "trial"]).size().eq(1).all()
    assert frame["state"].eq("done").all()
    board = found.leaderboard()
    assert list(board["agent"])[:2] == ["good", "fair"]
    assert (board["solve_low"] <= board["solve_rate"]).all()
    assert (board["pass_hat_k"] <= board["solve_rate"]).all()
    assert (board["pass_at_k"] >= board["solve_rate"]).all()
    pairs = found.comparisons().set_index(["a", "b"])
    assert pairs.loc[("bad", "good"), "separable"]
    close = pairs.loc[("bad", "worse")]
    assert not close["separable"]
    assert close["says"].startswith("Not separable yet. bad against worse: ")
    ranks = dict(zip(board["agent"], board["rank"], strict=True))
    assert ranks["worse"] == ranks["bad"]
    again = simulated(here, 10, 3, place)
    assert again.id == found.id, "one that is done is given back"
    assert len(place.started) == 120
    more = simulated(here, 10, 4, place)
    assert len(place.started) == 160, "a further trial takes the first three from before"
    assert len(more.trials()) == 160


def test_one_that_was_stopped_goes_on_where_it_was(here: Path) -> None:
    class Cut(SimulatedPlace):
        async def done(self, wanted: Wanted) -> Outcome:
            if len(self.started) >= 9:
                raise UsageProblem("cut")
            return await super().done(wanted)

    cut = Cut(answers)
    with pytest.raises(paseo.WorkflowError):
        simulated(here, 6, 1, cut)
    assert 9 <= len(cut.started) < 24
    whole = SimulatedPlace(answers)
    found = simulated(here, 6, 1, whole)
    assert len(found.trials()) == 24
    first = {one.run_id for one in cut.started}
    assert not first & {one.run_id for one in whole.started}, "none was run again"
    assert len(cut.started) + len(whole.started) == 24


def test_trials_of_real_runs_are_judged_by_hidden_tests(repo: Path, minds: Minds) -> None:
    tasks = repo.parent / "tasks"
    for name, want in (("sums", "sum(xs)"), ("zeros", "return 0")):
        (tasks / name / "hidden").mkdir(parents=True)
        (tasks / name / "hidden" / "check.sh").write_text(f"grep -F '{want}' sum.py\n")
        (tasks / name / "task.toml").write_text(f'prompt = "do {name}"\nrepo = "{repo}"\ntests = "sh check.sh"\n')  # fmt: skip
    found = paseo.tournament(tasks, ["alpha", "beta", "gamma"]).wait()
    frame = found.trials().set_index(["task", "agent"])
    solved = {key: bool(value) for key, value in frame["solved"].items()}
    assert solved == {
        ("sums", "alpha"): True, ("sums", "beta"): False, ("sums", "gamma"): False,
        ("zeros", "alpha"): False, ("zeros", "beta"): True, ("zeros", "gamma"): False,
    }  # fmt: skip
    assert frame.loc[("sums", "gamma"), "state"] == "failed"
    assert "gamma broke" in frame.loc[("sums", "gamma"), "cause"]
    assert frame["run_id"].notna().all()
    assert len(minds.asked()) == 6
    text = repr(found)
    assert "6 of 6 trials" in text
    board = paseo.leaderboard(found.id)
    assert set(board["rank"]) == {1}, "two tasks tell nobody apart"
    assert subprocess.run(["git", "-C", str(repo), "status", "--porcelain"], capture_output=True, text=True).stdout == ""  # fmt: skip


def test_tasks_are_read_and_checked(here: Path, tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "prompt": ["x", "y"], "expect": ["1", None], "tests": [None, "true"]})  # fmt: skip
    a, b = tasks_of(frame, here)
    assert (a.expect, a.tests, b.tests) == ("1", None, "true")
    assert a.base == git(here, "rev-parse", "HEAD").strip()
    for rows, said in (
        ([], "no tasks"),
        ([{"prompt": "x"}], "tests= .* or expect="),
        ([{"prompt": "x", "expect": "1", "tset": "y"}], "tset"),
        ([{"id": 1, "prompt": "x", "expect": "1"}] * 2, "two tasks have the id '1'"),
        ([{"prompt": "x", "expect": "1", "base": "nowhere"}], "is no commit"),
        ([{"prompt": "x", "tests": "true", "hidden": "nowhere"}], "is no folder"),
    ):
        with pytest.raises(UsageProblem, match=said):
            tasks_of(rows, here)


def test_a_leaderboard_of_a_frame_of_ones_own(here: Path) -> None:
    rows = [
        {"agent": agent, "task": str(task), "solved": (task + shift) % 3 > 0, "cost_usd": cost}
        for agent, shift, cost in (("a", 0, 1.0), ("b", 1, 2.0))
        for task in range(9)
    ]
    board = boards.leaderboard(pd.DataFrame(rows))
    assert list(board["solve_rate"]) == pytest.approx([6 / 9] * 2)
    assert dict(zip(board["agent"], board["on_front"], strict=True)) == {"a": True, "b": False}
    assert boards.plot_rates(board).data
    assert boards.plot_front(board).data
    shown = boards.shown("Tournament <i>", pd.DataFrame(rows).replace("a", "a<img src=x>"))
    assert "  1  b  67% (36% to 90%)  9 trials  $2.00 a trial\n" in shown["text/plain"]
    for card in (shown["text/html"], frame_view.as_html(board)):
        assert "<b>Not separable yet.</b> " in card
        assert "<img" not in card
        assert "<i>" not in card
        assert 'aria-label="67%, 36% to 90%"' in card
        assert "1.00 a trial ● on the front" in card
    assert "data-paseo-board" not in frame_view.as_html(board[["rank", "agent"]])
    with pytest.raises(UsageProblem, match="task is missing"):
        boards.leaderboard(pd.DataFrame({"agent": [], "solved": []}))


def test_matches_make_a_leaderboard_too(repo: Path, minds: Minds) -> None:
    assert paseo.leaderboard().empty
    match = paseo.arena("x", ["alpha", "beta"], tests="grep 'sum(xs)' sum.py").wait()
    assert match.winner == "alpha"
    board = paseo.leaderboard()
    assert list(board["agent"]) == ["alpha", "beta"]
    assert list(board["rank"]) == [1, 1], "one match tells nobody apart"
    assert "alpha against beta: about" in frame_view.as_html(board)


def test_a_tournament_is_given_back_from_its_bundle_without_an_agent(
    repo: Path, minds: Minds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [{"id": "sums", "prompt": "do it", "tests": "grep 'sum(xs)' sum.py"}]
    made = paseo.tournament(tasks, ["alpha", "beta"]).wait()
    file = made.bundle(tmp_path / "contest.zip")
    other = tmp_path / "elsewhere"
    subprocess.run(["git", "clone", "-q", str(repo), str(other)], check=True)
    monkeypatch.chdir(other)
    minds.file.unlink()  # no agent could be run here
    monkeypatch.setenv("PASEO_NB_REPLAY", "1")
    with pytest.raises(paseo.ReplayMiss, match="open its bundle first"):
        paseo.tournament(tasks, ["alpha", "beta"])
    opened = paseo.open_bundle(file)
    assert len(opened.runs) == 2
    again = paseo.tournament(tasks, ["alpha", "beta"]).wait()
    assert again.id == made.id
    pd.testing.assert_frame_equal(again.trials(), made.trials())
    assert again.compare("sums", "alpha", "beta").first is None
    assert paseo.open_bundle(file).new == []
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad, zipfile.ZipFile(file) as good:
        for name in good.namelist():
            data = good.read(name)
            journal = name.startswith("workflows/")
            bad.writestr(name, data.rstrip().rpartition(b"\n")[0] if journal else data)
    fresh = tmp_path / "fresh"
    subprocess.run(["git", "clone", "-q", str(repo), str(fresh)], check=True)
    monkeypatch.chdir(fresh)
    with pytest.raises(UsageProblem, match="is no tournament that is done"):
        paseo.open_bundle(tmp_path / "bad.zip")
