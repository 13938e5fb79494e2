"""Undo of a run's turns: its files put back, what was there kept, and the agent told of it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import anyio.to_thread

from .errors import GitProblem, UsageProblem
from .git.diffs import diff
from .git.snapshots import snapshot
from .git.undoing import Change, Undone, begun_undo, put_back
from .git.values import DiffSummary
from .model import BUSY_STATES, FilesAt, short_id
from .rundiff import RunDiff

if TYPE_CHECKING:
    from .handle import AsyncRun


async def undo(run: AsyncRun, turn: int | None, force: bool) -> RunDiff:
    """See `AsyncRun.undo`."""
    name = f"run {short_id(run.id)}"
    if run.state in BUSY_STATES:
        raise UsageProblem(f"{name} is at work: wait for it, or cancel it first")
    turns = run.history().turns
    if not turns:
        raise UsageProblem(f"{name} has had no turn that could be undone")
    if run.spec.git_base is None:
        raise GitProblem(f"{name} works outside a git repository: its files were not kept")
    first = len(turns) if turn is None else turn
    run.files_of(first)  # where they were not kept it says so
    undone, now, summary = await anyio.to_thread.run_sync(_put_back, run, first, force)
    if undone.files:
        shown = [path.encode("utf-8", "replace").decode() for path in undone.files]
        facts = {"turn": first, "files": shown, "kept": undone.kept, "commit": now}
        await run.note("undone", facts)
    return RunDiff(summary)


def _put_back(run: AsyncRun, first: int, force: bool) -> tuple[Undone, str, DiffSummary]:
    refs = f"refs/paseo/{run.id}"
    states = run.history().files
    number, begun = begun_undo(run.path, refs)
    begin = next(n for n, state in enumerate(states) if (state.turn, state.at) == (first, "start"))
    changes = [
        Change(one.commit, two.commit, ours=two.at in ("end", "undo") or cut_off(one, two))
        for one, two in itertools.pairwise(states[begin:])
    ]
    if not changes:  # the last turn was cut off: all since is taken for its doing
        changes = [Change(states[begin].commit, snapshot(run.path), ours=True)]
    undone = put_back(run.path, changes, ref=f"{refs}/undo-{number}-kept", force=force)
    if not undone.files and begun is None:
        return undone, undone.kept, diff(run.path, undone.kept, undone.kept)
    now = snapshot(run.path, ref=f"{refs}/undo-{number}")
    if begun is not None:  # what was put back before it was killed is a part of it
        summary = diff(run.path, begun, now)
        return (
            Undone(sorted({*undone.files, *(file.path for file in summary.files)}), begun),
            now,
            summary,
        )
    return undone, now, diff(run.path, undone.kept, now)


def cut_off(one: FilesAt, two: FilesAt) -> bool:
    """Whether the time between two states was a turn's that has no end."""
    return one.at == "start" and two.at == "start"
