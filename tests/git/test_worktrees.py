"""A worktree of one's own: made, found again, or refused with what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paseo_nb.errors import GitProblem
from paseo_nb.git.worktrees import Worktree, current_branch, ensure_worktree

Git = Callable[..., str]


def nobody(path: Path) -> None:
    """No run is at work anywhere."""


def ensure(repo: Path, name: str) -> Worktree:
    return ensure_worktree(repo, name, repo / ".paseo_nb", nobody)


@pytest.mark.parametrize("name", ["auth", "feature/auth", "fix/ünï-1.2", "Feature_X", "a/b/c"])
def test_any_branch_name_that_git_takes(repo: Path, git: Git, name: str) -> None:
    tree = ensure(repo, name)
    assert tree.path == repo / ".paseo_nb" / "worktrees" / name
    assert (tree.branch, tree.created) == (name, True)
    assert tree.base == git("rev-parse", "main", cwd=repo)
    assert (tree.path / "ten.txt").read_text() == (repo / "ten.txt").read_text()
    assert current_branch(tree.path) == name


def test_the_users_own_side_stays_as_it_is(
    repo: Path, git: Git, untouched: Callable[[], tuple[object, ...]], hooks: Path
) -> None:
    (repo / "staged.txt").write_text("staged")
    git("-c", "core.hooksPath=/dev/null", "add", "staged.txt", cwd=repo)
    (repo / "ten.txt").write_text("changed, not staged\n")
    before = untouched()
    ensure(repo, "auth")
    git("branch", "--list", "auth", cwd=repo)
    after = untouched()
    assert after[:4] == before[:4]
    assert after[5] == before[5]  # .paseo_nb is not even untracked: it ignores itself
    assert not hooks.exists()


def test_executing_a_cell_again_finds_it_again(repo: Path) -> None:
    first = ensure(repo, "auth")
    (first.path / "work.txt").write_text("kept")
    second = ensure(repo, "auth")
    assert (second.path, second.branch, second.created) == (first.path, "auth", False)
    assert (second.path / "work.txt").read_text() == "kept"


def test_a_run_at_work_there_is_named(repo: Path) -> None:
    first = ensure(repo, "auth")
    asked: list[Path] = []

    def live(path: Path) -> str:
        asked.append(path)
        return "01RUN"

    with pytest.raises(GitProblem, match="run 01RUN is at work in worktree 'auth'"):
        ensure_worktree(repo, "auth", repo / ".paseo_nb", live)
    assert asked == [first.path]


def test_an_existing_branch_is_gone_on_with(repo: Path, git: Git) -> None:
    git("branch", "old", cwd=repo)
    git("commit", "-q", "--allow-empty", "-m", "later", cwd=repo)
    tree = ensure(repo, "old")
    assert (tree.branch, tree.base) == ("old", git("rev-parse", "main~1", cwd=repo))


def test_a_branch_checked_out_elsewhere(repo: Path, git: Git, tmp_path: Path) -> None:
    other = tmp_path / "other tree"
    git("worktree", "add", "-q", "-b", "busy", str(other), cwd=repo)
    with pytest.raises(GitProblem, match=r"'busy' is checked out in .*other tree"):
        ensure(repo, "busy")
    with pytest.raises(GitProblem, match="'main' is checked out in"):
        ensure(repo, "main")


def test_a_folder_deleted_by_hand_is_made_again(repo: Path, git: Git, tmp_path: Path) -> None:
    shutil.rmtree(ensure(repo, "auth").path)
    assert ensure(repo, "auth").created
    other = tmp_path / "gone"
    git("worktree", "add", "-q", "-b", "elsewhere", str(other), cwd=repo)
    shutil.rmtree(other)
    assert ensure(repo, "elsewhere").branch == "elsewhere"


@pytest.mark.parametrize(
    "name", ["my feature", "a..b", "-x", "a.lock", "/abs", "a//b", "@{-1}", "HEAD", "a/.b", "x~1"]
)
def test_a_name_that_git_does_not_take(repo: Path, git: Git, name: str) -> None:
    git("checkout", "-q", "-b", "second", cwd=repo)  # so that @{-1} means something
    with pytest.raises(GitProblem, match="is not a name that git takes for a branch"):
        ensure(repo, name)
    assert not (repo / ".paseo_nb").exists()


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("my feature!", "my-feature"),
        ("a b.", "a-b"),
        ("a .b", "a-b"),
        ("a ..b", "a-b"),
        ("a..b", "a.b"),
        ("-x/.hidden y/", "x/hidden-y"),
        ("one.lock.lock", "one"),
        ("fix: ünï~code^", "fix-ünï-code"),
        ("a@{1}", "a-1"),
        ("v1.2  -- final", "v1.2-final"),
    ],
)
def test_a_legal_and_tidy_name_is_offered(repo: Path, name: str, offered: str) -> None:
    with pytest.raises(GitProblem, match=f"'{re.escape(offered)}' would do"):
        ensure(repo, name)
    assert ensure(repo, offered).branch == offered


def test_no_name_is_offered_where_nothing_is_left_of_it(repo: Path) -> None:
    with pytest.raises(GitProblem) as raised:
        ensure(repo, "~^:")
    assert "would do" not in str(raised.value)


def test_a_name_below_another(repo: Path, git: Git) -> None:
    git("branch", "taken", cwd=repo)
    with pytest.raises(GitProblem, match=r"could not be made: .*'refs/heads/taken' exists"):
        ensure(repo, "taken/b")
    outer = ensure(repo, "a")
    git("branch", "-m", "a", "renamed", cwd=outer.path)
    with pytest.raises(GitProblem, match="would lie inside the worktree"):
        ensure(repo, "a/b")
    assert ensure(repo, "a").branch == "renamed"


def test_something_else_in_its_place(repo: Path) -> None:
    place = repo / ".paseo_nb" / "worktrees" / "auth"
    place.mkdir(parents=True)
    (place / "mine.txt").touch()
    with pytest.raises(GitProblem, match="is there already and is no worktree"):
        ensure(repo, "auth")
    (place / "mine.txt").unlink()
    assert ensure(repo, "auth").created


def test_a_worktree_of_another_repository(repo: Path, git: Git, tmp_path: Path) -> None:
    other = tmp_path / "another"
    git("init", "-q", str(other), cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=other)
    home = tmp_path / "shared home"
    ensure_worktree(other, "auth", home, nobody)
    with pytest.raises(GitProblem, match="of another repository"):
        ensure_worktree(repo, "auth", home, nobody)


def test_from_a_folder_below_a_linked_worktree_and_a_detached_head(repo: Path, git: Git) -> None:
    below = ensure_worktree(repo / "src", "one", repo / ".paseo_nb", nobody)
    (below.path / "new.txt").touch()
    git("add", "-A", cwd=below.path)
    git("commit", "-q", "-m", "on one", cwd=below.path)
    nested = ensure_worktree(below.path, "two", repo / ".paseo_nb", nobody)
    assert (nested.path / "new.txt").exists()  # off the HEAD of the worktree it was asked from
    git("checkout", "-q", "--detach", cwd=below.path)
    assert ensure(repo, "one").branch is None


def test_no_repository_no_commit_no_git(
    repo: Path, tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GitProblem, match="lies in no git repository"):
        ensure(tmp_path, "auth")
    empty = tmp_path / "empty"
    git("init", "-q", str(empty), cwd=tmp_path)
    with pytest.raises(GitProblem, match="has no commit yet"):
        ensure(empty, "auth")
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(GitProblem, match="install git"):
        ensure(repo, "auth")
    code = (
        "import sys, pathlib; from paseo_nb.git.snapshots import snapshot\n"
        "try: snapshot(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(repo)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("GitProblem there is no program `git`")


def test_inherited_git_variables_mean_another_repository(
    repo: Path, tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "another"
    git("init", "-q", str(other), cwd=tmp_path)
    index = tmp_path / "hook index"
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(index))
    monkeypatch.setenv("GIT_PREFIX", "src/")
    tree = ensure(repo, "auth")
    assert (tree.path / "ten.txt").exists()
    assert not index.exists()
    assert os.listdir(other) == [".git"]


def test_processes_at_once_make_one(repo: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path\n"
        "from paseo_nb.git.worktrees import ensure_worktree\n"
        "repo = Path(sys.argv[1]); sys.stdin.readline()\n"
        "for name in ('auth', 'b/c'):\n"
        "    tree = ensure_worktree(repo, name, repo / '.paseo_nb', lambda path: None)\n"
        "    print(json.dumps([str(tree.path), tree.branch, tree.created]))"
    )
    command = [sys.executable, "-c", code, str(repo)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [[json.loads(line) for line in r.communicate()[0].splitlines()] for r in racers]
    for at, name in enumerate(("auth", "b/c")):
        assert sum(one[at][2] for one in told) == 1
        assert {tuple(one[at][:2]) for one in told} == {
            (str(repo / ".paseo_nb" / "worktrees" / name), name)
        }


def test_a_name_that_no_file_system_takes(repo: Path) -> None:
    with pytest.raises(GitProblem, match="too long"):
        ensure(repo, "x" * 300)


def test_a_base_of_its_own(repo: Path, tmp_path: Path, git: Git) -> None:
    home = tmp_path / "home"
    first = git("rev-parse", "HEAD", cwd=repo)
    git("commit", "-q", "--allow-empty", "-m", "second", cwd=repo)
    made = ensure_worktree(repo, "old", home, nobody, "HEAD~1")
    assert (made.base, made.created) == (first, True)
    assert git("rev-parse", "HEAD", cwd=made.path) == first
    assert ensure_worktree(repo, "old", home, nobody).path == made.path
    with pytest.raises(GitProblem, match="branch 'old' is there already"):
        ensure_worktree(repo, "old", home, nobody, "HEAD")
    assert not ensure_worktree(repo, "old", home, nobody, "HEAD~1").created
    with pytest.raises(GitProblem, match="is no commit that git knows here"):
        ensure_worktree(repo, "new", home, nobody, "origin/main")
    assert git("branch", "--list", "new", cwd=repo) == "", "nothing is left of it"


def test_a_pull_request_is_fetched(repo: Path, tmp_path: Path, git: Git) -> None:
    remote = tmp_path / "remote.git"
    git("clone", "-q", "--bare", str(repo), str(remote), cwd=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "theirs", cwd=repo)
    theirs = git("rev-parse", "HEAD", cwd=repo)
    git("push", "-q", str(remote), "HEAD:refs/pull/12/head", cwd=repo)
    git("reset", "-q", "--hard", "HEAD~1", cwd=repo)
    git("remote", "add", "origin", str(remote), cwd=repo)
    made = ensure_worktree(repo, "review", tmp_path / "home", nobody, "pr/12")
    assert git("rev-parse", "HEAD", cwd=made.path) == theirs
    assert git("symbolic-ref", "--short", "HEAD", cwd=made.path) == "review"
    with pytest.raises(GitProblem, match="pull request 13 could not be fetched from origin"):
        ensure_worktree(repo, "other", tmp_path / "home", nobody, "pr/13")
    assert not (repo / ".git" / "FETCH_HEAD").exists(), "that is the user's"
    git("remote", "rename", "origin", "upstream", cwd=repo)
    for name, base in (("again", "pr/12"), ("named", "upstream/pr/12")):
        again = ensure_worktree(repo, name, tmp_path / "home", nobody, base)
        assert git("rev-parse", "HEAD", cwd=again.path) == theirs
