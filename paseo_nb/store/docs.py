"""Writes docs/frames.md from the declared columns: `python -m paseo_nb.store.docs [PATH]`."""

from __future__ import annotations

import sys
from pathlib import Path

from . import columns
from .columns import FRAMES, LOOKED_AT, TIME_OF, TIMELINE, TRACED, TRANSCRIPT, Column
from .contest_columns import CONTESTS

_ONE_ROW = {
    "runs": "One row per run.",
    "turns": "One row per turn: one prompt and all that follows until the agent stops.",
    "events": "One row per line of a run's journal.",
    "tool_traces": "One row per tool call, from request to result.",
    "permissions": "One row per question of an agent, with its answer.",
    "model_calls": "One row per request to a model that the agent or a recorder tells of.",
    "worktrees": "One row per worktree of the project, as it stands now: `paseo.worktrees()`.",
    "disk": "One row per kind of thing that a project keeps on the disk: `paseo.disk()`.",
    "prune": "One row per thing that `paseo.prune()` removes, or keeps although nobody uses it.",
    "steps": "One row per step of workflow runs, read from their journals: `paseo.steps()`.",
    "workflow_runs": "One row per workflow run, newest first: `paseo.workflow_runs()`.",
}

_TRACED = {
    "trace": "One row per span of a run and of the runs it started: `paseo.trace(run).frame`.",
    "cost": "One row per run, turn and model call: `paseo.cost(run)`.",
    "cache_shape": "One row per model request: `paseo.cache_shape(run).frame`.",
    "cache_misses": "Those of cache_shape that have a cause: `paseo.cache_misses(run)`.",
    "cache_turns": "The hit rate by turn: `paseo.cache_shape(run).turns()`.",
    "slowest_tools": "Which tools took the time: `paseo.trace(run).slowest_tools()`.",
    "error_rates": "Which tools fail: `paseo.trace(run).error_rates()`.",
    "time_spent": "Where the time went: `paseo.trace(run).time_spent()`.",
    "retries": "Model calls that were tried again: `paseo.trace(run).retries()`.",
    "repeated_steps": "The same call made again: `paseo.trace(run).repeated_steps()`.",
    "files_read": "The files read most: `paseo.trace(run).files_read()`.",
    "first_tokens": "How long each turn was silent: `paseo.trace(run).first_tokens()`.",
}

_HEAD = """# Frames

Made by `python -m paseo_nb.store.docs` from `paseo_nb/store/columns.py`; don't edit it here.

`paseo.runs()`, `turns()`, `events()`, `tool_traces()`, `permissions()` and `model_calls()` return
pandas DataFrames; in `paseo.sql("select …")` they are tables of the same names (DuckDB's SQL),
as are `steps` and `workflow_runs`.

Every frame takes `run=` (an id, an unambiguous prefix, or several), `since=` and `until=` (a
datetime, `"2026-11-21T10:00"`, a timedelta, or `"2h"` ago), `limit=` (the newest so many rows) and
`columns=` (which ones, in which order). Rows come oldest first.

Times are UTC. An empty value means "not reported"; 0 means zero. Tokens in include cached ones. In
pandas, `BIGINT` is `Int64`, `DOUBLE` is `float64`, `TIMESTAMPTZ` is `datetime64[us, UTC]`,
`VARCHAR` and `JSON` are text (`json.loads` reads the latter; in SQL, `raw->>'$.params'` does).
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for name, listed in FRAMES.items():
        told = f"{_ONE_ROW[name]} `since=` and `until=` look at `{TIME_OF[name]}`."
        parts.append(_section(name, told, listed))
    story = (
        "One row per message, thought, plan, tool call, permission and note of one run:"
        " `run.transcript()`. `run.tool_calls()` is `tool_traces` of that run."
    )
    parts.append(_section("transcript", story, TRANSCRIPT))
    course = (
        "One row per turn, and what happened in and between turns, of one run and of those that"
        " were forked off it: `run.timeline().frame`."
    )
    parts.append(_section("timeline", course, TIMELINE))
    parts += [_section(name, _ONE_ROW[name], listed) for name, listed in LOOKED_AT.items()]
    parts += [_section(name, _TRACED[name], listed) for name, listed in TRACED.items()]
    parts += [_section(name, told, listed) for name, (told, listed) in CONTESTS.items()]
    return "\n".join(parts)


def _section(name: str, told: str, listed: list[Column]) -> str:
    head = ["| column | type | unit | meaning |", "| --- | --- | --- | --- |"]
    rows = [f"| `{c.name}` | {c.type} | {c.unit} | {c.meaning} |" for c in listed]
    return "\n".join([f"## {name}", "", told, "", *head, *rows, ""])


def default_path() -> Path:
    """Where the page lies in a checkout."""
    return Path(columns.__file__).parents[2] / "docs" / "frames.md"


def main() -> None:
    """Write the page."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default_path()
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
