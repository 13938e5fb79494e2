"""The timeline of a run: frame and picture tell what happened when, forks as a tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import Project

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample
from paseo_nb.timelines import Moment
from paseo_nb.widgets.timeline import bundle


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    yield path
    project = Project(path)
    project.runs = project.host.list()
    project.close()


def test_it_tells_turns_waits_cuts_and_forks(repo: Path) -> None:
    project = Project(repo)
    run = paseo.start("demo/asker", "may I?", mode="ask", worktree="orig")
    project.until(lambda: run.pending(), 30, "it asks")
    run.allow().wait()
    run.stop()
    run.send("and again", attach=None)
    project.until(lambda: run.pending(), 30, "it asks again")
    run.cancel().wait(check=False)
    first = run.fork(1, "another way")
    project.until(lambda: first.pending(), 30, "the fork asks")
    first.deny().wait()
    second = run.fork(1)
    frame = run.timeline().frame
    rows = frame.to_dict("records")
    assert [(row["depth"], row["kind"]) for row in rows if row["kind"] != "resume"] == [
        (0, "turn"), (0, "permission"),
        (1, "fork"), (1, "turn"), (1, "permission"),
        (1, "fork"),
        (0, "turn"), (0, "permission"),
    ]  # fmt: skip
    turns = frame[frame["kind"] == "turn"]
    assert list(turns["text"]) == ["may I?", "another way", "and again"]
    assert list(turns["outcome"]) == ["end_turn", "end_turn", "cancelled"]
    assert (turns["waited_ms"] > 0).all()
    assert (turns["waited_ms"] <= turns["duration_ms"]).all()
    assert (turns["tokens"][:2] > 0).all()
    forks = frame[frame["kind"] == "fork"]
    assert set(forks["run_id"]) == {first.id, second.id}
    assert forks.set_index("run_id")["outcome"].dropna().to_dict() == {first.id: "session"}
    [resumed] = frame[(frame["kind"] == "resume")].to_dict("records")
    assert (resumed["run_id"], resumed["turn"]) == (run.id, 1)
    shown = paseo.timeline(run.id)
    text = str(shown)
    assert "turn 1: may I?" in text
    assert f"  ↳ fork {first.id[:10]}: demo/asker, after turn 1: the agent forked" in text
    assert "not prompted yet" in text
    html = shown._repr_mimebundle_()["text/html"]  # pyright: ignore[reportPrivateUsage]
    assert "another way" in html
    assert "forked off run" in first.timeline()._repr_mimebundle_()["text/html"]
    assert not re.search(r"<(script|svg|style)", html)


def test_what_agents_and_users_wrote_is_text(repo: Path) -> None:
    bad = "<img src=x onerror=alert(1)>\x1b[31m $\\alpha$ \u202e<script>"
    kinds = ("turn", "permission", "steer", "undo", "fork", "apply", bad)
    rows = [Moment("0" * 26, 1, bad, 1, kind, bad, 10, 20, 5, bad, 1, 0.1, 1, 1) for kind in kinds]
    made = bundle(rows, "0" * 26, (bad, 1))
    assert not re.search(r"<(img|script)", made["text/html"])
    assert "\x1b" not in made["text/plain"]
    assert "\u202e" not in made["text/plain"] + made["text/html"]


def test_an_empty_run_has_a_timeline() -> None:
    assert "no turn yet" in bundle([], "0" * 26, None)["text/html"]
