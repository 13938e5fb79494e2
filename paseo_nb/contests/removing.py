"""Contests that are over and may go: matches with what they keep in git, and their clones."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..engine import removing
from ..engine.journal import WorkflowFolder, folders
from ..engine.keys import digest
from ..engine.story import Story
from ..errors import GitProblem, PaseoError, UsageProblem
from ..git.commands import Repository
from ..git.rooms import remove_room, room_of
from ..git.shelving import GONE
from ..host.local import LocalHost
from ..model import BUSY_STATES, RunSpec, short_id
from ..runview import RunView
from ..unfinished import drop_refs
from .match import Match
from .records import MatchFolder, match_folders
from .tournaments import NAME, Tournament


class Over(NamedTuple):
    """Something of a contest's on the disk. at: when it was last written to, in seconds; keeps: why
    it must stay, if so."""

    name: str
    path: Path
    at: float
    keeps: str | None


def matches(home: Path) -> Iterator[Over]:
    """Each match."""
    for folder in match_folders(home):
        if folder.header() is not None:
            at = max(entry.stat().st_mtime for entry in folder.path.iterdir())
            yield Over(folder.id, folder.path, at, _match_keeps(Match(folder)))


def _match_keeps(match: Match) -> str | None:
    state, header = match.state, match.header
    if state != "done":
        told = {
            "voting": "nobody has voted",
            "interrupted": "it was cut off and can be gone on with",
        }
        return told.get(state, "it is at work")
    if header.workflow_run != match.id:
        story = Story(WorkflowFolder(match.folder.home / "workflow_runs" / header.workflow_run))
        if story.header and story.state != "done":
            return f"workflow run {short_id(header.workflow_run)}, which it is of, is not done"
        return None  # what was selected went on in the workflow
    if match.selection.seat is None or match.folder.marked("applied"):
        return None
    try:
        merge = match.apply(dry_run=True)
    except PaseoError:
        return None  # it has no files, or they are gone
    if merge.conflicts or merge.summary.files:
        return f"what was selected is not in {merge.onto}: match.apply(), or match.vote('none')"
    return None


def rooms(host: LocalHost, specs: Iterable[RunSpec]) -> Iterator[tuple[str, Over]]:
    """Each clone of a contestant of this project, with its run's id."""
    for spec in specs:
        room = room_of(spec.run_id)
        if spec.match_id is not None and room.is_dir():
            run = RunView(host, spec.run_id)
            with contextlib.suppress(OSError):
                at = os.stat(host.folder(spec.run_id).path).st_mtime
                yield (
                    spec.run_id,
                    Over(spec.run_id, room, at, _room_keeps(host, run, spec.match_id)),
                )


def _room_keeps(host: LocalHost, run: RunView, contest: str) -> str | None:
    if run.state in BUSY_STATES:
        return "its agent is at work"
    folder = MatchFolder(host.home / "matches" / contest)
    header = folder.header()
    if header is None:  # a tournament's
        story = Story(WorkflowFolder(host.home / "workflow_runs" / contest))
        done = not story.header or story.state == "done"
        return None if done else "its tournament is not done"
    if not folder.marked("judged"):
        return "its match is not over"
    ended_us = (folder.path / "ended.json").stat().st_mtime * 1e6
    if any(turn.started_us > ended_us for turn in run.history().turns):
        return "its agent worked on after the match, which is nowhere else"
    return None


def remove_match(host: LocalHost, match_id: str) -> None:
    """Its refs, the workflow that it was, then its files. UsageProblem where it goes on."""
    folder = MatchFolder(host.home / "matches" / match_id)
    keeps = _match_keeps(Match(folder))
    header = folder.header()
    if keeps is not None or header is None:
        raise UsageProblem(f"match {short_id(match_id)}: {keeps}")
    workflow = WorkflowFolder(host.home / "workflow_runs" / match_id)
    if workflow.path.is_dir():
        removing.remove(workflow, Path(header.repo))
    with contextlib.suppress(GitProblem):  # a repository that is gone has no refs either
        drop_refs(Repository(Path(header.repo)), f"matches/{match_id}")
    aside = folder.path.with_name(GONE + match_id)
    os.rename(folder.path, aside)
    shutil.rmtree(aside)


def remove_room_of(host: LocalHost, run_id: str) -> None:
    """A contestant's clone. UsageProblem where its agent is at work again."""
    if RunView(host, run_id).state in BUSY_STATES:
        raise UsageProblem(f"run {short_id(run_id)} is at work")
    remove_room(run_id)


def forget_tasks(home: Path, gone: WorkflowFolder) -> None:
    """Refs of a tournament's tasks that no other tournament has; before its files go."""
    header = gone.header()
    if header is None or header["name"] != NAME:
        return
    others = {
        task.id
        for folder in folders(home)
        if folder.id != gone.id and (folder.header() or {}).get("name") == NAME
        for task in _contest(folder)
    }
    for task in _contest(gone):
        if task.hidden is not None and task.repo and task.id not in others:
            with contextlib.suppress(GitProblem):
                ref = f"refs/paseo/tasks/{digest({'task': task.id})[:16]}"
                Repository(Path(task.repo)).run("update-ref", "-d", ref)


def _contest(folder: WorkflowFolder) -> Iterable[Any]:
    with contextlib.suppress(UsageProblem, msgspec.MsgspecError):
        return Tournament(folder).contest.tasks
    return []
