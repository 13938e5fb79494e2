"""Many runs on one repository never trip over git's locks, nor over one that was left behind."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kit import SHELL_AGENT, SLACK, git

import paseo_nb as paseo

COUNT = 10
WORK = """
for n in 1 2 3; do
  for f in 1 2 3 4 5; do echo $n >> file$f; done
  git add -A
  git -c user.name=a -c user.email=a@b commit -qm "$n"
done
echo left >> file1; echo new > untracked
"""


@pytest.fixture(autouse=True)
def shell(repo: Path) -> None:
    """The agent `sh`."""
    paseo.register_provider("sh", command=SHELL_AGENT)


def test_ten_runs_on_ten_worktrees_at_once(repo: Path) -> None:
    def start(n: int) -> paseo.Run:
        return paseo.start("sh", WORK, mode="auto", worktree=f"w/{n}")

    with ThreadPoolExecutor(COUNT) as pool:
        runs = list(pool.map(start, range(COUNT)))
    for run in runs:
        run.send(WORK)
    for run in runs:
        run.wait(60 * SLACK)
    for n, run in enumerate(runs):
        assert run.history().warnings == []
        assert [turn.files_changed for turn in run.history().turns] == [6, 5]
        assert git(repo, "rev-list", "--count", f"main..w/{n}").strip() == "6"
    assert (paseo.worktrees()["ahead"] == 6).all()
    with ThreadPoolExecutor(COUNT) as pool:
        list(pool.map(paseo.Run.archive, runs))
    assert len(paseo.worktrees()) == 0
    with ThreadPoolExecutor(COUNT) as pool:
        list(pool.map(paseo.Run.unarchive, runs))
    assert all((run.path / "untracked").exists() for run in runs)
    git(repo, "fsck", "--strict")


def test_a_lock_that_the_users_git_holds_is_waited_for(repo: Path) -> None:
    git(repo, "config", "user.name", "u")
    git(repo, "config", "user.email", "u@e")
    run = paseo.run("sh", "echo 1 > a", mode="auto", worktree="w")
    lock = repo / ".git" / "index.lock"
    lock.touch()

    def let_go() -> None:
        time.sleep(0.5)
        lock.unlink()

    threading.Thread(target=let_go).start()
    assert run.apply().commit
    assert (repo / "a").read_text() == "1\n"


def test_a_lock_of_a_killed_git_of_ours_is_none(repo: Path) -> None:
    run = paseo.run("sh", "echo 1 > a", mode="auto", worktree="w")
    (run.host.folder(run.id).path / "index.lock").touch()
    run.send("echo 2 > a")
    run.wait()
    assert run.history().warnings == []
    assert run.history().turns[1].files_changed == 1
