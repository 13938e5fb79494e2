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
        archive,
        attach,
        cancel,
        committee,
        dashboard,
        deny,
        diff,
        disk,
        doctor,
        epic,
        events,
        fork,
        handoff,
        import_session,
        import_sessions,
        inspect,
        install,
        logs,
        loop,
        ls,
        model_calls,
        on_finish,
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
        stop,
        subagent_result,
        subagent_status,
        timeline,
        tool_traces,
        trust,
        turns,
        unarchive,
        undo,
        wait,
        worktrees,
    )
    from .drivers.registry import register_provider
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
        Unreachable,
        UsageProblem,
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
            "Run", "RunList", "advisor", "allow", "apply", "archive", "attach", "cancel",
            "committee", "dashboard", "deny", "diff", "disk", "doctor", "epic", "events", "fork",
            "handoff", "import_session", "import_sessions", "inspect", "install", "logs", "loop",
            "ls", "model_calls", "on_finish", "permissions", "providers", "prune", "resume",
            "run", "runs", "send", "sessions", "skills", "spawn_subagent", "sql", "start", "stop",
            "subagent_result", "subagent_status", "timeline", "tool_traces", "trust", "turns",
            "unarchive", "undo", "wait", "worktrees",
        ),
        "._sync",
    ),
    **dict.fromkeys(
        (
            "GitProblem", "InstallProblem", "NotTrusted", "PaseoError", "PermissionNeeded",
            "ReplayMiss", "RunCancelled", "RunError", "RunFailed", "RunInterrupted", "RunTimeout",
            "StorageProblem", "Unreachable", "UsageProblem",
        ),
        ".errors",
    ),
    **dict.fromkeys(("Allow", "Deny", "Permission"), ".model"),
    **dict.fromkeys(("plot_cost", "plot_time", "plot_tokens"), ".figures"),
    "progress": ".widgets.progress",
    "register_provider": ".drivers.registry",
    "allow_nested_loop": ".nesting",
}  # fmt: skip

__all__ = [
    "Allow",
    "Deny",
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
    "StorageProblem",
    "Unreachable",
    "UsageProblem",
    "advisor",
    "allow",
    "allow_nested_loop",
    "apply",
    "archive",
    "attach",
    "cancel",
    "committee",
    "dashboard",
    "db_path",
    "deny",
    "diff",
    "disk",
    "doctor",
    "epic",
    "events",
    "fork",
    "handoff",
    "import_session",
    "import_sessions",
    "inspect",
    "install",
    "logs",
    "loop",
    "ls",
    "model_calls",
    "on_finish",
    "permissions",
    "plot_cost",
    "plot_time",
    "plot_tokens",
    "progress",
    "providers",
    "prune",
    "register_provider",
    "resume",
    "run",
    "runs",
    "send",
    "sessions",
    "skills",
    "spawn_subagent",
    "sql",
    "start",
    "stop",
    "subagent_result",
    "subagent_status",
    "timeline",
    "tool_traces",
    "trust",
    "turns",
    "unarchive",
    "undo",
    "wait",
    "worktrees",
]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        value = getattr(importlib.import_module(_WHERE[name], __name__), name)
    elif name == "db_path":
        return importlib.import_module(".config", __name__).home() / "paseo.duckdb"
    elif name == "aio":
        value = importlib.import_module(".aio", __name__)
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
