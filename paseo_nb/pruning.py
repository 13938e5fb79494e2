"""Prune: what of a project's disk may go, what must stay and why, and having it go.

Only what is put away goes: archived runs, worktrees that no run works in, blobs that no journal
names, damaged indexes that were set aside. Work of a run that is applied nowhere keeps the run.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from .contests import removing as contests
from .drivers.acp_reading import as_dict, as_str, decode
from .engine import removing
from .engine.journal import WorkflowFolder
from .errors import GitProblem, PaseoError, StorageProblem, UsageProblem
from .git.applying import work_out
from .git.commands import Repository
from .git.rooms import remove_room
from .git.shelving import GONE, MAKING, remove_tree
from .git.standing import disk_bytes, found_below, holds, standing
from .host.local import LocalHost, storage_problem
from .journal import last_own, read_lines, take_lock
from .keeping import specs_of
from .model import RunSpec, short_id
from .orphans import orphans
from .packing import pack
from .preparing import LAUNCH_S, project_of
from .runview import RunView
from .unfinished import drop_refs, take_away, unfinished

BLOB_S = 3600.0  # a younger one may be about to be named
_READ_BYTES = 4 << 20
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class Piece(msgspec.Struct):
    """One thing on the disk. kind: run, journal (to be packed), worktree, workflow (a run of one),
    match, room (a contestant's clone), unfinished (a worktree whose launch was killed), refs (of a
    run whose folder is gone), blob, leftover. goes: whether it may go, or has gone; why, or not."""

    kind: str
    name: str
    run_id: str | None
    bytes: int
    goes: bool
    why: str
    path: str


def pieces(host: LocalHost, before: datetime) -> list[Piece]:
    """What there is to prune, nothing touched. before: runs archived since then are left alone."""
    specs = specs_of(host)
    archived = {spec.run_id: at for spec in specs if (at := _archived_at(host, spec)) is not None}
    found: list[Piece] = []
    for spec in specs:
        if spec.run_id in archived:
            found += _run_pieces(host, spec, archived[spec.run_id], before)
    going = {piece.run_id for piece in found if piece.kind == "run" and piece.goes}
    found += _contests(host, specs, before)
    found += _workflows(host, before)
    found += _worktrees(host, specs, set(archived))
    found += _blobs(host, [run_id for run_id in host.list() if run_id not in going])
    return [*found, *_unfinished(host), *_leftovers(host), *_orphans(host, before.timestamp())]


def carry_out(host: LocalHost, found: list[Piece]) -> list[Piece]:
    """Have those that may go, go; what could not is told on it. Each is looked at again first."""
    gone: list[str] = []
    for piece in found:
        if not piece.goes:
            continue
        try:
            if piece.kind == "run":
                _remove_run(host, piece)
                gone.append(piece.name)
            elif piece.kind == "journal":
                _pack(host, piece)
            elif piece.kind == "worktree":
                _remove_worktree(host, piece)
            elif piece.kind == "workflow":
                folder = WorkflowFolder(Path(piece.path))
                contests.forget_tasks(host.home, folder)
                removing.remove(folder, project_of(host))
            elif piece.kind == "match":
                contests.remove_match(host, piece.name)
            elif piece.kind == "room":
                contests.remove_room_of(host, piece.name)
            elif piece.kind == "refs":
                _remove_refs(host, piece)
            elif piece.kind == "unfinished" or MAKING in piece.name:
                _remove_unfinished(host, piece)
            elif os.path.isdir(piece.path):
                remove_tree(Path(piece.path))
                if os.path.lexists(piece.path):
                    raise UsageProblem("some of it cannot be removed")
            else:
                os.unlink(piece.path)
        except PaseoError as problem:
            piece.goes, piece.why = False, str(problem)
        except OSError as error:
            piece.goes, piece.why = False, str(storage_problem(error, host.home))
    if gone:
        from .store.index import forget_runs

        with contextlib.suppress(StorageProblem):  # the next look at every run forgets them, too
            forget_runs(host.home, gone)
    return found


# ---------------------------------------------------------------- archived runs


def _archived_at(host: LocalHost, spec: RunSpec) -> float | None:
    """When a run was archived, in seconds; None where it is not."""
    line = last_own(host.folder(spec.run_id).journal, "archived", "unarchived")
    return line.t / 1e6 if line is not None and line.kind == "archived" else None


def _run_pieces(host: LocalHost, spec: RunSpec, at: float, before: datetime) -> list[Piece]:
    folder, run_id = host.folder(spec.run_id), spec.run_id
    if at < before.timestamp():
        keeps = _needed(host, spec)
        days = int((time.time() - at) // 86400)
        why = keeps or f"archived {days} day{'s' if days != 1 else ''} ago"
        piece = Piece("run", run_id, run_id, disk_bytes(folder.path), keeps is None, why, "")
        piece.path = str(folder.path)
        if piece.goes:
            return [piece]
        return [piece, *_unpacked(host, spec)]
    return _unpacked(host, spec)


def _unpacked(host: LocalHost, spec: RunSpec) -> list[Piece]:
    """The journal of an archived run that is not packed yet, with about what that frees."""
    folder = host.folder(spec.run_id)
    if not folder.journal.exists():
        return []
    data, _ = read_lines(folder.journal, 0, 1 << 20)
    whole = folder.journal.stat().st_size
    freed = whole - int(whole * len(zlib.compress(data)) / max(len(data), 1))
    why = "its run is archived: it can be packed"
    path = str(folder.journal)
    return [Piece("journal", spec.run_id, spec.run_id, max(freed, 0), True, why, path)]


def _needed(host: LocalHost, spec: RunSpec) -> str | None:
    """Why an archived run must be kept: what it did is nowhere else. None: it may go."""
    if not spec.worktree or spec.git_base is None:
        return None  # what it did was done in a folder of the user's
    run = RunView(host, spec.run_id)
    if run.there:
        return "its worktree is still there"
    kept = run.kept
    if kept is None:
        return None
    try:
        repository = Repository(run.repository)
        if repository.commit(kept) is None or repository.commit(spec.git_base) is None:
            return None  # pruned already: there is nothing left to be kept
        branch = (run.shelved.branch if run.shelved else None) or spec.branch
        trees = [_tree(repository, name) for name in (kept, spec.git_base, f"refs/heads/{branch}")]
        if trees[0] in trees[1:]:
            return None  # it changed nothing, or its branch has all of it
        merge = work_out(run.repository, spec.git_base, kept, None)
    except GitProblem as problem:
        return f"whether its work is applied cannot be told: {problem}"
    if not merge.conflicts and not merge.summary.files:
        return None
    line = last_own(host.folder(spec.run_id).journal, "applied")
    applied = as_str(as_dict(decode(line.raw)).get("commit")) if line is not None else None
    with contextlib.suppress(GitProblem):
        if applied and holds(repository, applied, spec.git_base, kept):
            return None
    return f"what it changed is not in {merge.onto}: apply it, or unarchive it"


def _tree(repository: Repository, name: str) -> str | None:
    return repository.line("rev-parse", "--verify", "-q", f"{name}^{{tree}}", fine=(0, 1, 128))


def _remove_run(host: LocalHost, piece: Piece) -> None:
    """Its refs, then its folder, under its locks."""
    folder = host.folder(piece.name)
    lock = take_lock(folder.lock, 0.5)
    if lock is None:
        raise UsageProblem(f"run {short_id(piece.name)} is busy")
    with lock, host.putting(piece.name, 0.5):
        spec = folder.read_spec()
        if _archived_at(host, spec) is None:
            raise UsageProblem(f"run {short_id(piece.name)} is not archived any more")
        with contextlib.suppress(GitProblem):  # a repository that is gone has no refs either
            drop_refs(Repository(RunView(host, piece.name).repository), piece.name)
        folder.live_marker.unlink(missing_ok=True)
        aside = folder.path.with_name(GONE + piece.name)
        os.rename(folder.path, aside)
    shutil.rmtree(aside)
    remove_room(piece.name)


def _pack(host: LocalHost, piece: Piece) -> None:
    folder = host.folder(piece.name)
    lock = take_lock(folder.lock, 0.5)
    if lock is None:
        raise UsageProblem(f"run {short_id(piece.name)} is busy")
    with lock:
        if _archived_at(host, folder.read_spec()) is None:
            raise UsageProblem(f"run {short_id(piece.name)} is not archived any more")
        piece.bytes = pack(folder.journal)


def _workflows(host: LocalHost, before: datetime) -> list[Piece]:
    """Runs of workflows that were done by then; a match's go with it."""
    found: list[Piece] = []
    for folder, at, keeps in removing.done_since(host.home):
        if at < before.timestamp() and not (host.home / "matches" / folder.id).exists():
            days = int((time.time() - at) // 86400)
            ago = f"done {days} day{'s' if days != 1 else ''} ago"
            why = keeps or f"{ago}; later runs take no results from it then"
            size, path = disk_bytes(folder.path), str(folder.path)
            found.append(Piece("workflow", folder.id, None, size, keeps is None, why, path))
    return found


def _contests(host: LocalHost, specs: Iterable[RunSpec], before: datetime) -> list[Piece]:
    """Matches that were over by then, and clones in which contestants worked."""
    told = {"match": "it is over, and used", "room": "what was made in it is in the repository"}
    known = [("match", None, one) for one in contests.matches(host.home)]
    known += [("room", run_id, one) for run_id, one in contests.rooms(host, specs)]
    return [
        Piece(kind, one.name, run_id, disk_bytes(one.path), one.keeps is None,
              one.keeps or told[kind], str(one.path))
        for kind, run_id, one in known if one.at < before.timestamp()
    ]  # fmt: skip


# ---------------------------------------------------------------- worktrees, blobs, what is left


def _worktrees(host: LocalHost, specs: Iterable[RunSpec], archived: set[str]) -> list[Piece]:
    """Worktrees that no run works in any more: they go where all in them is committed."""
    found: list[Piece] = []
    unknown = _unreadable(host, specs)
    half = {making.path for making in unfinished(host)}
    used = {Path(spec.cwd) for spec in specs if spec.run_id not in archived}
    folder = host.home / "worktrees"
    for path in found_below(folder):
        if path in used or str(path) in half:
            continue
        goes, why = False, ""
        try:
            stands = standing(path)
            goes = stands.dirty == 0 and stands.branch is not None
            why = f"no run works in it; branch {stands.branch} has all of it, but for ignored files"
            if stands.dirty:
                why = f"{stands.dirty} files in it are not committed"
            elif stands.branch is None:
                why = "its HEAD is on no branch"
        except GitProblem as problem:
            why = str(problem)
        if unknown:
            goes, why = False, f"{unknown[0]}, which may work in it"
        name = str(path.relative_to(folder))
        found.append(Piece("worktree", name, None, disk_bytes(path), goes, why, str(path)))
    return found


def _remove_worktree(host: LocalHost, piece: Piece) -> None:
    """While nobody launches, if still no run works in it. git itself refuses where it is not
    clean."""
    path = Path(piece.path)
    with host.holding("launch.lock", LAUNCH_S):
        specs = specs_of(host)
        if unknown := _unreadable(host, specs):
            raise UsageProblem(f"{unknown[0]}, which may work in it")
        for spec in specs:
            if Path(spec.cwd) == path and _archived_at(host, spec) is None:
                raise UsageProblem(f"run {short_id(spec.run_id)} works in it now")
        Repository(path).run("worktree", "remove", piece.path)
    _remove_empty(path.parent, host.home / "worktrees")


def _unreadable(host: LocalHost, specs: Iterable[RunSpec]) -> list[str]:
    """Runs of which nothing is known, in words: of a newer version, or damaged."""
    known = {spec.run_id for spec in specs}
    there = [run_id for run_id in host.list() if host.folder(run_id).spec.exists()]
    return [f"the spec of run {one} cannot be read" for one in there if one not in known]


def _unfinished(host: LocalHost) -> list[Piece]:
    """Worktrees whose launch was killed before there was a run."""
    why = "its launch was broken off before there was a run"
    return [
        Piece("unfinished", making.path.rpartition("/")[2], making.run_id,
              disk_bytes(making.path), True, why, making.path)
        for making in unfinished(host)
    ]  # fmt: skip


def _remove_unfinished(host: LocalHost, piece: Piece) -> None:
    """While nobody launches or unarchives: so nobody is still at it."""
    with host.holding("launch.lock", LAUNCH_S):
        for making in unfinished(host):
            if making.run_id == piece.run_id:
                take_away(host, making)
        if piece.kind == "leftover":
            remove_tree(Path(piece.path))


def _orphans(host: LocalHost, before_s: float) -> list[Piece]:
    """Refs of runs whose folder is gone."""
    project = project_of(host)
    try:
        found = orphans(host, Repository(project), before_s)
    except GitProblem:  # no repository, or one whose git cannot tell
        return []
    making = {one.run_id for one in unfinished(host)}
    return [
        Piece("refs", one.run_id, one.run_id, one.bytes, True,
              f"{one.refs} refs of a run whose folder is gone", str(project))
        for one in found if one.run_id not in making
    ]  # fmt: skip


def _remove_refs(host: LocalHost, piece: Piece) -> None:
    """While nobody launches, if there still is no such run."""
    with host.holding("launch.lock", LAUNCH_S):
        repository = Repository(Path(piece.path))
        if all(one.run_id != piece.run_id for one in orphans(host, repository, time.time())):
            raise UsageProblem("there is such a run now")
        drop_refs(repository, piece.name)


def _blobs(host: LocalHost, run_ids: Iterable[str]) -> list[Piece]:
    """Blobs that no run names, neither in its journal nor in its spec."""
    there: dict[str, os.DirEntry[str]] = {}
    with contextlib.suppress(FileNotFoundError), os.scandir(host.home / "blobs") as entries:
        there = {entry.name: entry for entry in entries}
    old = {name for name, entry in there.items() if time.time() - entry.stat().st_mtime > BLOB_S}
    for run_id in run_ids:
        if not old:
            break
        folder = host.folder(run_id)
        for data in _parts(folder.journal):
            old -= {found.decode() for found in _DIGEST.findall(data)}
        with contextlib.suppress(OSError):
            old -= {found.decode() for found in _DIGEST.findall(folder.spec.read_bytes())}
    return [
        Piece("blob", name, None, disk_bytes(there[name].path), True, "no run names it",
              there[name].path)
        for name in sorted(old)
    ]  # fmt: skip


def _parts(journal: Path) -> Iterable[bytes]:
    offset = 0
    while True:
        data, after = read_lines(journal, offset, _READ_BYTES)
        if not data:
            return
        yield data
        offset = after


def _leftovers(host: LocalHost) -> list[Piece]:
    """What an earlier prune did not finish, and indexes that were set aside."""
    trees = host.home / "worktrees"
    found = [*host.home.glob("*.damaged"), *(host.home / "runs").glob(f"{GONE}*")]
    found += (host.home / "workflow_runs").glob(f"{GONE}*")
    found += (host.home / "matches").glob(f"{GONE}*")
    found += [*trees.glob(f"{GONE}*"), *trees.glob(f"{MAKING}*")]
    return [
        Piece("leftover", path.name, None, disk_bytes(path), True, "of no use any more", str(path))
        for path in sorted(found)
    ]


def _remove_empty(folder: Path, upto: Path) -> None:
    while folder != upto and upto in folder.parents:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def rows(found: Iterable[Piece]) -> list[tuple[Any, ...]]:
    """As the frame has them: what goes first, the largest first."""
    ordered = sorted(found, key=lambda piece: (not piece.goes, -piece.bytes))
    return [msgspec.structs.astuple(piece) for piece in ordered]
