"""Undo: the files that some turns changed, back as they were before them.

Only those files, and only where nobody changed them since; what is there now is kept as a commit
first, so that an undo can itself be undone. The user's branch, index and stash are not touched.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from ..errors import GitProblem
from .commands import Repository
from .snapshots import snapshot

_GITLINK = b"160000"
_ABSENT = b"000000"
_SHOWN = 10


class Undone(msgspec.Struct, frozen=True):
    """What was put back: paths from the top of the repository (some may not be text: surrogates
    stand for their bytes), and the commit that holds the files as they were until then."""

    files: list[str]
    kept: str


def put_back(path: Path, before: str, after: str, *, ref: str, force: bool = False) -> Undone:
    """Give every file that differs between the commits `before` and `after` its content of
    `before`, in the working tree that `path` lies in.

    ref: where the present state is kept (`refs/…`). GitProblem where a file was changed since
    `after`, unless `force`, and outside a repository; nothing is touched then.
    """
    repository = Repository(path)
    top = repository.working_tree()
    kept = snapshot(path, ref=ref)
    changed = _modes(repository, before, after)
    since = changed.keys() & _modes(repository, after, kept).keys()
    if since and not force:
        names = [os.fsencode(name).decode("utf-8", "replace") for name in sorted(since)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise GitProblem(
            f"changed since the turn: {', '.join(names[:_SHOWN])}{more}. Nothing was put back;"
            " force=True puts them back all the same (what is there now is kept as a commit)."
        )
    gone = [name for name, mode in changed.items() if mode == _ABSENT]
    back = [name for name, mode in changed.items() if mode not in (_ABSENT, _GITLINK)]
    for name in gone:
        _remove(top, name)
    with repository.temporary_index() as index:
        repository.run("read-tree", before, index=index)
        _check_out(repository, top, back, index)
    return Undone(sorted([*gone, *back]), kept)


def _check_out(repository: Repository, top: Path, names: list[str], index: Path) -> None:
    """Write files from an index; a folder that has come to stand in a file's place is empty by
    now, or holds what nobody but the user can mean: then git refuses."""
    for name in names:
        with contextlib.suppress(OSError):
            os.rmdir(top / name)
    for start in range(0, len(names), 500):
        some = names[start : start + 500]
        repository.run("checkout-index", "--force", "--", *some, index=index)


def _modes(repository: Repository, before: str, after: str) -> dict[str, bytes]:
    """The paths that differ, and each one's mode in `before` (000000: not there)."""
    told = repository.run("diff-tree", "-r", "--raw", "--no-renames", "-z", before, after)
    fields = told.split(b"\0")[:-1]
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return {os.fsdecode(name): raw[1:7] for raw, name in pairs}


def _remove(top: Path, name: str) -> None:
    """Remove a file, and the folders that become empty by it. Nothing behind a link."""
    path = top / name
    if any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(top)):
        return
    with contextlib.suppress(OSError):
        path.unlink()
    for parent in path.parents:
        if parent == top:
            return
        try:
            parent.rmdir()
        except OSError:
            return
