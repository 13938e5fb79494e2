"""Shelving a worktree: everything in it becomes commits under a private ref, then it is removed;
and back, with what was staged staged again.

Only where everything but ignored files is kept that way; else it stays, and it is said why.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from ..errors import GitProblem
from ..plain_git import PARALLEL, UNTRACKED, WHO, left_out
from .commands import Repository

# git is in the middle of something that commits do not hold.
_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}
_SHOWN = 20


class Shelved(msgspec.Struct, frozen=True):
    """A worktree that was taken apart: where it stood, on which branch (None: detached) and commit,
    the commits of its index and of its files, and what of the ignored went with it."""

    path: str
    branch: str | None
    head: str
    staged: str
    files: str
    ignored: list[str] = []


def shelve(path: Path, ref: str) -> Shelved:
    """Keep what a worktree holds under `ref`; it stays as it is. GitProblem where something in it
    cannot be kept so."""
    there = Repository(path)
    top = there.working_tree()
    for name, what in _UNDER_WAY.items():
        if (there.git_dir / name).exists():
            raise GitProblem(f"{what} is under way in it")
    if (there.git_dir / "modules").is_dir():
        raise GitProblem("it has submodules of its own")
    head = there.commit("HEAD")
    if head is None:
        raise GitProblem("its branch has no commit yet")
    with there.temporary_index() as index:
        staged = there.line("write-tree", index=index)
        untracked = there.run(*UNTRACKED, index=index).split(b"\0")[:-1]
        if left := left_out(os.fsencode(top), untracked):
            names = ", ".join(sorted(os.fsdecode(name) for name in left)[:3])
            raise GitProblem(f"a repository of its own or a very large file lies in it: {names}")
        there.stage(index, "--all")
        files = there.line("write-tree", index=index)
    kept = there.line("commit-tree", staged, "-p", head, "-m", "paseo_nb: staged", env=WHO)
    parents = ("-p", head, "-p", kept)
    last = there.line("commit-tree", files, *parents, "-m", "paseo_nb: archived", env=WHO)
    there.run("update-ref", ref, last)
    branch = there.line("symbolic-ref", "--short", "-q", "HEAD", fine=(0, 1)) or None
    listed = there.run(
        "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"
    )
    ignored = [name.decode("utf-8", "replace") for name in listed.split(b"\0")[:-1]]
    return Shelved(str(path), branch, head, kept, last, ignored[:_SHOWN])


def remove(repository: Path, shelved: Shelved, upto: Path) -> None:
    """Take the worktree away, and the folders above it that become empty, up to `upto`."""
    Repository(repository).run("worktree", "remove", "--force", shelved.path)
    for parent in Path(shelved.path).parents:
        if parent == upto or upto not in parent.parents:
            return
        with contextlib.suppress(OSError):
            parent.rmdir()


def unshelve(repository: Path, shelved: Shelved) -> str | None:
    """Make the worktree again as it was; what is otherwise than it was, if anything. GitProblem
    where its place is taken, or what it held was pruned."""
    here = Repository(repository)
    path = Path(shelved.path)
    for commit in (shelved.head, shelved.staged, shelved.files):
        if here.commit(commit) is None:
            raise GitProblem(f"what the worktree held was pruned: there is no commit {commit}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise GitProblem(f"{path} is there already: move it away, then try again")
    said: str | None = None
    start = ["--detach", str(path), shelved.head]
    if shelved.branch is not None:
        stands = here.commit(f"refs/heads/{shelved.branch}")
        if stands is None:
            start = ["-b", shelved.branch, str(path), shelved.head]
        elif stands == shelved.head:
            start = [str(path), shelved.branch]
        else:
            said = f"branch {shelved.branch} has moved since: the worktree stands beside it"
    here.run("worktree", "prune")
    try:
        here.run("worktree", "add", "--quiet", "--no-checkout", *start)
    except GitProblem:
        if start[0] == "--detach":
            raise
        said = f"branch {shelved.branch} is checked out elsewhere: the worktree stands beside it"
        start = ["--detach", str(path), shelved.head]
        here.run("worktree", "add", "--quiet", "--no-checkout", *start)
    there = Repository(path)
    there.run("read-tree", shelved.files)
    there.run(*PARALLEL, "checkout-index", "--all", "--force")
    there.run("read-tree", shelved.staged)
    there.run("update-index", "-q", "--refresh", fine=(0, 1))
    return said
