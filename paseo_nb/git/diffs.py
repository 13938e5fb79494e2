"""Diffs: what the present working tree has that a base commit has not, and the other way round.

Read from the files themselves; the repository and its index stay as they are. Called by the handle;
the values are `values.DiffSummary`.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import GitProblem
from .commands import Repository
from .values import DiffSummary, FileChange

# Larger files are shown as binary: their text would fill the page, and git's memory.
_LARGEST_TEXT = "core.bigFileThreshold=16m"
# The user's own taste in diffs must not change what renderers parse.
_PLAIN = (
    "--find-renames", "--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short",
    "--ignore-submodules=dirty", "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


def diff(path: str | os.PathLike[str], base: str, to: str | None = None) -> DiffSummary:
    """The change from commit `base` to commit `to`, or to the working tree that `path` lies in as
    it is now: committed or not, untracked files included (status `?`), ignored ones not.

    Paths are from the top of the repository. Line counts are None for a binary file, and for one
    over 16 MB, which counts as binary. GitProblem outside a repository or for an unknown base.
    """
    repository = Repository(Path(path))
    commit = _known(repository, base)
    if to is not None:
        return _diff(repository, [commit, _known(repository, to)], None, set())
    with repository.temporary_index() as index:
        untracked = repository.stage(index, "--intent-to-add")
        return _diff(repository, [commit], index, untracked)


def _known(repository: Repository, name: str) -> str:
    commit = repository.commit(name)
    if commit is None:
        where = repository.folder
        raise GitProblem(f"{where}: git knows no commit {name!r}; it may have been pruned")
    return commit


def _diff(
    repository: Repository, commits: list[str], index: Path | None, untracked: set[bytes]
) -> DiffSummary:
    command = ("-c", _LARGEST_TEXT, "-c", "diff.suppressBlankEmpty=false", "diff", *_PLAIN)
    counts = repository.run(*command, "--raw", "--numstat", "-z", *commits, "--", index=index)
    patch = repository.run(*command, "--patch", "--unified=3", *commits, "--", index=index)
    files = _changes(counts, untracked)
    return DiffSummary(files, patch.decode("utf-8", "replace"), commits[0])


def _changes(told: bytes, untracked: set[bytes]) -> list[FileChange]:
    """git's `--raw --numstat -z`: first the raw records, then the counts, each NUL-terminated.

    raw: `:modes ids STATUS`, path (for a rename: old path, new path). numstat: `added TAB removed
    TAB path`, for a rename with an empty path, then old path, new path; `-` counts are binary.
    """
    status: dict[bytes, str] = {}
    out: list[FileChange] = []
    fields = iter(told.split(b"\0")[:-1])
    for field in fields:
        if field.startswith(b":"):
            letter = field.rsplit(b" ", 1)[1][:1].decode()
            name = next(fields)
            if letter in "RC":
                name = next(fields)
            status[name] = "?" if letter == "A" and name in untracked else letter
            continue
        added, removed, name = field.split(b"\t", 2)
        if not name:
            next(fields)
            name = next(fields)
        change = FileChange(
            name.decode("utf-8", "replace"),
            None if added == b"-" else int(added),
            None if removed == b"-" else int(removed),
            status.get(name, "M"),
        )
        out.append(change)
    return out
