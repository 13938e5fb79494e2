"""paseo_nb: a notebook is the cockpit of coding agents.

`import paseo_nb as paseo` gives every verb (synchronous; `paseo_nb.aio` has the same names to
await), `%load_ext paseo_nb` the magics. Everything is loaded on first use, so that importing this
package costs nothing and the supervisor, which lives in it too, stays small.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pathlib import Path

    from ._sync import (
        Run,
        RunList,
        advisor,
        allow,
        apply,
        approve,
        archive,
        arena,
        attach,
        bundle,
        cache_misses,
        cache_shape,
        cancel,
        committee,
        compare,
        cost,
        dashboard,
        deny,
        diff,
        disk,
        doctor,
        epic,
        events,
        export_traces,
        fork,
        handoff,
        import_session,
        import_sessions,
        inspect,
        install,
        leaderboard,
        logs,
        loop,
        ls,
        match,
        matches,
        model_calls,
        on_finish,
        open_bundle,
        pair,
        permissions,
        providers,
        prune,
        resume,
        run,
        runs,
        send,
        sessions,
        skills,
        spawn_subagent,
        sql,
        start,
        steps,
        stop,
        stop_workflow,
        subagent_result,
        subagent_status,
        timeline,
        tool_traces,
        tournament,
        trace,
        trust,
        turns,
        unarchive,
        undo,
        unpair,
        wait,
        workflow_runs,
        workflows,
        worktrees,
    )
    from .connecting import connect
    from .drivers.registry import register_provider
    from .engine import catalog
    from .engine.flows import Flow
    from .engine.handles import workflow_run
    from .engine.values import StepFailed
    from .engine.words import (
        agent,
        args,
        budget,
        log,
        now,
        parallel,
        phase,
        pipeline,
        random,
        run_workflow,
        uuid,
    )
    from .engine.workflows import workflow, workflow_of
    from .errors import (
        GitProblem,
        InstallProblem,
        NotTrusted,
        PaseoError,
        PermissionNeeded,
        ReplayMiss,
        RunCancelled,
        RunError,
        RunFailed,
        RunInterrupted,
        RunTimeout,
        StorageProblem,
        TreeChanged,
        Unreachable,
        UsageProblem,
        WorkflowBusy,
        WorkflowError,
        WorkflowFatal,
    )
    from .figures import plot_cost, plot_time, plot_tokens
    from .model import Allow, Deny, Permission
    from .nesting import allow_nested_loop
    from .widgets.progress import progress

    db_path: Path

# Public name -> the module that has it.
_WHERE = {
    **dict.fromkeys(
        (
            "Run", "RunList", "advisor", "allow", "apply", "approve", "archive", "arena", "attach",
            "bundle", "cache_misses", "cache_shape", "cancel", "committee", "compare", "cost",
            "dashboard", "deny", "diff", "disk", "doctor", "epic", "events", "export_traces",
            "fork", "handoff", "import_session", "import_sessions", "inspect", "install",
            "leaderboard", "logs", "loop", "ls", "match", "matches", "model_calls", "on_finish",
            "open_bundle", "pair", "permissions", "providers", "prune", "resume", "run", "runs",
            "send",
            "sessions", "skills", "spawn_subagent", "sql", "start", "steps", "stop",
            "stop_workflow", "subagent_result", "subagent_status", "timeline", "tool_traces",
            "tournament", "trace", "trust", "turns", "unarchive", "undo", "unpair", "wait",
            "workflow_runs",
            "workflows", "worktrees",
        ),
        "._sync",
    ),
    **dict.fromkeys(
        (
            "GitProblem", "InstallProblem", "NotTrusted", "PaseoError", "PermissionNeeded",
            "ReplayMiss", "RunCancelled", "RunError", "RunFailed", "RunInterrupted", "RunTimeout",
            "StorageProblem", "TreeChanged", "Unreachable", "UsageProblem", "WorkflowBusy",
            "WorkflowError", "WorkflowFatal",
        ),
        ".errors",
    ),
    **dict.fromkeys(
        (
            "agent", "args", "budget", "log", "now", "parallel", "phase", "pipeline", "random",
            "run_workflow", "uuid",
        ),
        ".engine.words",
    ),
    "Flow": ".engine.flows",
    "StepFailed": ".engine.values",
    "workflow_run": ".engine.handles",
    "workflow": ".engine.workflows",
    "workflow_of": ".engine.workflows",
    **dict.fromkeys(("Allow", "Deny", "Permission"), ".model"),
    **dict.fromkeys(("plot_cost", "plot_time", "plot_tokens"), ".figures"),
    "progress": ".widgets.progress",
    "connect": ".connecting",
    "register_provider": ".drivers.registry",
    "allow_nested_loop": ".nesting",
}  # fmt: skip

__all__ = [
    "Allow",
    "Deny",
    "Flow",
    "GitProblem",
    "InstallProblem",
    "NotTrusted",
    "PaseoError",
    "Permission",
    "PermissionNeeded",
    "ReplayMiss",
    "Run",
    "RunCancelled",
    "RunError",
    "RunFailed",
    "RunInterrupted",
    "RunList",
    "RunTimeout",
    "StepFailed",
    "StorageProblem",
    "TreeChanged",
    "Unreachable",
    "UsageProblem",
    "WorkflowBusy",
    "WorkflowError",
    "WorkflowFatal",
    "advisor",
    "agent",
    "allow",
    "allow_nested_loop",
    "apply",
    "approve",
    "archive",
    "arena",
    "args",
    "attach",
    "budget",
    "bundle",
    "cache_misses",
    "cache_shape",
    "cancel",
    "catalog",
    "committee",
    "compare",
    "connect",
    "cost",
    "dashboard",
    "db_path",
    "deny",
    "diff",
    "disk",
    "doctor",
    "epic",
    "events",
    "export_traces",
    "fork",
    "handoff",
    "import_session",
    "import_sessions",
    "inspect",
    "install",
    "leaderboard",
    "log",
    "logs",
    "loop",
    "ls",
    "match",
    "matches",
    "model_calls",
    "now",
    "on_finish",
    "open_bundle",
    "pair",
    "parallel",
    "permissions",
    "phase",
    "pipeline",
    "plot_cost",
    "plot_time",
    "plot_tokens",
    "progress",
    "providers",
    "prune",
    "random",
    "register_provider",
    "resume",
    "run",
    "run_workflow",
    "runs",
    "send",
    "sessions",
    "skills",
    "spawn_subagent",
    "sql",
    "start",
    "steps",
    "stop",
    "stop_workflow",
    "subagent_result",
    "subagent_status",
    "timeline",
    "tool_traces",
    "tournament",
    "trace",
    "trust",
    "turns",
    "unarchive",
    "undo",
    "unpair",
    "uuid",
    "wait",
    "workflow",
    "workflow_of",
    "workflow_run",
    "workflow_runs",
    "workflows",
    "worktrees",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name], __name__), name)
    elif name == "db_path":
        return importlib.import_module(".config", __name__).home() / "paseo.duckdb"
    elif name in ("aio", "catalog"):
        where = "." if name == "aio" else ".engine."
        value = importlib.import_module(where + name, __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "aio", "__version__"])


def load_ipython_extension(ipython: Any) -> None:
    """`%load_ext paseo_nb`."""
    importlib.import_module(".magics", __name__).load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """`%unload_ext paseo_nb`."""
    importlib.import_module(".magics", __name__).unload(ipython)
