"""In which surroundings git is run so that nothing of the user's changes, and what a snapshot
leaves out: the same for the `git` room (GitPython) and the supervisor (plain processes)."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from typing import NamedTuple

# Untracked files above this are in no snapshot and no diff: a data set beside a notebook would
# otherwise be copied into the repository's objects at every launch.
LARGEST_UNTRACKED = 64 << 20

OPTIONS = tuple(
    part
    for option in (
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "core.quotePath=false",
        "core.safecrlf=false",
        "core.splitIndex=false",
        "submodule.recurse=false",
        "gc.auto=0",
        "maintenance.auto=false",
        "core.filesRefLockTimeout=10000",  # another run's git may hold it for a moment
        "core.packedRefsTimeout=10000",
    )
    for part in ("-c", option)
)
# As many as there are cores: a large tree is written much faster (benchmarks/worktrees.py).
PARALLEL = ("-c", "checkout.workers=0")
# What `git rev-parse --local-env-vars` names (but for configuration, which is the user's), and
# what changes how paths and diffs are read.
NOT_PASSED_ON = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_IMPLICIT_WORK_TREE", "GIT_PREFIX", "GIT_NAMESPACE",
    "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE", "GIT_REPLACE_REF_BASE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
    "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS",
)  # fmt: skip
# English, as we look for words of what it says.
QUIET = {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LANGUAGE": "en"}
WHO = {
    "GIT_AUTHOR_NAME": "paseo_nb",
    "GIT_AUTHOR_EMAIL": "paseo_nb@localhost",
    "GIT_COMMITTER_NAME": "paseo_nb",
    "GIT_COMMITTER_EMAIL": "paseo_nb@localhost",
}
UNTRACKED = ("ls-files", "--others", "--exclude-standard", "-z")
_FLAGS = ("ls-files", "-v", "-z")
_LOOK_AT = ("update-index", "--no-assume-unchanged", "-z", "--stdin")
_STAGE = ("add", "--ignore-errors", "--pathspec-file-nul", "--pathspec-from-file=-")


class Step(NamedTuple):
    """A git command, what it reads, and which of its exit codes are fine."""

    words: tuple[str, ...]
    given: bytes = b""
    fine: tuple[int, ...] = (0,)


Steps = Generator[Step, bytes, tuple[set[bytes], set[bytes]]]


def staging(top: bytes, *options: str, new: bool = True, all_of_it: bool = False) -> Steps:
    """The steps by which the whole working tree is staged in an index of ours, each answered with
    what git printed; at last the untracked files among it, and those that are left out.

    Left out are ignored files, repositories of their own, and untracked files that are too large. A
    file that cannot be read, or vanishes meanwhile, does not fail the rest, unless `all_of_it`.
    new: the index is a new copy of the user's.
    """
    if new and (past := _looked_past((yield Step(_FLAGS)))):
        yield Step(_LOOK_AT, past)
    untracked = set((yield Step(UNTRACKED)).split(b"\0")[:-1])
    left = left_out(top, untracked)
    yield Step((*_STAGE, *options), _all_but(left), (0,) if all_of_it else (0, 1))
    return untracked - left, left


def _looked_past(told: bytes) -> bytes:
    """Of what FLAGS tells, the files that the user has git assume unchanged, as LOOK_AT reads them:
    in an index of ours they are looked at, as an agent may change them all the same."""
    entries = (entry for entry in told.split(b"\0")[:-1] if entry[:1].islower())
    return b"".join(entry[2:] + b"\0" for entry in entries)


def left_out(top: bytes, untracked: Iterable[bytes]) -> set[bytes]:
    """Which untracked files are in no snapshot: repositories of their own, what is too large, what
    is gone meanwhile."""
    return {path for path in untracked if not _small_file(top, path)}


def _all_but(left: Iterable[bytes]) -> bytes:
    """The whole working tree without some files, as `git add --pathspec-from-file` reads it."""
    return b"\0".join([b".", *(b":(exclude,literal)" + path for path in left)])


def _small_file(top: bytes, path: bytes) -> bool:
    try:
        size = os.lstat(os.path.join(top, path)).st_size
        return not path.endswith(b"/") and size <= LARGEST_UNTRACKED
    except OSError:
        return False
