"""The `steps` frame: one row per step of workflow runs, read from their journals."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..model import Usage
from ..store.columns import STEPS, USAGE
from .journal import WorkflowFolder, find_folder, folders
from .story import StepRecord, Story, stories

if TYPE_CHECKING:
    import pandas as pd

NAMES = [column.name for column in STEPS]
COUNTED = [column.name for column in USAGE]


def steps(home: Path, workflow_run: str | None = None, name: str | None = None) -> pd.DataFrame:
    """Steps of a project's workflow runs, oldest first. UsageProblem for a beginning of an id that
    fits none or several."""
    known = folders(home) if workflow_run is None else [find_folder(home, workflow_run)]
    if name is not None:
        known = [one for one in known if _named(one, name)]
    return steps_frame(stories(known))


def _named(folder: WorkflowFolder, name: str) -> bool:
    return (folder.header() or {}).get("name") == name


def workflow_runs(home: Path, name: str | None = None) -> pd.DataFrame:
    """Workflow runs of a project, the newest first."""
    from ..store.frames import listed

    known = [one for one in folders(home) if name is None or _named(one, name)]
    return listed("workflow_runs", [_run_row(one) for one in reversed(stories(known))])


def _run_row(story: Story) -> tuple[Any, ...]:
    states = Counter(step.state for step in story.steps.values())
    ended: dict[str, Any] = story.ended or {}
    state = story.state
    return (
        story.folder.id,
        story.header["name"],
        state,
        story.header["t"],
        ended.get("t"),
        len(story.steps),
        states["running"] if state == "running" else 0,
        states["cached"],
        states["failed"],
        story.tokens,
        story.cost_usd,
        story.engine.get("budget"),
        json.dumps(story.header["args"], ensure_ascii=False),
        ended.get("message"),
    )


def as_frames(told: Sequence[Story]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Some workflow runs, as read already: their rows of `workflow_runs`, and of `steps`."""
    from ..store.frames import listed

    return listed("workflow_runs", [_run_row(one) for one in told]), steps_frame(told)


def mentioned(home: Path, sql: str) -> dict[str, Sequence[Any]]:
    """The rows of what is told here, as far as a query names it: `steps`, `workflow_runs`."""
    words = set(re.findall(r"\w+", sql.lower()))
    told: dict[str, Sequence[Any]] = {}
    if "steps" in words:
        told["steps"] = _step_rows(stories(folders(home)))
    if "workflow_runs" in words:
        told["workflow_runs"] = [_run_row(one) for one in stories(folders(home))]
    return told


def steps_frame(told: Iterable[Story]) -> pd.DataFrame:
    """The frame of some workflow runs."""
    from ..store.frames import listed

    return listed("steps", _step_rows(told))


def _step_rows(told: Iterable[Story]) -> list[tuple[Any, ...]]:
    rows = [_row(story, step) for story in told for step in story.steps.values()]
    return [tuple(row[name] for name in NAMES) for row in rows]


def _row(story: Story, step: StepRecord) -> dict[str, Any]:
    used = Usage()
    for one in step.usage:
        told = {name: one.get(name) for name in (*COUNTED, "cost_usd")}
        used = used.plus(Usage(**told))
    cached = step.state == "cached"
    state = step.state
    if state == "running" and story.state != "running":
        state = "interrupted"
    ended = step.ended_us
    return {
        "workflow_run_id": story.folder.id,
        "workflow": story.header["name"],
        "step": step.step,
        "label": step.label,
        "phase": step.phase,
        "part": step.part,
        "agent": step.agent or step.given.get("agent", {}).get("agent"),
        "state": state,
        "attempt": step.attempt,
        "run_id": step.run_id,
        "origin": step.origin,
        "started_at": step.issued_us,
        "ended_at": ended,
        "duration_ms": None if ended is None else (ended - step.issued_us) / 1000,
        **{name: 0 if cached else getattr(used, name) for name in COUNTED},
        "cost_usd": 0.0 if cached else used.cost_usd,
        "cause": step.cause,
        "message": step.message,
        "commit": step.end and step.end.commit,
        "branch": step.end and step.end.branch,
        "key": step.key,
    }
