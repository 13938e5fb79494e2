"""A working tree from one commit's files to another's, index and all, with everything else left.

git writes the files by an index beside the user's, which takes its place when all is written.
Killed in between, the user's index is as it was and no lock of git's is left; what lies there
already as it shall be is no longer in the way, so that the same again ends it; nor is a file that
git was killed over (`torn.py`), which is written anew.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from ..errors import GitProblem, StorageProblem
from . import torn
from .commands import LOCK_S, Repository

_ABSENT = b"000000"


def refusal(here: Repository, index: Path, before: str, after: str) -> str | None:
    """Why git would not bring the working tree from `before` to `after`; None where it would. What
    lies there already as it shall be is staged in `index`, a copy of the working tree's."""
    here.run("update-index", "-q", "--refresh", index=index, fine=(0, 1))
    said = _refused(here, index, before, after)
    if said is not None and _stage_same(here, index, before, after):
        said = _refused(here, index, before, after)
    return said


def bring(here: Repository, before: str, after: str) -> None:
    """Bring it there. GitProblem, with nothing touched, where something is in the way.
    StorageProblem where it could not be done to the end."""
    deadline = time.monotonic() + LOCK_S
    while True:
        with here.temporary_index() as index:
            stamp = _stamp(here)
            said = refusal(here, index, before, after)
            if said is not None:
                raise GitProblem(said)
            try:
                broken = torn.torn(here)
                torn.begin(here, after)
                here.run("read-tree", "-m", "-u", before, after, index=index)
                _mend(here, index, broken)
                if _take_its_place(here, index, stamp):
                    torn.end(here)
                    return
            except (GitProblem, OSError) as problem:
                raise StorageProblem(
                    f"not all could be written in {here.top}: {problem}. Once that is mended, the"
                    " same again goes on from what is there."
                ) from None
        if time.monotonic() > deadline:
            raise GitProblem(f"another git is at work in {here.top}: {here.git_dir}/index.lock")
        time.sleep(0.05)


def _mend(here: Repository, index: Path, broken: set[bytes]) -> None:
    """Write torn files as the index has them; those that it does not have go."""
    known = _entries(here, index)
    for name in broken - known.keys():
        os.unlink(os.path.join(os.fsencode(here.working_tree()), name))
    listed = index.with_name("torn")
    listed.write_bytes(b"".join(name + b"\0" for name in sorted(broken & known.keys())))
    here.run("checkout-index", "-f", "-u", "-z", "--stdin", index=index, stdin=listed)


def _refused(here: Repository, index: Path, before: str, after: str) -> str | None:
    try:
        here.run("read-tree", "-m", "-u", "-n", before, after, index=index)
    except GitProblem as problem:
        return str(problem)
    return None


def _stage_same(here: Repository, index: Path, before: str, after: str) -> bool:
    """Stage what lies there as `after` has it, or torn, where nothing else was staged; whether
    there is any."""
    told = here.run("diff-tree", "-r", "--raw", "--no-renames", "-z", before, after)
    fields = told.split(b"\0")[:-1]
    was: dict[bytes, tuple[bytes, bytes]] = {}
    wanted: dict[bytes, tuple[bytes, bytes]] = {}
    for raw, name in zip(fields[::2], fields[1::2], strict=True):
        old_mode, mode, old, new, _ = raw[1:].split(b" ")
        was[name], wanted[name] = (old_mode, old), (mode, new)
    top = os.fsencode(here.working_tree())
    files = [name for name in wanted if not os.path.isdir(os.path.join(top, name))]
    staged = _entries(here, index)
    with here.temporary_index() as scratch:
        listed = scratch.with_name("names")
        listed.write_bytes(b"".join(name + b"\0" for name in files))
        try:
            here.run("update-index", "--add", "--remove", "-z", "--stdin", index=scratch,
                     stdin=listed)  # fmt: skip
        except GitProblem:  # one cannot be read, or lies behind a link
            return False
        lies, broken = _entries(here, scratch), torn.torn(here)
        same = [
            name
            for name in files
            if (_is(lies.get(name), wanted[name]) or name in broken)
            and _is(staged.get(name), was[name])
        ]
        entries = (b"%s %s\t%s\0" % (*wanted[name], name) for name in same)
        listed.write_bytes(b"".join(entries))
        here.run("update-index", "-z", "--index-info", index=index, stdin=listed)
    here.run("update-index", "-q", "--refresh", index=index, fine=(0, 1))
    return bool(same)


def _is(one: tuple[bytes, bytes] | None, other: tuple[bytes, bytes]) -> bool:
    return one == other or (one is None and other[0] == _ABSENT)


def _entries(here: Repository, index: Path) -> dict[bytes, tuple[bytes, bytes]]:
    """Mode and object of each path of an index."""
    told = here.run("ls-files", "--stage", "-z", index=index).split(b"\0")[:-1]
    facts = (entry.partition(b"\t") for entry in told)
    return {name: (fact[:6], fact.split(b" ")[1]) for fact, _, name in facts}


def _stamp(here: Repository) -> tuple[int, ...] | None:
    try:
        found = os.stat(here.git_dir / "index")
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _take_its_place(here: Repository, index: Path, stamp: tuple[int, ...] | None) -> bool:
    """Put an index in the place of the working tree's, under git's own lock; False where somebody
    holds that, or has changed it since."""
    lock = here.git_dir / "index.lock"
    try:
        fd = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    try:
        same = _stamp(here) == stamp
        if same:
            with open(fd, "wb", closefd=False) as file:
                file.write(index.read_bytes())
            found = index.stat()  # git goes by it
            os.utime(lock, ns=(found.st_atime_ns, found.st_mtime_ns))
            os.replace(lock, here.git_dir / "index")
        else:
            lock.unlink()
        return same
    except OSError:
        with contextlib.suppress(OSError):
            lock.unlink()
        raise
    finally:
        os.close(fd)
