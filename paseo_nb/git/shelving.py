"""Shelving a worktree: everything in it becomes commits under a private ref, then it goes; and
back, byte for byte, with what was staged staged again.

Only where everything but ignored files is kept that way; else GitProblem says what is in the way.
A worktree goes, and comes, by one rename: a process that is killed leaves it whole or not there.
Its own git folder has the mark of the run that it was shelved for: what has none in its place is
somebody else's. Callers see to it that one process at a time does this to a worktree.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from itertools import count
from pathlib import Path

from ..errors import GitProblem
from ..model import Shelved
from ..plain_git import UNTRACKED, WHO, left_out
from .commands import Repository
from .exact import exact_tree, write_exactly

# git is in the middle of something that commits do not hold.
_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "BISECT_LOG": "a bisection",
}
_SHOWN = 20
_MARK = "paseo_nb.shelved"
# What is being removed, or made: no branch's name, so no worktree's, begins with a dot.
GONE = ".gone-"
MAKING = ".making-"


def check(path: Path) -> None:
    """GitProblem where a worktree has something that commits would not hold."""
    there = Repository(path)
    top = there.working_tree()
    for name, what in _UNDER_WAY.items():
        if (there.git_dir / name).exists():
            raise GitProblem(f"{what} is under way in it")
    if (there.git_dir / "locked").exists():
        raise GitProblem("it is locked (see `git worktree unlock`)")
    if (there.git_dir / "modules").is_dir():
        raise GitProblem("it has submodules of its own")
    if there.commit("HEAD") is None:
        raise GitProblem("its branch has no commit yet")
    for line in there.run("ls-files", "-v", "--stage", "-z").split(b"\0")[:-1]:
        facts, _, name = line.partition(b"\t")
        tag, mode, *_ = facts.split(b" ")
        if tag.islower() or tag == b"S":
            raise GitProblem(
                f"git was told not to look at some of its files (assume-unchanged, skip-worktree or"
                f" a sparse checkout), as {os.fsdecode(name)}"
            )
        if mode == b"160000" and os.path.isdir(inner := top / os.fsdecode(name)):
            _check_empty(inner, os.fsdecode(name))
    for _ in os.walk(top, onerror=_unreadable):
        pass


def _check_empty(inner: Path, name: str) -> None:
    try:
        if not os.listdir(inner):
            return
    except OSError as error:
        _unreadable(error)
    raise GitProblem(f"a repository of its own lies in it: {name}")


def _unreadable(error: OSError) -> None:
    raise GitProblem(f"it cannot be read: {error.filename}: {error.strerror}")


def shelve(path: Path, run_id: str) -> Shelved:
    """Keep what a worktree holds; it stays as it is. GitProblem where something in it cannot be
    kept. Every call keeps it under a ref of its own: what was kept before is never lost."""
    check(path)
    there = Repository(path)
    head = there.line("rev-parse", "HEAD")
    trees = _trees(there)
    staged = there.line("commit-tree", trees[0], "-p", head, "-m", "paseo_nb: staged", env=WHO)
    exact = there.line("commit-tree", trees[2], "-p", head, "-m", "paseo_nb: exact", env=WHO)
    parents = ("-p", head, "-p", staged, "-p", exact)
    last = there.line("commit-tree", trees[1], *parents, "-m", "paseo_nb: archived", env=WHO)
    ref = _keep(there, f"refs/paseo/{run_id}/archived", last)
    branch = there.line("symbolic-ref", "--short", "-q", "HEAD", fine=(0, 1)) or None
    listed = there.run(
        "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"
    )
    ignored = [name.decode("utf-8", "replace") for name in listed.split(b"\0")[:-1]]
    (there.git_dir / _MARK).write_text(run_id)
    return Shelved(str(path), branch, head, staged, last, ignored[:_SHOWN], exact, ref)


def check_same(shelved: Shelved) -> None:
    """GitProblem where a worktree is not as it was shelved any more."""
    there = Repository(Path(shelved.path))
    check(there.folder)
    kept = (f"{name}^{{tree}}" for name in (shelved.staged, shelved.files, shelved.exact))
    same = _trees(there) == tuple(there.line("rev-parse", name) for name in kept)
    if not same or there.commit("HEAD") != shelved.head:
        raise GitProblem("something in it was changed at this very moment: try again")


def _trees(there: Repository) -> tuple[str, str, str]:
    """What is staged, the files as git has them, and their very bytes."""
    with there.temporary_index() as index:
        staged = there.line("write-tree", index=index)
        untracked = there.run(*UNTRACKED, index=index).split(b"\0")[:-1]
        if left := left_out(os.fsencode(there.working_tree()), untracked):
            names = ", ".join(sorted(os.fsdecode(name) for name in left)[:3])
            raise GitProblem(f"a repository of its own or a very large file lies in it: {names}")
        there.stage(index, "--all", all_of_it=True)
        files = there.line("write-tree", index=index)
    return staged, files, exact_tree(there, files)


def _keep(there: Repository, ref: str, commit: str) -> str:
    for number in count(1):
        name = f"{ref}-{number}"
        if there.commit(name) is None:
            there.run("update-ref", name, commit, "")  # "": only where there still is none
            return name
    raise AssertionError


# ---------------------------------------------------------------- going


def take_away(shelved: Shelved, worktrees: Path) -> Path:
    """Take a worktree that was shelved out of its place, whole; where it lies then. GitProblem
    where it cannot be moved: it is as it was."""
    aside = worktrees / f"{GONE}{time.time_ns()}"
    try:
        os.rename(shelved.path, aside)
    except OSError as error:
        raise GitProblem(f"it cannot be moved: {error.strerror}") from None
    return aside


def clear_away(repository: Path, shelved: Shelved, aside: Path, worktrees: Path) -> None:
    """What is left to do then: git forgets it, its files go, and folders above it that are empty.
    What cannot be removed is left aside, for `prune`."""
    _forget(Repository(repository), Path(shelved.path))
    remove_tree(aside)
    for parent in Path(shelved.path).parents:
        if parent == worktrees or worktrees not in parent.parents:
            return
        with contextlib.suppress(OSError):
            parent.rmdir()


def _forget(here: Repository, path: Path) -> None:
    """Have git forget a worktree that is not there (any more)."""
    here.run("worktree", "remove", "--force", "--force", str(path), fine=(0, 128))


def remove_tree(path: Path) -> None:
    """As far as it can be removed; folders of ours that are not to be written, too."""
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            mode = os.lstat(folder).st_mode
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(folder, mode | stat.S_IRWXU)
    shutil.rmtree(path, ignore_errors=True)


# ---------------------------------------------------------------- coming back


def stands(shelved: Shelved, run_id: str) -> bool:
    """Whether that very worktree is in its place, whole: never taken away, or back already."""
    if not os.path.lexists(Path(shelved.path) / ".git"):
        return False
    try:
        return (Repository(Path(shelved.path)).git_dir / _MARK).read_text() == run_id
    except (GitProblem, OSError):
        return False


def unshelve(repository: Path, shelved: Shelved, run_id: str, worktrees: Path) -> str | None:
    """Make the worktree again as it was; what is otherwise than it was, if anything. GitProblem
    where its place is taken, or what it held was pruned."""
    here = Repository(repository)
    path = Path(shelved.path)
    if stands(shelved, run_id):
        here.run("worktree", "repair", str(path))
        return None
    commits = (shelved.head, shelved.staged, shelved.files, shelved.exact or shelved.files)
    for commit in commits:
        if here.commit(commit) is None:
            raise GitProblem(f"what the worktree held was pruned: there is no commit {commit}")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
        raise GitProblem(f"{path} is there already: move it away, then try again")
    making = worktrees / f"{MAKING}{run_id}" / path.name
    remove_tree(making.parent)  # of one that was killed
    for left in (making, path):
        _forget(here, left)
    start = ("--quiet", "--no-checkout", "--detach", str(making), shelved.head)
    here.run("worktree", "add", *start)
    there = Repository(making)
    if shelved.exact is None:
        there.run("read-tree", shelved.files)
        there.run("checkout-index", "--all", "--force")
    else:
        write_exactly(there, shelved.exact)
    there.run("read-tree", shelved.staged)
    there.run("update-index", "-q", "--refresh", fine=(0, 1))
    said = _onto_branch(here, there, shelved)
    (there.git_dir / _MARK).write_text(run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.rename(making, path)
    except OSError as error:
        raise GitProblem(f"{path} cannot be made: {error.strerror}") from None
    here.run("worktree", "repair", str(path))
    with contextlib.suppress(OSError):
        making.parent.rmdir()
    return said


def _onto_branch(here: Repository, there: Repository, shelved: Shelved) -> str | None:
    """HEAD on its branch again, where that is as it was; else what is said of it."""
    if shelved.branch is None:
        return None
    ref = f"refs/heads/{shelved.branch}"
    now = here.commit(ref)
    if now is None:
        here.run("update-ref", ref, shelved.head, "")
    elif now != shelved.head:
        return f"branch {shelved.branch} has moved since: the worktree stands beside it"
    elsewhere = here.line("for-each-ref", "--format=%(worktreepath)", ref)
    if elsewhere and os.path.lexists(Path(elsewhere) / ".git"):
        return f"branch {shelved.branch} is checked out elsewhere: the worktree stands beside it"
    there.run("symbolic-ref", "HEAD", ref)
    return None
