"""Undo of a run's turns: its files put back, what was there kept, and the agent told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from .errors import GitProblem, UsageProblem
from .git.diffs import diff
from .git.snapshots import snapshot
from .git.undoing import Undone, put_back
from .git.values import DiffSummary
from .model import BUSY_STATES, short_id
from .runview import RunDiff

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
    before = run.files_of(first)[0]
    undone, now, summary = await anyio.to_thread.run_sync(_put_back, run, before, force)
    if undone.files:
        shown = [path.encode("utf-8", "replace").decode() for path in undone.files]
        facts = {"turn": first, "files": shown, "kept": undone.kept, "commit": now}
        await run.note("undone", facts)
    return RunDiff(summary)


def _put_back(run: AsyncRun, before: str, force: bool) -> tuple[Undone, str, DiffSummary]:
    refs = f"refs/paseo/{run.id}"
    number = run.history().undone + 1
    after = run.history().git_head or before
    undone = put_back(run.path, before, after, ref=f"{refs}/undo-{number}-kept", force=force)
    now = snapshot(run.path, ref=f"{refs}/undo-{number}")
    return undone, now, diff(run.path, undone.kept, now)
