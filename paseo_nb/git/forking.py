"""A new worktree whose files are as a snapshot has them: what was committed then is committed, the
rest lies there uncommitted, as it did."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from ..errors import GitProblem
from .commands import Repository


def free_name(repo: Path, home: Path, stem: str) -> str:
    """A name for a fork's worktree that neither a branch nor a folder has."""
    repository = Repository(repo)
    return next(name for name in _names(stem) if not _taken(repository, home, name))


def check_free(repo: Path, home: Path, name: str) -> None:
    """GitProblem where a branch or a worktree of that name is there: a fork begins in its own."""
    if _taken(Repository(repo), home, name):
        raise GitProblem(
            f"worktree={name!r} is there already, as a branch or a folder, and a fork begins in a"
            " worktree of its own: choose another name, or leave it out"
        )


def _names(stem: str) -> Iterator[str]:
    stem = re.sub(r"-fork(-\d+)?$", "", stem)
    for number in count(1):
        yield f"{stem}-fork" if number == 1 else f"{stem}-fork-{number}"


def _taken(repository: Repository, home: Path, name: str) -> bool:
    if (home / "worktrees" / name).exists():
        return True
    branches = repository.line("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads")
    return any(  # git has no branch `a` beside `a/b`
        one == name or one.startswith(f"{name}/") or name.startswith(f"{one}/")
        for one in branches.splitlines()
    )


def lay_over(path: Path, files: str) -> None:
    """Make a worktree's files those of the commit `files`; nothing is staged, HEAD stays."""
    there = Repository(path)
    there.run("read-tree", "--reset", "-u", files)
    there.run("read-tree", "HEAD")
    there.run("update-index", "-q", "--refresh", fine=(0, 1))


def take_away(repo: Path, path: Path, branch: str) -> None:
    """Undo the making of a worktree that nobody has worked in."""
    repository = Repository(repo)
    repository.run("worktree", "remove", "--force", str(path))
    repository.run("branch", "--quiet", "-D", branch)
