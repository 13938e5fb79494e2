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

from .drivers.acp_reading import as_dict, as_str
from .errors import GitProblem, PaseoError, StorageProblem, UsageProblem
from .git.applying import work_out
from .git.commands import Repository
from .git.standing import disk_bytes, found_below, standing
from .host.local import LocalHost, storage_problem
from .journal import last_own, read_lines, take_lock
from .keeping import specs_of
from .model import RunSpec, short_id
from .packing import pack
from .preparing import LAUNCH_S
from .runview import RunView

BLOB_S = 3600.0  # a younger one may be about to be named
_READ_BYTES = 4 << 20
_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_GONE = ".gone-"  # runs that are being removed: no run's name begins so


class Piece(msgspec.Struct):
    """One thing on the disk. kind: run, journal (to be packed), worktree, blob, leftover. goes:
    whether it may go, or has gone; why, or why not."""

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
    found += _worktrees(host, specs, set(archived))
    found += _blobs(host, [spec.run_id for spec in specs if spec.run_id not in going])
    return [*found, *_leftovers(host)]


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
            elif os.path.isdir(piece.path):
                shutil.rmtree(piece.path)
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
    if (run.path / ".git").exists():
        return "its worktree is still there"
    history = run.history()
    kept = as_str(as_dict(history.put_away.get("shelved")).get("files")) or history.git_head
    if kept is None:
        return None
    try:
        repository = Repository(run.repository)
        if repository.commit(kept) is None or repository.commit(spec.git_base) is None:
            return None  # pruned already: there is nothing left to be kept
        branch = as_str(as_dict(history.put_away.get("shelved")).get("branch")) or spec.branch
        trees = [_tree(repository, name) for name in (kept, spec.git_base, f"refs/heads/{branch}")]
        if trees[0] in trees[1:]:
            return None  # it changed nothing, or its branch has all of it
        merge = work_out(run.repository, spec.git_base, kept, None)
    except GitProblem as problem:
        return f"whether its work is applied cannot be told: {problem}"
    if not merge.conflicts and not merge.summary.files:
        return None
    applied = last_own(host.folder(spec.run_id).journal, "applied", "turn_start")
    if applied is not None and applied.kind == "applied":
        return None
    return f"what it changed is not in {merge.onto}: apply it, or unarchive it"


def _tree(repository: Repository, name: str) -> str | None:
    return repository.line("rev-parse", "--verify", "-q", f"{name}^{{tree}}", fine=(0, 1, 128))


def _remove_run(host: LocalHost, piece: Piece) -> None:
    """Its refs, then its folder, under its lock."""
    folder = host.folder(piece.name)
    lock = take_lock(folder.lock, 0.5)
    if lock is None:
        raise UsageProblem(f"run {short_id(piece.name)} is busy")
    with lock:
        spec = folder.read_spec()
        if _archived_at(host, spec) is None:
            raise UsageProblem(f"run {short_id(piece.name)} is not archived any more")
        with contextlib.suppress(GitProblem):  # a repository that is gone has no refs either
            _drop_refs(Repository(RunView(host, piece.name).repository), piece.name)
        folder.live_marker.unlink(missing_ok=True)
        aside = folder.path.with_name(_GONE + piece.name)
        os.rename(folder.path, aside)
    shutil.rmtree(aside)


def _drop_refs(repository: Repository, run_id: str) -> None:
    told = repository.run("for-each-ref", "--format=%(refname)", f"refs/paseo/{run_id}/")
    for name in told.decode().splitlines():
        repository.run("update-ref", "-d", name)


def _pack(host: LocalHost, piece: Piece) -> None:
    folder = host.folder(piece.name)
    lock = take_lock(folder.lock, 0.5)
    if lock is None:
        raise UsageProblem(f"run {short_id(piece.name)} is busy")
    with lock:
        if _archived_at(host, folder.read_spec()) is None:
            raise UsageProblem(f"run {short_id(piece.name)} is not archived any more")
        piece.bytes = pack(folder.journal)


# ---------------------------------------------------------------- worktrees, blobs, what is left


def _worktrees(host: LocalHost, specs: Iterable[RunSpec], archived: set[str]) -> list[Piece]:
    """Worktrees that no run works in any more: they go where all in them is committed."""
    found: list[Piece] = []
    used = {Path(spec.cwd) for spec in specs if spec.run_id not in archived}
    folder = host.home / "worktrees"
    for path in found_below(folder):
        if path in used:
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
        name = str(path.relative_to(folder))
        found.append(Piece("worktree", name, None, disk_bytes(path), goes, why, str(path)))
    return found


def _remove_worktree(host: LocalHost, piece: Piece) -> None:
    """While nobody launches, if still no run works in it. git itself refuses where it is not
    clean."""
    path = Path(piece.path)
    with host.holding("launch.lock", LAUNCH_S):
        for spec in specs_of(host):
            if Path(spec.cwd) == path and _archived_at(host, spec) is None:
                raise UsageProblem(f"run {short_id(spec.run_id)} works in it now")
        Repository(path).run("worktree", "remove", piece.path)
    _remove_empty(path.parent, host.home / "worktrees")


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
    found = [*host.home.glob("*.damaged"), *(host.home / "runs").glob(f"{_GONE}*")]
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
