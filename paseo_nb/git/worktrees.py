"""Worktrees: a working copy and a branch of its own for a run, under `<home>/worktrees/<name>`.

Made with plain `git worktree`, so the user sees them in `git worktree list` and their commits on
ordinary branches. Called when a run is prepared; who is at work in one is the caller's to know.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from ..errors import GitProblem, StorageProblem
from ..journal import private_dir, write_file_once
from ..locks import take_lock
from ..plain_git import PARALLEL
from .commands import Repository

LOCK_WAIT_S = 120.0
_PULL_REQUEST = re.compile(r"(?:(.+)/)?pr/(\d+)")
NAME_BYTES = 200  # of a part: git appends to it, and file systems take 255


class Worktree(msgspec.Struct, frozen=True):
    """A worktree to work in. branch: None where its HEAD is detached; base: the commit it stands
    on now; created: False where it was there already; dirty: how many files of one that was there
    are changed and not committed."""

    path: Path
    branch: str | None
    base: str
    created: bool
    dirty: int = 0


def ensure_worktree(
    repo: Path,
    name: str,
    home: Path,
    live: Callable[[Path], str | None],
    base: str | None = None,
    check: Callable[[Repository, str], None] = lambda repository, commit: None,
) -> Worktree:
    """The worktree `name`, made if it is not there: on the branch of that name, which is made off
    `base`, or off the HEAD that `repo` has now, if there is none yet.

    name: any branch name that git takes, slashes included. home: the project's `.paseo_nb`.
    live: tells the id of the run that is at work in a folder, if any; such a worktree is not given
    away. base: a commit, or `pr/N`, a pull request that is fetched. check: is given the commit that
    a new one will hold, and raises where it is not to be made. GitProblem says what stands in
    the way and what to do; StorageProblem where home cannot be written.
    """
    repository = Repository(repo)
    _check_name(repository, name)
    folder = Path(os.path.abspath(home)) / "worktrees"
    path = folder / name
    head = repository.commit("HEAD")
    if head is None:
        raise GitProblem(
            f"{repo} has no commit yet, so there is nothing to branch off. Make a first one:"
            " git commit --allow-empty -m start"
        )
    start = head if base is None else _start(repository, base)  # it may take a remote its time
    try:
        _prepare(home, folder)
        lock = take_lock(folder / ".lock", wait_s=LOCK_WAIT_S)
    except OSError as error:
        raise StorageProblem(f"{folder} cannot be written: {error.strerror}") from error
    if lock is None:
        raise GitProblem(f"another process has been making a worktree in {folder} for too long")
    with lock:
        there = (path / ".git").exists()
        stands = repository.commit(f"refs/heads/{name}")
        if base is not None and stands is not None and stands != start:
            raise GitProblem(
                f"branch {name!r} is there already, at {stands[:10]}, not at base={base!r}. Leave"
                " base out to go on with the branch, or choose another name."
            )
        if there:
            return _reused(repository, name, path, live)
        _check_place(folder, path)
        check(repository, stands or start)
        _add(repository, name, path, None if stands else start)
    return Worktree(path, name, stands or start, True)


def current_branch(path: Path) -> str | None:
    """The branch that a folder's HEAD is on; None where it is detached. GitProblem outside a
    repository."""
    return Repository(path).line("symbolic-ref", "--short", "-q", "HEAD", fine=(0, 1)) or None


def branches(path: Path) -> list[str]:
    """The local branches of a folder's repository, newest commit first. GitProblem outside one."""
    told = Repository(path).line(
        "for-each-ref", "--sort=-committerdate", "--format=%(refname:lstrip=2)", "refs/heads"
    )
    return told.splitlines()


def _start(repository: Repository, base: str) -> str:
    """The commit that a new branch starts from; a pull request's is fetched first."""
    asked = _PULL_REQUEST.fullmatch(base)
    if asked is not None and repository.commit(base) is None:
        return _pull_request(repository, asked[1] or _remote(repository), asked[2])
    commit = repository.commit(base)
    if commit is None:
        raise GitProblem(
            f"base={base!r} is no commit that git knows here. A remote's branch may have to be"
            " fetched first (git fetch), and is named with its remote, as origin/main."
        )
    return commit


def _remote(repository: Repository) -> str:
    """The remote that a pull request is asked of where none is named."""
    remotes = repository.line("remote").splitlines()
    if "origin" in remotes or len(remotes) != 1:
        return "origin"
    return remotes[0]


