"""The store: a DuckDB index built from the journals, and the DataFrames and SQL over both.

It reads runs and never starts or changes one; `paseo.duckdb` can be deleted at any time and is
rebuilt. Front ends ask `frames`, or `query.query` for Arrow; whoever sees a turn end calls
`advance_soon`. Parts are imported when first asked for: pandas and DuckDB take half a second.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .background import advance_soon as advance_soon
    from .frames import events as events
    from .frames import model_calls as model_calls
    from .frames import permissions as permissions
    from .frames import runs as runs
    from .frames import sql as sql
    from .frames import tool_calls as tool_calls
    from .frames import tool_traces as tool_traces
    from .frames import transcript as transcript
    from .frames import turns as turns
    from .index import advance as advance
    from .index import forget_runs as forget_runs

_FRAMES = (
    "runs",
    "turns",
    "events",
    "tool_traces",
    "permissions",
    "model_calls",
    "sql",
    "transcript",
    "tool_calls",
)
_WHERE = {
    **dict.fromkeys(_FRAMES, "frames"),
    "advance": "index",
    "forget_runs": "index",
    "advance_soon": "background",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
