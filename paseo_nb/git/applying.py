"""Apply: what a run changed, as one commit on another branch, by a merge of three.

First all of it is worked out in git's objects only: conflicts, and changes of the user's that are
in the way, are known before a file is touched. A branch that is checked out gets the files, too.
Files come before the branch: killed in between, applying again ends it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..errors import GitProblem
from ..plain_git import WHO
from .bringing import bring, refusal
from .commands import Repository
from .diffs import diff
from .values import DiffSummary

_SHOWN = 10


class Merge(msgspec.Struct, frozen=True):
    """What an apply does, or would do. onto: the branch's name, or the id of a detached commit;
    tree: the result; conflicts: paths that both sides changed, in which case there is no result;
    place: the working tree in which the branch is checked out, if any; in_the_way: paths that are
    changed there, or lie there untracked, and would be written."""

    onto: str
    parent: str
    tree: str
    conflicts: list[str]
    summary: DiffSummary
    place: Path | None
    in_the_way: list[str] = []


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
    merge = Merge(onto or name, parent, tree.decode(), conflicts, summary, place)
    if place is None or conflicts:
        return merge
    return msgspec.structs.replace(merge, in_the_way=_in_the_way(Repository(place), parent, result))


def apply(folder: Path, merge: Merge, message: str, *, commit: bool = True) -> str | None:
    """Carry a merge out; the new commit's id, None where nothing is to be committed.

    commit: False leaves the change staged in the branch's working tree. GitProblem, with nothing
    touched, where there are conflicts, where files that it would write are changed there, where the
    branch has moved meanwhile, and where git knows no name and address for the commit.
    """
    if merge.conflicts or merge.in_the_way:
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
            raise _moved(merge)
        _write(here, merge, made)
    ref = "HEAD" if here is not None else f"refs/heads/{merge.onto}"
    try:
        (here or repository).run("update-ref", "-m", "paseo_nb: apply", ref, made, merge.parent)
    except GitProblem:
        if here is not None:  # somebody else's commit came in between: theirs stands
            bring(here, made, merge.parent)
        raise _moved(merge) from None
    return made


def _moved(merge: Merge) -> GitProblem:
    return GitProblem(f"{merge.onto} has moved meanwhile: apply again. Nothing was touched.")


def conflict_text(merge: Merge) -> str:
    """Why it cannot be applied, and what to do."""
    paths = merge.conflicts or merge.in_the_way
    names = ", ".join(paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    if not merge.conflicts:
        return (
            f"{merge.place} has changes of its own in what the run changed: {names}{more}. Commit,"
            " stash or move them, then apply again. Nothing was touched."
        )
    return (
        f"{merge.onto} has changed what the run changed: {names}{more}. Nothing was touched. Have"
        f" the agent take {merge.onto} into its branch first, or merge by hand."
    )


def _in_the_way(here: Repository, parent: str, result: str) -> list[str]:
    """What git would not write over. It names one path, or none: so we look for ourselves."""
    with here.temporary_index() as index:
        said = refusal(here, index, parent, result)
    if said is None:
        return []
    changed = here.run("diff-tree", "-r", "--name-only", "--no-renames", "-z", parent, result)
    paths = changed.split(b"\0")[:-1]
    words = ("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignored")
    told = here.run(*words).split(b"\0")[:-1]
    found = [entry[3:].rstrip(b"/") for entry in told]
    hit = [
        name for name in found
        if any(_over(name, path) for path in paths)
    ]  # fmt: skip
    return [name.decode("utf-8", "replace") for name in sorted(hit)] or [said]


def _over(one: bytes, other: bytes) -> bool:
    """Whether they are one path, or one lies below the other."""
    return one == other or one.startswith(other + b"/") or other.startswith(one + b"/")


def _write(here: Repository, merge: Merge, result: str) -> None:
    """Bring the files and the index of a working tree from the parent to the result."""
    try:
        bring(here, merge.parent, result)
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
    for facts in repository.worktrees():
        place = Path(facts["worktree"])
        if facts.get("branch") == f"refs/heads/{onto}" and (place / ".git").exists():
            return onto, place
    return onto, None