def _pull_request(repository: Repository, remote: str, number: str) -> str:
    """Fetch it into a ref of its own: FETCH_HEAD is the user's."""
    tried: list[str] = []
    ours = f"refs/paseo/pull/{remote}/{number}"
    for ref in (f"refs/pull/{number}/head", f"refs/merge-requests/{number}/head"):
        words = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", remote, f"+{ref}:{ours}")
        try:
            repository.run(*words)
            return repository.line("rev-parse", f"{ours}^{{commit}}")
        except GitProblem as problem:
            tried.append(str(problem))
    raise GitProblem(
        f"pull request {number} could not be fetched from {remote}: {tried[0]} (REMOTE/pr/{number}"
        " asks another remote)"
    )


def _check_name(repository: Repository, name: str) -> None:
    if max(len(part.encode()) for part in name.split("/")) > NAME_BYTES:
        raise GitProblem(f"worktree={name[:40] + '…'!r} is too long for a branch and a folder")
    legal = repository.line("check-ref-format", "--branch", name, fine=(0, 1, 128, 129)) == name
    if legal and name != "@":  # which is another word for HEAD
        return
    legal = _legal_name(name)
    fits = repository.line("check-ref-format", "--branch", legal, fine=(0, 1, 128, 129)) == legal
    hint = f" {legal!r} would do." if legal and fits else ""
    raise GitProblem(f"worktree={name!r} is not a name that git takes for a branch.{hint}")


def _legal_name(name: str) -> str:
    """A tidy branch name like this one: words joined by one sign each, in parts between slashes."""
    parts: list[str] = []
    for part in name.split("/"):
        while part.endswith(".lock"):
            part = part.removesuffix(".lock")
        words = re.sub(r"[^\w.-]+", "-", part)
        joined = re.sub(r"[.-]*-[.-]*", "-", re.sub(r"\.{2,}", ".", words))
        parts.append(joined.strip(".-"))
    return "/".join(filter(None, parts))


def _prepare(home: Path, folder: Path) -> None:
    """The folders; home is ignored by git from its first moment."""
    private_dir(Path(home))
    if not (Path(home) / ".gitignore").exists():
        write_file_once(Path(home) / ".gitignore", b"*\n")
    private_dir(folder)


def _reused(
    repository: Repository, name: str, path: Path, live: Callable[[Path], str | None]
) -> Worktree:
    try:
        there = Repository(path)
        ours = there.common_dir == repository.common_dir and there.top == path
    except GitProblem:
        ours = False
    if not ours:
        raise GitProblem(
            f"{path} is a worktree of another repository, or one that git no longer knows. Move it"
            " away (or try `git worktree repair`), or choose another name."
        )
    run_id = live(path)
    if run_id is not None:
        raise GitProblem(
            f"run {run_id} is at work in worktree {name!r}. Wait for it, stop it, choose another"
            " name, or say shared=True (--shared) to work beside it."
        )
    there = Repository(path)
    told = there.run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all")
    branch, head = current_branch(path), there.line("rev-parse", "HEAD")
    return Worktree(path, branch, head, False, told.count(b"\0"))


def _check_place(folder: Path, path: Path) -> None:
    """A worktree inside another one would be untracked files there, and go with it."""
    for parent in path.parents:
        if parent == folder:
            break
        if (parent / ".git").exists():
            raise GitProblem(f"{path} would lie inside the worktree {parent}: choose another name")
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise GitProblem(
            f"{path} is there already and is no worktree. Move it away, or choose another name."
        )


def _add(repository: Repository, name: str, path: Path, start: str | None) -> None:
    """Make it, on a new branch off `start`, or on the branch of that name."""
    elsewhere, gone = _checked_out(repository, name, path)
    force = ["--force"] if gone else []
    if elsewhere is not None:
        raise GitProblem(
            f"branch {name!r} is checked out in {elsewhere}, and git allows one place at a time."
            f" Choose another name, or work there with repo={str(elsewhere)!r}."
        )
    what = ["--no-track", "-b", name, str(path), start] if start else [str(path), name]
    try:
        repository.run(*PARALLEL, "worktree", "add", "--quiet", *force, *what)
    except GitProblem as problem:
        raise GitProblem(f"worktree {name!r} could not be made: {problem}") from None


def _checked_out(repository: Repository, name: str, path: Path) -> tuple[Path | None, bool]:
    """Where the branch is checked out, and whether git still lists it, or our path, for a folder
    that is gone."""
    elsewhere: Path | None = None
    gone = False
    for facts in repository.worktrees():
        place = Path(facts["worktree"])
        on_it = facts.get("branch") == f"refs/heads/{name}"
        if on_it and (place / ".git").exists():
            elsewhere = place
        elif on_it or os.path.realpath(place) == os.path.realpath(path):
            gone = True
    return elsewhere, gone
