"""What is killed in the middle loses nothing: a match, and a tournament, five times."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import SLACK, kill_9
from minds import AGENT, Minds

import paseo_nb as paseo
from paseo_nb.contests.records import match_folders
from paseo_nb.contests.tournaments import Tournament
from paseo_nb.engine.journal import WorkflowFolder, folders
from paseo_nb.engine.story import Story

WAITS = """
def slow(prompt, turn, folder):
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.02)
    (folder / "slow.txt").write_text("slow")
    return "slow was here"

def quick(prompt, turn, folder):
    return "quick was here"
"""
BEGIN = """
import sys
import paseo_nb as paseo
for name in {names!r}:
    paseo.register_provider(name, command=[{python!r}, {agent!r}, {minds!r}, name])
"""


def script(minds: Minds, names: list[str], body: str) -> list[str]:
    head = BEGIN.format(names=names, python=sys.executable, agent=str(AGENT), minds=str(minds.file))
    return [sys.executable, "-c", head + textwrap.dedent(body)]


def test_a_match_whose_kernel_was_killed_goes_on(
    repo: Path, minds: Minds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("GO", str(go))
    minds.has(WAITS)
    body = 'paseo.arena("do it", ["slow", "quick"], tests="ls", judge="person").wait()'
    command = script(minds, ["slow", "quick"], body)
    kernel = subprocess.Popen(command, cwd=repo)
    home = repo / ".paseo_nb"
    until(lambda: len(minds.asked()) == 2, "both are at work")
    kill_9(kernel.pid)
    kernel.wait()
    folder = match_folders(home)[-1]
    match = paseo.match(folder.id)
    assert match.state == "running", "it has a process of its own"
    workflow = WorkflowFolder(home / "workflow_runs" / folder.id)
    kill_9(Story(workflow).engine["pid"])
    until(lambda: match.state == "interrupted", "that is killed, too")
    go.touch()
    match.wait(20 * SLACK)
    assert match.state == "voting"
    assert sorted(one.text for one in folder.ended() or []) == ["quick was here", "slow was here"]
    assert list(match.verdicts()["score"]) == [1, 1]
    assert len(minds.asked()) == 2, "the contestants ran on: none was asked again"
    seat = next(one.seat for one in folder.ended() or [] if one.text.startswith("slow"))
    assert match.vote(seat).winner == "slow"
    match.apply()
    assert (repo / "slow.txt").read_text() == "slow"


def test_a_match_is_judged_though_nobody_looks(
    repo: Path, minds: Minds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    monkeypatch.setenv("GO", str(go))
    minds.has(WAITS)
    body = 'paseo.arena("do it", ["slow", "quick"], tests="cat slow.txt").wait()'
    kernel = subprocess.Popen(script(minds, ["slow", "quick"], body), cwd=repo)
    until(lambda: len(minds.asked()) == 2, "both are at work")
    kill_9(kernel.pid)
    kernel.wait()
    go.touch()
    (folder,) = match_folders(repo / ".paseo_nb")
    until(lambda: folder.marked("judged"), "without a kernel")
    assert paseo.match(folder.id).winner == "slow"


@pytest.mark.crash
def test_a_tournament_that_is_killed_five_times_has_each_trial_once(
    repo: Path, minds: Minds
) -> None:
    body = """
        tasks = [dict(id=str(n), prompt=f"say {n}", expect="yes") for n in range(4)]
        paseo.tournament(tasks, ["one", "two"], trials=2).wait()
    """
    minds.has(
        "def one(prompt, turn, folder):\n    time.sleep(0.2)\n    return 'yes'\n\n"
        "def two(prompt, turn, folder):\n    return 'no'\n"
    )
    command = script(minds, ["one", "two"], body)
    home = repo / ".paseo_nb"
    chance, killed = random.Random(4), 0
    for _ in range(5):
        kernel = subprocess.Popen(command, cwd=repo, stderr=subprocess.DEVNULL)
        before = len(minds.asked())
        deadline = time.monotonic() + 20 * SLACK
        while len(minds.asked()) < before + 2 and kernel.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(chance.random() / 5)
        if kernel.poll() is None:
            kill_9(kernel.pid)
            killed += 1
        kernel.wait()
    subprocess.run(command, cwd=repo, check=True, timeout=60 * SLACK)
    assert killed > 1, "it was cut off more than once"
    (folder,) = folders(home)
    assert Story(folder).state == "done"
    frame = Tournament(folder).trials()
    assert len(frame) == 16
    assert frame.groupby(["task", "agent", "trial"]).size().eq(1).all()
    assert frame["run_id"].nunique() == 16
    solved = {agent: bool(rows["solved"].all()) for agent, rows in frame.groupby("agent")}
    assert solved == {"one": True, "two": False}
    asked = Counter((told["who"], told["prompt"]) for told in told_of(minds))
    assert set(asked.values()) == {2}, "each of the two trials was asked once"


def until(what: Callable[[], bool], why: str) -> None:
    deadline = time.monotonic() + 20 * SLACK
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.02)


def told_of(minds: Minds) -> list[dict[str, str]]:
    return [json.loads(line) for line in Path(f"{minds.file}.log").read_text().splitlines()]
