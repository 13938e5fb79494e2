"""`worktrees()`: whose each one is and how it stands, in every surface; nothing is touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from kit import SHELL_AGENT, git

import paseo_nb as paseo
from paseo_nb.cli import to_json


@pytest.fixture(autouse=True)
def shell(repo: Path) -> None:
    """The agent `sh`."""
    paseo.register_provider("sh", command=SHELL_AGENT)


def start(script: str, **more: object) -> paseo.Run:
    return paseo.run("sh", script, mode="auto", **more)  # pyright: ignore[reportArgumentType]


COMMIT = "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m"


def test_whose_it_is_and_how_it_stands(repo: Path) -> None:
    first = start(f"{COMMIT} one; {COMMIT} two; echo x > a; echo y > README.md", worktree="fix/a")
    second = start("true", worktree="b")
    git(repo, "commit", "-q", "--allow-empty", "-m", "meanwhile")
    before = (first.path / "../../../../.git/worktrees/a/index").read_bytes()
    frame = paseo.worktrees()
    rows = {row["worktree"]: row for row in frame.to_dict("records")}
    a, b = rows["fix/a"], rows["b"]
    assert (a["run_id"], a["branch"], a["onto"]) == (first.id, "fix/a", "main")
    assert (a["ahead"], a["behind"], a["dirty"]) == (2, 1, 2)
    assert (b["ahead"], b["behind"], b["dirty"], b["state"]) == (0, 1, 0, "idle")
    assert a["size_bytes"] > b["size_bytes"] - 4096 > 0
    assert (a["base"], a["path"]) == (first.spec.git_base, str(first.path))
    assert (first.path / "../../../../.git/worktrees/a/index").read_bytes() == before
    only = paseo.worktrees(run=second.id[:10], columns=["worktree", "dirty"])
    assert only.to_dict("records") == [{"worktree": "b", "dirty": 0}]
    assert json.loads(to_json(frame))[0]["worktree"] == "fix/a"


def test_archived_ones_are_listed_where_wanted(repo: Path) -> None:
    run = start("echo x > a", worktree="w")
    run.archive()
    assert len(paseo.worktrees()) == 0
    (row,) = paseo.worktrees(all=True).to_dict("records")
    assert (row["worktree"], row["state"], row["branch"]) == ("w", "archived", "w")
    assert row["head"] == git(repo, "rev-parse", "w").strip()


def test_what_git_cannot_tell_is_said(repo: Path) -> None:
    run = start("true", worktree="w")
    start("true", worktree="other")
    (run.path / ".git").write_text("gitdir: /nowhere\n")
    rows = {row["worktree"]: row for row in paseo.worktrees().to_dict("records")}
    assert rows["w"]["problem"]
    assert rows["other"]["dirty"] == 0


def test_the_terminal_shows_it(repo: Path) -> None:
    start("true", worktree="w")
    done = subprocess.run(
        [sys.executable, "-m", "paseo_nb.cli", "worktrees"],
        cwd=repo,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:3] == ["worktree", "run_id", "state"]
    assert "idle" in done.stdout
