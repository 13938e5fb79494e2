"""`%paseo help`: the verbs by what they are for, and how to launch."""

from __future__ import annotations

from .verbs import VERBS

GROUPS = {
    "Launch": "run start",
    "Traces": "trace cost cache_shape cache_misses export_traces bundle open_bundle",
    "Background": "spawn_subagent subagent_status subagent_result on_finish",
    "One run": "attach send logs wait cancel stop resume archive unarchive inspect allow deny",
    "Its course": "timeline diff undo fork apply",
    "All runs": "ls dashboard runs turns events tool_traces permissions model_calls sql",
    "Patterns": "handoff loop advisor committee epic skills",
    "Workflows": "workflows workflow_runs stop_workflow steps approve",
    "Contests": "arena match matches tournament leaderboard compare",
    "On the disk": "worktrees disk prune",
    "Other devices": "pair unpair",
    "Agents": "providers doctor install trust sessions import_session import_sessions",
}
_INTRO = """\
%%paseo AGENT [options]     launches an agent on the cell's text and shows it live
%paseo VERB …               does one of the verbs below; VAR = %paseo VERB … keeps what it gives
%paseo help VERB            says what a verb takes; %%paseo -h what a launch takes

An agent is provider/model (demo/fixer, claude/opus), or a profile (@planner). A run is its id, or
any beginning of one that fits a single run. Tab completes verbs, options, agents and run ids.

    %%paseo demo/fixer --worktree fix-math -o fix       in a git worktree of its own; binds `fix`
    %%paseo demo/echo --fill --attach df,fig,tb         {df.shape} in the text is filled in, and
                                                        a table, a figure, the last error go along
    %%paseo demo/slow --bg                              the cell returns at once"""


def overview() -> str:
    """What `%paseo help` prints."""
    named = [name for names in GROUPS.values() for name in names.split()]
    others = [name for name in VERBS if name not in named]
    groups = {**{title: names.split() for title, names in GROUPS.items()}, "More": others}
    parts = [_INTRO]
    for title, names in groups.items():
        rows = [f"  {name:<16} {VERBS[name].summary}" for name in names if name in VERBS]
        if title == "Workflows":
            rows.append(
                f"  {'workflow':<16} ls, runs, show, run, resume, stop: `%paseo workflow -h`"
            )
        if rows:
            parts.append("\n".join([f"{title}:", *rows]))
    return "\n\n".join(parts)
