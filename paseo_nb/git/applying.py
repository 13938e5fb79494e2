"""Apply: what a run changed, as one commit on another branch, by a merge of three.

First all of it is worked out in git's objects only: conflicts are known before a file is touched. A
branch that is checked out gets the files, too, where nobody has changed them there.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ..errors import GitProblem
from ..plain_git import WHO
from .commands import Repository
from .diffs import diff
from .values import DiffSummary

_SHOWN = 10


class Merge(msgspec.Struct, frozen=True):
    """What an apply does, or would do. onto: the branch's name, or the id of a detached commit;
    tree: the result; conflicts: paths that both sides changed, in which case there is no result;
    place: the working tree in which the branch is checked out, if any."""

    onto: str
    parent: str
    tree: str
    conflicts: list[str]
    summary: DiffSummary
    place: Path | None


def work_out(folder: Path, before: str, after: str, onto: str | None) -> Merge:
    """The merge of the change from `before` to `after` (commits) into a branch; nothing is touched.

    folder: any in the repository. onto: a branch; None: what `folder`'s HEAD is on. GitProblem
    outside a repository and for a branch that is not there.
    """
    repository = Repository(folder)
    name, place = _target(repository, onto)
    parent = repository.commit(name if place is None else "HEAD" if onto is None else name)
    if parent is None:
        raise GitProblem(f"{onto or folder} has no commit yet: make a first one there")
    # Two commits that have nothing but `before` in common: whatever else the branches share.
    mine, theirs = (
        repository.line("commit-tree", f"{commit}^{{tree}}", "-p", before, "-m", "x", env=WHO)
        for commit in (parent, after)
    )
    told = repository.run(
        "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", mine, theirs,
        fine=(0, 1),
    )  # fmt: skip
    tree, *names = told.split(b"\0")[:-1]
    conflicts = [name.decode("utf-8", "replace") for name in dict.fromkeys(names) if name]
    result = repository.line("commit-tree", tree.decode(), "-p", parent, "-m", "x", env=WHO)
    summary = diff(folder, parent, result)
    return Merge(onto or name, parent, tree.decode(), conflicts, summary, place)


def apply(folder: Path, merge: Merge, message: str, *, commit: bool = True) -> str | None:
    """Carry a merge out; the new commit's id, None where nothing is to be committed.

    commit: False leaves the change staged in the branch's working tree. GitProblem, with nothing
    touched, where there are conflicts, where files that it would write are changed there, where the
    branch has moved meanwhile, and where git knows no name and address for the commit.
    """
    if merge.conflicts:
        raise GitProblem(conflict_text(merge))
    repository = Repository(folder)
    if not merge.summary.files:
        return None
    if not commit:
        if merge.place is None:
            raise GitProblem(f"{merge.onto} is checked out nowhere: there it can only be committed")
        _write(Repository(merge.place), merge, merge.tree)
        return None
    arguments = ("commit-tree", merge.tree, "-p", merge.parent, "-m", message)
    try:
        made = repository.line(*arguments)
    except GitProblem as problem:
        if "ident" not in str(problem) and "auto-detect" not in str(problem):
            raise
        raise GitProblem(
            "git does not know who commits: git config user.name and user.email tell it"
        ) from None
    here = Repository(merge.place) if merge.place is not None else None
    if here is not None:
        if here.commit("HEAD") != merge.parent:
            raise GitProblem(f"{merge.onto} has moved meanwhile: apply again. Nothing was touched.")
        _write(here, merge, made)
    ref = "HEAD" if here is not None else f"refs/heads/{merge.onto}"
    (here or repository).run(
        "update-ref", "-m", "paseo_nb: apply", ref, made, merge.parent
    )  # fails where it moved
    return made


def conflict_text(merge: Merge) -> str:
    """Why it cannot be applied, and what to do."""
    names = ", ".join(merge.conflicts[:_SHOWN])
    more = f" and {len(merge.conflicts) - _SHOWN} more" if len(merge.conflicts) > _SHOWN else ""
    return (
        f"{merge.onto} has changed what the run changed: {names}{more}. Nothing was touched. Have"
        f" the agent take {merge.onto} into its branch first, or merge by hand."
    )


def _write(here: Repository, merge: Merge, result: str) -> None:
    """Bring the files and the index of a working tree from the parent to the result."""
    try:
        here.run("update-index", "--refresh", fine=(0, 1))  # -q would hide that it is locked
        here.run("read-tree", "-m", "-u", merge.parent, result)
    except GitProblem as problem:
        raise GitProblem(
            f"{here.top} has changes of its own in files that the run changed. Commit or stash"
            f" them, then apply again. Nothing was touched. ({problem})"
        ) from None


def _target(repository: Repository, onto: str | None) -> tuple[str, Path | None]:
    """The branch (or HEAD's commit, where it is detached), and where it is checked out."""
    if onto is None:
        name = repository.line("symbolic-ref", "--short", "-q", "HEAD", fine=(0, 1))
        return name or repository.line("rev-parse", "HEAD"), repository.working_tree()
    if repository.commit(f"refs/heads/{onto}") is None:
        raise GitProblem(f"there is no branch {onto!r} in {repository.folder}")
    listed = os.fsdecode(repository.run("worktree", "list", "--porcelain"))
    for entry in listed.split("\n\n"):
        lines = entry.splitlines()
        if f"branch refs/heads/{onto}" in lines:
            place = Path(lines[0].removeprefix("worktree "))
            if (place / ".git").exists():
                return onto, place
    return onto, None
