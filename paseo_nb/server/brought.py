"""Repositories that come from another machine as a git bundle, and what a run did on its way back.

A repository that is here already (the project's own, or one brought before) only gets the commits
that it lacks, under refs of ours: no branch and no file of it is touched. Another one is made under
`.paseo_nb/repositories/`.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from .. import config
from ..errors import GitProblem, UsageProblem
from ..git.commands import Repository
from ..git.snapshots import snapshot
from ..handle import AsyncRun
from ..host.local import LocalHost, make_home
from ..journal import private_dir
from ..model import short_id

Json = dict[str, Any]
Commit = Annotated[str, Meta(pattern="^(?:[0-9a-f]{40}|[0-9a-f]{64})$")]
FOLDER = "repositories"
TOLD = 200
WAIT_S = 300.0


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A commit, the first commits of its repository, by which that is known again, a name for it,
    and the bundle that was brought, if one was."""

    commit: Commit
    roots: Annotated[list[Commit], Meta(min_length=1, max_length=50)]
    name: Annotated[str, Meta(min_length=1, max_length=200)] = "repository"
    bundle: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None


def find(host: LocalHost, project: Path, wanted: Wanted) -> Json:
    """`path`: where the commit is; None where it has to be brought, without what is here (`have`).
    GitProblem for a bundle that does not bring it. One at a time: two would make it at once."""
    with host.holding("repositories.lock", WAIT_S):
        return _found(host, project, wanted)


def _found(host: LocalHost, project: Path, wanted: Wanted) -> Json:
    known = _known(host, project, wanted.roots)
    if known is not None and known.commit(wanted.commit) == wanted.commit:
        return {"path": str(known.top or known.folder), "have": []}
    if wanted.bundle is None:
        told = _ends(known) if known is not None else []
        return {"path": None, "have": told}
    bundle = host.home / "blobs" / wanted.bundle
    if not bundle.is_file():
        raise UsageProblem("that bundle was not brought")
    here = known or _made(host, wanted)
    ref = f"refs/paseo/brought/{wanted.commit[:16]}"
    here.run("fetch", "-q", "--no-tags", "--no-write-fetch-head", str(bundle), f"+refs/*:{ref}/*")
    if here.commit(wanted.commit) != wanted.commit:
        raise GitProblem("the bundle does not hold the commit that was asked for")
    here.run("update-ref", f"{ref}/asked", wanted.commit)
    if known is None:
        here.run("checkout", "-q", "-B", "main", wanted.commit)
    bundle.unlink(missing_ok=True)
    return {"path": str(here.top), "have": []}


def _known(host: LocalHost, project: Path, roots: list[str]) -> Repository | None:
    folders = [config.git_top(project)]
    brought = host.home / FOLDER
    if brought.is_dir():
        folders += sorted(brought.iterdir())
    for folder in folders:
        if not (folder / ".git").exists():
            continue
        try:
            repository = Repository(folder)
        except GitProblem:
            continue
        if any(repository.commit(root) == root for root in roots):
            return repository
    return None


def _made(host: LocalHost, wanted: Wanted) -> Repository:
    import git

    make_home(host.home)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted.name).strip("-")[:40] or "repository"
    folder = private_dir(host.home / FOLDER) / f"{name}-{wanted.roots[0][:8]}"
    git.Repo.init(folder, initial_branch="main")
    return Repository(folder)


def _ends(repository: Repository) -> list[str]:
    told = repository.run(
        "for-each-ref", "--format=%(objectname)", "--sort=-committerdate", f"--count={TOLD}",
        "refs/heads", "refs/paseo/brought", "refs/remotes",
    )  # fmt: skip
    return list(dict.fromkeys(told.decode().split()))


def result(run: AsyncRun, have: list[str]) -> Json:
    """The commit of a run's files as they are, the one that it began from, and the bundle that
    brings them (None where the caller has all of it)."""
    if run.spec.git_base is None:
        raise GitProblem(f"run {short_id(run.id)} works outside a git repository")
    after, base = snapshot(run.path) if run.there else run.kept, run.base
    if after is None or base is None:
        raise GitProblem(f"the files of run {short_id(run.id)} were not kept")
    repository = Repository(run.repository)
    told = {"after": after, "base": base, "branch": run.branch, "bundle": None}
    without = [one for one in have if repository.commit(one) == one]
    if after in without:
        return told
    ref = f"refs/paseo/{run.id}/result"
    repository.run("update-ref", ref, after)
    incoming = private_dir(run.host.home / "incoming")
    fd, name = tempfile.mkstemp(dir=incoming, prefix="bundle-")
    os.close(fd)
    try:
        repository.run("bundle", "create", "-q", name, ref, *(f"^{one}" for one in without))
        with open(name, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.replace(name, private_dir(run.host.home / "blobs") / digest)
    except GitProblem:
        Path(name).unlink(missing_ok=True)
        raise
    return {**told, "bundle": digest}
