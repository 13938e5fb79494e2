"""Files that a git killed in mid-write left: told from a user's by a note of what was written.

The note lies in the working tree's own git folder from before the first file is written until the
index is in its place. A file is torn if it is the beginning, and no more, of what the note says was
to be written there: whatever is done with it, none of its bytes are lost.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..errors import GitProblem
from .commands import Repository

_NOTE = "paseo_nb.writing"


def begin(here: Repository, after: str) -> None:
    """Note that the files of a commit are about to be written, with those of notes before."""
    tree = here.line("rev-parse", "--verify", f"{after}^{{tree}}")
    known = [one for one in _noted(here) if one != tree]
    beside = _note(here).with_suffix(".new")
    beside.write_text("\n".join([*known[-9:], tree]))
    os.replace(beside, _note(here))


def end(here: Repository) -> None:
    """All is written, and what was torn is mended."""
    _note(here).unlink(missing_ok=True)


def torn(here: Repository) -> set[bytes]:
    """The torn files of the working tree; none where nothing was broken off."""
    return {
        name
        for tree in _noted(here)
        for name in _differing(here, tree)
        if _is_beginning(here, tree, name)
    }


def _note(here: Repository) -> Path:
    return here.git_dir / _NOTE


def _noted(here: Repository) -> list[str]:
    with contextlib.suppress(OSError):
        return _note(here).read_text().split()
    return []


def _differing(here: Repository, tree: str) -> list[bytes]:
    """The files of a tree that the working tree has, otherwise."""
    with here.temporary_index() as index, contextlib.suppress(GitProblem):
        here.run("read-tree", tree, index=index)
        here.run("update-index", "-q", "--refresh", index=index, fine=(0, 1))
        told = here.run("diff-files", "--name-only", "-z", "--diff-filter=M", index=index)
        return told.split(b"\0")[:-1]
    return []


def _is_beginning(here: Repository, tree: str, name: bytes) -> bool:
    path = os.path.join(os.fsencode(here.working_tree()), name)
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    size, what = os.path.getsize(path), f"{tree}:{os.fsdecode(name)}"
    for kind in ("--filters", "blob"):  # as it is written with the attributes of now, or plain
        with contextlib.suppress(GitProblem, OSError):
            whole = here.run("cat-file", kind, what)
            with open(path, "rb") as file:
                if size < len(whole) and file.read() == whole[:size]:
                    return True
    return False
