"""How a worktree stands: its branch beside that of the repository's main folder, what is not
committed in it, and what it takes on the disk. Looks only; nothing is refreshed or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..plain_git import WHO
from .commands import Repository


class Standing(msgspec.Struct, frozen=True):
    """branch: None where HEAD is detached; head: None where there is no commit; onto: the branch
    (or commit) of the repository's main folder; ahead, behind: commits beside it, None where it has
    none; dirty: files that are changed, staged or untracked."""

    branch: str | None
    head: str | None
    onto: str | None
    ahead: int | None
    behind: int | None
    dirty: int


def standing(path: Path) -> Standing:
    """How the worktree that `path` lies in stands. GitProblem where git cannot tell."""
    here = Repository(path)
    branch = here.line("symbolic-ref", "--short", "-q", "HEAD", fine=(0, 1)) or None
    head, main = here.commit("HEAD"), here.commit("main-worktree/HEAD")
    ahead = behind = None
    if head is not None and main is not None:
        counts = here.line("rev-list", "--left-right", "--count", f"{main}...{head}").split()
        behind, ahead = int(counts[0]), int(counts[1])
    told = here.run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    dirty = len(told.split(b"\0")) - 1
    return Standing(branch, head, _main_branch(here) or main, ahead, behind, dirty)


def kept_by_refs(path: Path) -> tuple[int, int]:
    """How many refs of ours the repository has, and the bytes of its objects that only they keep.
    GitProblem where git cannot tell (it can since 2.31)."""
    here = Repository(path)
    count = len(here.run("for-each-ref", "--format=.", "refs/paseo").splitlines())
    if not count:
        return 0, 0
    others = ("--not", "--branches", "--tags", "--remotes", "HEAD")
    told = here.line("rev-list", "--disk-usage", "--objects", "--glob=refs/paseo/*", *others)
    return count, int(told)


def holds(repository: Repository, commit: str, before: str, after: str) -> bool:
    """Whether a commit that a branch or tag still has holds the change from one commit to another:
    merged into it, that changes nothing. GitProblem where one of them is gone."""
    known = ("refs/heads", "refs/remotes", "refs/tags")
    if not repository.line("for-each-ref", "--count=1", "--contains", commit, *known):
        return False
    mine, theirs = (
        repository.line("commit-tree", f"{one}^{{tree}}", "-p", before, "-m", "x", env=WHO)
        for one in (commit, after)
    )
    told = repository.line("merge-tree", "--write-tree", "--no-messages", mine, theirs, fine=(0, 1))
    return told == repository.line("rev-parse", f"{commit}^{{tree}}")


def _main_branch(here: Repository) -> str | None:
    """What the main folder is on; None where its HEAD is detached, or cannot be read."""
    try:
        told = (here.common_dir / "HEAD").read_text()
    except OSError:
        return None
    return told.strip().removeprefix("ref: refs/heads/") if told.startswith("ref: ") else None


def found_below(folder: Path) -> list[Path]:
    """The worktrees that lie below a folder, at any depth, not those within one."""
    found: list[Path] = []
    for entry in _folders(folder):
        path = Path(entry.path)
        found += [path] if (path / ".git").exists() else found_below(path)
    return sorted(found)


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [
                entry  # no branch's name begins with a dot: that is going, or in the making
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."
            ]
    except OSError:
        return []


def disk_bytes(*paths: str | os.PathLike[str]) -> int:
    """What files and folders take on the disk, links not followed; what is gone meanwhile counts
    nothing."""
    return sum(_bytes(path) for path in paths)


def _bytes(path: str | os.PathLike[str]) -> int:
    try:
        taken = os.lstat(path).st_blocks * 512
    except OSError:
        return 0
    return taken + sum(_below(path)) if os.path.isdir(path) else taken


def _below(folder: str | os.PathLike[str]) -> Iterator[int]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                yield entry.stat(follow_symlinks=False).st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    yield from _below(entry.path)
    except OSError:
        return
