"""Snapshots: the present state of a working tree as a commit object.

The user's branch, index, stash and hooks are not touched, and nothing points to the commit but the
private ref that the caller asks for. Called when a run is prepared; the supervisor makes its own.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..plain_git import WHO
from .commands import Repository


def snapshot(path: str | os.PathLike[str], ref: str | None = None) -> str:
    """The id of a commit that holds the working tree that `path` lies in, as it is now: tracked
    and untracked files, without ignored ones, nested repositories, and untracked files over 64 MB.

    HEAD's own id where nothing differs from it; else a new commit on top of HEAD (of nothing, in a
    repository without commits). `ref` (`refs/…`) is made to point to it, so that git keeps it.
    GitProblem outside a repository.
    """
    repository = Repository(Path(path))
    with ThreadPoolExecutor(1) as beside:  # git takes its time: HEAD is looked at meanwhile
        present = beside.submit(_head, repository)
        with repository.temporary_index() as index:
            repository.stage(index, "--all")
            tree = repository.line("write-tree", index=index)
        head, its_tree = present.result()
    if head is not None and its_tree == tree:
        commit = head
    else:
        parent = ["-p", head] if head is not None else []
        commit = repository.line("commit-tree", tree, *parent, "-m", "paseo_nb snapshot", env=WHO)
    if ref is not None:
        repository.run("update-ref", ref, commit)
    return commit


def _head(repository: Repository) -> tuple[str | None, str | None]:
    """HEAD's commit and its tree; None where there is no commit yet."""
    head = repository.commit("HEAD")
    return head, head and repository.line("rev-parse", f"{head}^{{tree}}")
