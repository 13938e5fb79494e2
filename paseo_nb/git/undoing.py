"""Undo: the files that some turns changed, back as they were before them.

Only those files, and only where nobody changed them since; what is there now is kept as a commit
first, so that an undo can itself be undone. The user's branch, index and stash are not touched.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from ..errors import GitProblem
from . import line_ends
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


class Change(msgspec.Struct, frozen=True):
    """From one commit of the files to the next, and whether the run's agent made it."""

    before: str
    after: str
    ours: bool


def put_back(
    path: Path, changes: list[Change], *, ref: str, force: bool = False, leave: Collection[str] = ()
) -> Undone:
    """Give every file that the run changed the content that it had before the first change, in
    the working tree that `path` lies in.

    changes: in order, without a gap, up to the latest known state. ref: where the present state is
    kept (`refs/…`). leave: files to leave as they are. GitProblem where somebody else changed one
    of the files in between or since, unless `force`, and outside a repository; nothing is touched
    then. A file that is as it was already is nobody's to ask for: an undo that was killed is
    finished by the next one.
    """
    repository = Repository(path)
    top = repository.working_tree()
    kept = snapshot(path)
    last = Change(changes[-1].after, kept, ours=False)
    ours: set[str] = set()
    theirs: set[str] = set()
    for change in [*changes, last]:
        if change.before != change.after:
            names = _modes(repository, change.before, change.after)
            (ours if change.ours else theirs).update(names)
    before = changes[0].before
    ours -= set(leave)
    differs = _modes(repository, before, kept)
    both = ours & theirs & differs.keys()
    if both and not force:
        names = [os.fsencode(name).decode("utf-8", "replace") for name in sorted(both)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise GitProblem(
            f"not only the run changed {', '.join(names[:_SHOWN])}{more}. Nothing was put back;"
            " force=True puts them back all the same (what is there now is kept as a commit)."
        )
    gone = [name for name in ours if differs.get(name) == _ABSENT]
    back = [name for name in ours if differs.get(name, _GITLINK) not in (_ABSENT, _GITLINK)]
    if gone or back:
        repository.run("update-ref", ref, kept)
    was = line_ends.present(top, back)
    for name in gone:
        _remove(top, name)
    with repository.temporary_index() as index:
        repository.run("read-tree", before, index=index)
        _check_out(repository, top, back, index)
    line_ends.keep(repository, top, was, kept, before)
    return Undone(sorted([*gone, *back]), kept)


def _check_out(repository: Repository, top: Path, names: list[str], index: Path) -> None:
    """Write files from an index; a folder that has come to stand in a file's place is empty by
    now, or holds what nobody but the user can mean: then git refuses."""
    for name in names:
        with contextlib.suppress(OSError):
            os.rmdir(top / name)
    listed = index.with_name("names")
    listed.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in names))
    repository.run("checkout-index", "--force", "-z", "--stdin", index=index, stdin=listed)


def begun_undo(path: Path, refs: str) -> tuple[int, str | None]:
    """The number of a run's next undo (below `refs`: undo-N-kept is what was there, undo-N what it
    left), and what the latest kept, where that was killed before it was done."""
    told = Repository(path).run(
        "for-each-ref", "--format=%(refname) %(objectname)", f"{refs}/undo-*"
    )
    found = dict(line.split(" ") for line in told.decode().splitlines())
    number = max(
        (int(name.removeprefix(f"{refs}/undo-").partition("-")[0]) for name in found), default=0
    )
    done = f"{refs}/undo-{number}" in found
    return number + 1, None if done else found.get(f"{refs}/undo-{number}-kept")


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
