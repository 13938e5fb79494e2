"""What a project keeps on the disk, as it is found there now: its worktrees and how they stand, and
how much each kind of thing takes.

Looks only. Called by the verbs; the rows are those of `store.columns.LOOKED_AT`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from .contests.records import MatchFolder, match_folders
from .engine.journal import folders
from .errors import GitProblem, UsageProblem
from .git.rooms import room_of, rooms_folder
from .git.standing import disk_bytes, found_below, kept_by_refs, standing
from .host.local import LocalHost
from .model import RunSpec
from .packing import packed_path
from .runview import RunView

Row = tuple[Any, ...]


def specs_of(host: LocalHost) -> list[RunSpec]:
    """The specs of the project's runs, oldest first, as far as they can be read."""
    found: list[RunSpec] = []
    for run_id in host.list():
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found.append(host.folder(run_id).read_spec())
    return found


def worktree_rows(host: LocalHost, only: Collection[str] | None, *, archived: bool) -> list[Row]:
    """A row of `worktrees` for each that is there, the newest run's last; with `archived` also for
    those that went with their runs. only: of these runs."""
    specs = [spec for spec in specs_of(host) if spec.worktree]
    newest = {Path(spec.cwd): spec for spec in specs}
    folder = host.home / "worktrees"
    rows: list[tuple[str, Row]] = []
    for path in found_below(folder):
        users = [spec for spec in specs if Path(spec.cwd) == path]
        if only is None or any(spec.run_id in only for spec in users):
            name, spec = str(path.relative_to(folder)), newest.get(path)
            rows.append((spec.run_id if spec else "", _row(host, name, path, spec)))
    for path, spec in newest.items():
        if archived and not path.exists() and (only is None or spec.run_id in only):
            rows.append((spec.run_id, _gone(host, path, spec)))
    return [row for _, row in sorted(rows, key=lambda one: one[0])]


def _row(host: LocalHost, name: str, path: Path, spec: RunSpec | None) -> Row:
    problem: str | None = None
    facts: Row = (None,) * 6
    try:
        facts = msgspec.structs.astuple(standing(path))
    except GitProblem as error:
        problem = str(error)
    branch, head, *counts = facts
    run_id = spec.run_id if spec is not None else None
    return (
        name, run_id, _state(host, run_id), branch, spec.git_base if spec is not None else None,
        head, *counts, disk_bytes(path), str(path), spec.repo if spec is not None else None,
        problem,
    )  # fmt: skip


def _gone(host: LocalHost, path: Path, spec: RunSpec) -> Row:
    shelved = RunView(host, spec.run_id).shelved
    problem = None if shelved else "its folder is gone, and nothing was kept of it but its turns"
    branch = shelved.branch if shelved else None
    return (
        spec.worktree, spec.run_id, _state(host, spec.run_id), branch or spec.branch, spec.git_base,
        shelved.head if shelved else None,
        None, None, None, None, None, str(path), spec.repo, problem,
    )  # fmt: skip


def _state(host: LocalHost, run_id: str | None) -> str | None:
    try:
        return None if run_id is None else RunView(host, run_id).state
    except UsageProblem:
        return None


def disk_rows(host: LocalHost) -> list[Row]:
    """The rows of `disk`."""
    home = host.home
    runs = [host.folder(run_id) for run_id in host.list()]
    packed = [path for folder in runs if os.path.exists(path := packed_path(folder.journal))]
    plain = [folder.journal for folder in runs if folder.journal.exists()]
    journals, others = disk_bytes(*plain), disk_bytes(home / "runs")
    blobs = os.listdir(home / "blobs") if (home / "blobs").is_dir() else []
    trees = found_below(home / "worktrees")
    workflows = [one.path for one in folders(home)]
    matches = [one.path for one in match_folders(home)]
    specs = specs_of(host)
    rooms = [room_of(spec.run_id) for spec in specs if spec.match_id is not None]
    rooms = [room for room in rooms if room.is_dir()]
    index = [path for path in home.glob("paseo.duckdb*") if path.is_file()]
    found: list[tuple[str, int, int, Path]] = [
        ("worktrees", len(trees), disk_bytes(*trees), home / "worktrees"),
        ("journals", len(plain), journals, home / "runs"),
        ("packed journals", len(packed), disk_bytes(*packed), home / "runs"),
        ("run files", len(runs), others - journals - disk_bytes(*packed), home / "runs"),
        ("blobs", len(blobs), disk_bytes(home / "blobs"), home / "blobs"),
        ("workflow runs", len(workflows), disk_bytes(*workflows), home / "workflow_runs"),
        ("matches", len(matches), disk_bytes(*matches), home / "matches"),
        ("rooms", len(rooms), disk_bytes(*rooms), rooms_folder()),
        ("index", len(index), disk_bytes(*index), home / "paseo.duckdb"),
    ]
    repos = {Path(s.repo): 1 for s in specs if s.git_base and s.repo and s.match_id is None}
    for one in matches:  # contestants work in clones, what they made is here
        header = MatchFolder(one).header()
        repos |= {} if header is None else {Path(header.repo): 1}
    for repo in repos:
        with contextlib.suppress(GitProblem):  # one that is gone
            found.append(("refs", *kept_by_refs(repo), repo))
    return [(kind, count, size, str(path)) for kind, count, size, path in found]
