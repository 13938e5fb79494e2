"""A snapshot holds what is there now, and leaves the user's repository as it was."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paseo_nb.errors import GitProblem
from paseo_nb.git.snapshots import snapshot

Git = Callable[..., str]
Look = Callable[[], tuple[object, ...]]


def files(git: Git, repo: Path, commit: str) -> set[str]:
    return set(git("ls-tree", "-r", "-z", "--name-only", commit, cwd=repo).split("\0")) - {""}


def test_a_clean_tree_is_head_itself(repo: Path, git: Git, untouched: Look) -> None:
    before = untouched()
    assert snapshot(repo) == git("rev-parse", "HEAD", cwd=repo)
    os.utime(repo / "ten.txt")  # touched, not changed
    assert snapshot(repo / "src") == git("rev-parse", "HEAD", cwd=repo)
    assert untouched() == before


def test_everything_but_the_ignored(repo: Path, git: Git, untouched: Look, hooks: Path) -> None:
    (repo / "ten.txt").write_text("changed\n")
    (repo / "src" / "naïve name.txt").unlink()
    (repo / "new file.txt").write_text("untracked\n")
    (repo / "sub").mkdir()
    (repo / "sub" / "déjà.txt").write_text("untracked too\n")
    (repo / "noise.log").write_text("ignored\n")
    before = untouched()
    commit = snapshot(repo / "src")  # of the whole tree, from anywhere in it
    assert files(git, repo, commit) == {".gitignore", "ten.txt", "new file.txt", "sub/déjà.txt"}
    assert git("show", f"{commit}:ten.txt", cwd=repo) == "changed"
    assert git("rev-parse", f"{commit}^", cwd=repo) == git("rev-parse", "HEAD", cwd=repo)
    assert untouched() == before
    assert not hooks.exists()


def test_staged_and_then_changed_again(repo: Path, git: Git, untouched: Look) -> None:
    (repo / "ten.txt").write_text("staged\n")
    git("add", "ten.txt", cwd=repo)
    (repo / "ten.txt").write_text("later!\n")
    before = untouched()
    assert git("show", f"{snapshot(repo)}:ten.txt", cwd=repo) == "later!"
    assert untouched() == before


def test_a_change_of_the_same_size_in_the_same_instant(repo: Path, git: Git) -> None:
    for round_ in range(5):
        (repo / "ten.txt").write_text(f"a{round_}\n")
        git("commit", "-q", "-am", "x", cwd=repo)
        (repo / "ten.txt").write_text(f"b{round_}\n")
        assert git("show", f"{snapshot(repo)}:ten.txt", cwd=repo) == f"b{round_}"


def test_a_private_ref_keeps_it(repo: Path, git: Git) -> None:
    clean = snapshot(repo, ref="refs/paseo/01RUN/base")
    assert git("rev-parse", "refs/paseo/01RUN/base", cwd=repo) == clean
    (repo / "new.txt").touch()
    dirty = snapshot(repo, ref="refs/paseo/01RUN/base")
    assert git("rev-parse", "refs/paseo/01RUN/base", cwd=repo) == dirty != clean
    git("gc", "-q", "--prune=now", cwd=repo)
    assert git("cat-file", "-t", dirty, cwd=repo) == "commit"
    assert git("log", "-1", "--format=%an", dirty, cwd=repo) == "paseo_nb"


def test_a_file_that_git_is_told_to_assume_unchanged_is_looked_at(repo: Path, git: Git) -> None:
    git("update-index", "--assume-unchanged", "ten.txt", cwd=repo)
    index = (repo / ".git" / "index").read_bytes()
    (repo / "ten.txt").write_text("changed all the same\n")
    assert git("show", f"{snapshot(repo)}:ten.txt", cwd=repo) == "changed all the same"
    assert (repo / ".git" / "index").read_bytes() == index


def test_in_a_linked_worktree(repo: Path, git: Git, tmp_path: Path) -> None:
    tree = tmp_path / "linked"
    git("worktree", "add", "-q", "-b", "other", str(tree), cwd=repo)
    (tree / "there.txt").touch()
    (repo / "here.txt").touch()
    assert "there.txt" in files(git, repo, snapshot(tree))
    assert "here.txt" not in files(git, repo, snapshot(tree))


def test_before_the_first_commit(tmp_path: Path, git: Git) -> None:
    git("init", "-q", "fresh", cwd=tmp_path)
    (tmp_path / "fresh" / "a.txt").write_text("a")
    commit = snapshot(tmp_path / "fresh")
    assert files(git, tmp_path / "fresh", commit) == {"a.txt"}


def test_in_the_middle_of_a_conflict(repo: Path, git: Git, untouched: Look) -> None:
    git("checkout", "-q", "-b", "theirs", cwd=repo)
    (repo / "ten.txt").write_text("theirs\n")
    git("commit", "-q", "-am", "theirs", cwd=repo)
    git("checkout", "-q", "main", cwd=repo)
    (repo / "ten.txt").write_text("ours\n")
    git("commit", "-q", "-am", "ours", cwd=repo)
    with pytest.raises(Exception, match="merge"):
        git("merge", "theirs", cwd=repo)
    before = untouched()
    assert "<<<<<<<" in git("show", f"{snapshot(repo)}:ten.txt", cwd=repo)
    assert untouched() == before


def test_a_repository_of_its_own_below_is_left_out(repo: Path, git: Git) -> None:
    git("init", "-q", "clone", cwd=repo)  # without a commit: git itself refuses to add it
    git("init", "-q", "src/other", cwd=repo)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=repo / "src" / "other")
    (repo / "new.txt").touch()
    found = files(git, repo, snapshot(repo))
    assert found == {".gitignore", "ten.txt", "src/naïve name.txt", "new.txt"}


def test_a_large_untracked_file_is_left_out_quickly(repo: Path, git: Git) -> None:
    with open(repo / "data [set] *.bin", "wb") as file:
        file.truncate(3 << 30)
    (repo / "data set.txt").write_text("small")
    before = time.monotonic()
    found = files(git, repo, snapshot(repo))
    assert time.monotonic() - before < 3
    assert "data set.txt" in found
    assert "data [set] *.bin" not in found


def test_links_modes_and_names_that_look_like_patterns(repo: Path, git: Git) -> None:
    (repo / "link").symlink_to("/nowhere")
    (repo / "run.sh").write_text("#!/bin/sh\n")
    (repo / "run.sh").chmod(0o755)
    (repo / ":(glob)*.txt").touch()
    (repo / "new\nline").touch()
    os.mkfifo(repo / "pipe")
    commit = snapshot(repo)
    assert {"link", "run.sh", ":(glob)*.txt", "new\nline"} <= files(git, repo, commit)
    assert git("ls-tree", commit, "run.sh", cwd=repo).startswith("100755")
    assert git("ls-tree", commit, "link", cwd=repo).startswith("120000")


def test_odd_configuration_of_the_user(repo: Path, git: Git) -> None:
    for name, value in (
        ("core.safecrlf", "true"), ("core.autocrlf", "input"), ("core.splitIndex", "true"),
        ("commit.gpgSign", "true"), ("core.untrackedCache", "true"), ("add.ignoreErrors", "false"),
        ("core.fsmonitor", "true"), ("status.showUntrackedFiles", "no"),
    ):  # fmt: skip
        git("config", name, value, cwd=repo)
    (repo / "crlf.txt").write_bytes(b"a\r\nb\n")
    assert "crlf.txt" in files(git, repo, snapshot(repo))


def test_outside_and_bare(tmp_path: Path, git: Git) -> None:
    with pytest.raises(GitProblem, match="lies in no git repository"):
        snapshot(tmp_path)
    with pytest.raises(GitProblem, match="there is no folder .*missing"):
        snapshot(tmp_path / "missing")
    git("init", "-q", "--bare", "bare.git", cwd=tmp_path)
    with pytest.raises(GitProblem, match="bare"):
        snapshot(tmp_path / "bare.git")
