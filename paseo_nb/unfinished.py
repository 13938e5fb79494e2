"""Worktrees that a launch or a fork was killed over: a note beside them tells for which run one is
made, from before its first file on. Where that run never came to be, `prune` takes away what there
is of it, and nobody is given it to work in. Callers hold the launch lock."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from pathlib import Path

import msgspec

from .errors import GitProblem
from .git.commands import Repository
from .git.shelving import remove_tree
from .hints import command
from .host.local import LocalHost, storage_problem
from .journal import encode, private_dir, write_file_once

_NOTE = ".new-"


class Making(msgspec.Struct, frozen=True):
    """A worktree in the making. branch: that is made with it, at `start`; None: it was there."""

    run_id: str
    repo: str
    path: str
    branch: str | None
    start: str


@contextlib.contextmanager
def making(host: LocalHost, run_id: str) -> Generator[None]:
    """Around the making of a run's worktree and spec: only a kill leaves its note."""
    try:
        yield
    finally:
        _note(host, run_id).unlink(missing_ok=True)


def _note(host: LocalHost, run_id: str) -> Path:
    return host.home / "worktrees" / f"{_NOTE}{run_id}"


def note(host: LocalHost, run_id: str, repository: Repository, name: str, start: str) -> None:
    """Before it is made."""
    new = repository.commit(f"refs/heads/{name}") is None
    path = host.home / "worktrees" / name
    for one in _noted(host):
        if one.path == str(path):  # it was killed before there was a folder
            _note(host, one.run_id).unlink(missing_ok=True)
    made = Making(run_id, str(repository.folder), str(path), name if new else None, start)
    try:
        private_dir(host.home / "worktrees")
        write_file_once(_note(host, run_id), encode(made))
    except OSError as error:
        raise storage_problem(error, host.home) from error


def unfinished(host: LocalHost) -> list[Making]:
    """Those that are there, and whose run never came to be."""
    return [
        one
        for one in _noted(host)
        if os.path.lexists(one.path) and not host.folder(one.run_id).spec.exists()
    ]


def _noted(host: LocalHost) -> list[Making]:
    found: list[Making] = []
    for file in sorted((host.home / "worktrees").glob(f"{_NOTE}*")):
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found.append(msgspec.json.decode(file.read_bytes(), type=Making))
    return found


def check(host: LocalHost, path: Path, run_id: str) -> None:
    """Before a run is made in a worktree: GitProblem where that was never finished. What a launch
    of this very run left, which is made once more, goes."""
    for half in unfinished(host):
        if half.path != str(path):
            continue
        if half.run_id != run_id:
            raise GitProblem(
                f"the making of the worktree {path} was broken off:"
                f" {command('prune --no-dry-run')} takes away what there is of it"
            )
        take_away(host, half)


def take_away(host: LocalHost, half: Making) -> None:
    """What there is of it: files, what git knows of it, its branch where that is new and stands
    where it began, refs, and at last the note."""
    remove_tree(Path(half.path))
    with contextlib.suppress(GitProblem):  # a repository that is gone
        here = Repository(Path(half.repo))
        here.run("worktree", "remove", "--force", "--force", half.path, fine=(0, 128))
        if half.branch is not None:
            here.run("update-ref", "-d", f"refs/heads/{half.branch}", half.start, fine=(0, 1, 128))
        drop_refs(here, half.run_id)
    _note(host, half.run_id).unlink(missing_ok=True)


def drop_refs(repository: Repository, run_id: str) -> None:
    """All refs of ours that are a run's."""
    told = repository.run("for-each-ref", "--format=%(refname)", f"refs/paseo/{run_id}/")
    for name in told.decode().splitlines():
        repository.run("update-ref", "-d", name)
