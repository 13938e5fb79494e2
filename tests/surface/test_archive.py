"""Archive takes the worktree away and loses nothing; unarchive brings back everything.

Invariants: (1) what was committed, staged, changed and untracked is there again, and told apart as
before; (2) what cannot be kept so is a refusal that says why, and nothing is touched; (3) the branch is never
deleted, and one that moved since is never moved back.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import paseo_nb as paseo
from paseo_nb.errors import GitProblem

AGENT = [sys.executable, str(Path(__file__).parents[1] / "shell_agent.py")]
WORK = """
git -c user.name=a -c user.email=a@b commit -q --allow-empty -m mine
echo committed > c; git add c; git -c user.name=a -c user.email=a@b commit -qm c
echo staged > s; git add s
echo staged > both; git add both; echo changed on > both
git rm -q --cached tests/test_lines.py
chmod +x README.md
printf 'x' > "$(printf 'odd \\377 name')"
ln -s nowhere link
mkdir -p deep/er; echo untracked > deep/er/u
echo '*.log' > .gitignore; echo gone > noise.log
"""


@pytest.fixture(autouse=True)
def shell(repo: Path) -> None:
    """The agent `sh`."""
    paseo.register_provider("sh", command=AGENT)


def git(repo: Path, *args: str) -> bytes:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(["git", *who, *args], cwd=repo, capture_output=True, check=True).stdout


def start(script: str, **more: object) -> paseo.Run:
    return paseo.run("sh", script, mode="auto", **more)  # pyright: ignore[reportArgumentType]


def there(path: Path) -> tuple[bytes, ...]:
    """Everything that git tells of a working tree, its files' bytes included."""
    return (
        git(path, "status", "--porcelain=v2", "-z", "--branch"),
        git(path, "diff", "--cached", "--binary"),
        git(path, "diff", "--binary"),
        b"".join(
            os.fsencode(name) + (os.readlink(path / name).encode() if (path / name).is_symlink()
                                 else (path / name).read_bytes())
            for name in sorted(os.fsdecode(n) for n in git(path, "ls-files", "-z", "-co",
                               "--exclude-standard").split(b"\0")[:-1])
            if (path / name).exists() or (path / name).is_symlink()
        ),
    )  # fmt: skip


def test_everything_comes_back(repo: Path) -> None:
    run = start(WORK, worktree="feature/x")
    before, diff = there(run.path), run.diff().patch
    refs = git(repo, "for-each-ref", "refs/heads")
    told = run.events(columns=["seq", "kind"]).to_dict("records")
    run.archive()
    files = sorted(os.listdir(run.host.folder(run.id).path))
    assert "journal.jsonl.gz" in files, "it is packed"
    assert not {"journal.jsonl", "reserve"} & set(files)
    assert run.events(columns=["seq", "kind"]).to_dict("records")[: len(told)] == told
    assert paseo.ls(all=True)[0].state == "archived"
    assert run.state == "archived"
    assert not run.path.exists()
    assert not run.path.parent.exists(), "nor the folder `feature`"
    assert "feature/x" not in git(repo, "worktree", "list").decode()
    assert git(repo, "for-each-ref", "refs/heads") == refs
    assert sorted(run.diff().patch.splitlines()) == sorted(diff.splitlines()), "still to be seen"
    assert run.history().put_away.shelved.ignored == ["noise.log"]
    git(repo, "gc", "--prune=now", "-q")
    run.unarchive()
    assert there(run.path) == before
    assert run.state == "stopped"
    run.send("cat both")
    assert run.wait().text.startswith("changed on")


def test_a_branch_that_moved_is_left_where_it_is(repo: Path) -> None:
    run = start("echo 1 > a", worktree="w")
    run.archive()
    tree = git(repo, "rev-parse", "main^{tree}").decode().strip()
    moved = git(repo, "commit-tree", tree, "-p", "main", "-m", "moved").decode().strip()
    git(repo, "update-ref", "refs/heads/w", moved)
    run.unarchive()
    assert (run.path / "a").read_text() == "1\n"
    assert git(repo, "rev-parse", "w").decode().strip() == moved
    assert b"HEAD (no branch)" in git(run.path, "status", "-b", "--porcelain")
    assert "has moved since" in run.transcript()["text"].iloc[-1]


def test_a_deleted_branch_is_made_again(repo: Path) -> None:
    run = start("echo 1 > a", worktree="w")
    run.archive()
    git(repo, "branch", "-D", "w")
    run.unarchive()
    assert b"## w" in git(run.path, "status", "-b", "--porcelain")
    assert (run.path / "a").exists()


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("mkdir n; git -C n init -q; echo 1 > n/f", "repository of its own"),
        ("truncate -s 70M big", "very large file"),
        (
            "git init -q n; git -C n -c user.name=a -c user.email=a@b commit -q --allow-empty -m n;"
            " git add n",
            "of its own lies in it: n",
        ),
        ("git update-index --assume-unchanged README.md; echo L >> README.md", "assume-unchanged"),
        ("git update-index --skip-worktree README.md; echo L >> README.md", "assume-unchanged"),
        (
            "G='git -c user.name=a -c user.email=a@b'; $G checkout -qb side; echo 1 > README.md;"
            " $G commit -qam 1; $G checkout -q w; echo 2 > README.md; $G commit -qam 2;"
            " $G merge -q side || true",
            "a merge is under way",
        ),
    ],
)
def test_what_cannot_be_kept_keeps_the_worktree(repo: Path, script: str, why: str) -> None:
    run = start(script, worktree="w")
    before = git(run.path, "status", "--porcelain=v2", "-z", "--ignored")
    with pytest.raises(GitProblem, match=f"(?s){why}.*keep_worktree=True"):
        run.archive()
    assert run.state == "stopped"
    assert git(run.path, "status", "--porcelain=v2", "-z", "--ignored") == before
    run.archive(keep_worktree=True)
    assert run.state == "archived"
    assert run.path.is_dir()


def test_the_worktree_stays_where_wanted_or_needed(repo: Path) -> None:
    first = start("echo 1 > a", worktree="w")
    second = start("echo 2 > a", worktree="w")
    first.archive()
    assert first.path.is_dir()
    assert "works in it, too" in first.transcript()["text"].iloc[-1]
    second.archive(keep_worktree=True)
    assert second.path.is_dir()
    second.unarchive()
    second.archive()
    assert not second.path.exists()


def test_two_at_work_in_one_worktree_where_that_is_wanted(repo: Path) -> None:
    first = paseo.start("sh", "sleep 30", mode="auto", worktree="w")
    with pytest.raises(GitProblem, match="shared=True"):
        start("echo 1 > a", worktree="w")
    second = start("echo 1 > a", worktree="w", shared=True)
    assert second.path == first.path
    with pytest.raises(paseo.UsageProblem, match="name one by worktree="):
        start("true", base="HEAD")
    first.cancel()


def test_a_taken_place_is_told_and_the_run_stays_archived(repo: Path) -> None:
    run = start("echo 1 > a", worktree="w")
    run.archive()
    run.path.mkdir(parents=True)
    (run.path / "mine").write_text("x")
    with pytest.raises(GitProblem, match="is there already"):
        run.unarchive()
    assert run.state == "archived"


def test_a_run_in_the_users_own_tree_leaves_it_alone(repo: Path) -> None:
    run = start("echo 1 > a")
    before = there(repo)
    run.archive()
    assert there(repo) == before
