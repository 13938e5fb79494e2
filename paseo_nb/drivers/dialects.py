"""Which dialect speaks with an agent, by the name in its run's spec. The acting halves; `reading`
has the reading ones. One is imported only when an agent speaks it: a supervisor is small."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

from ..model import Problem
from .seat import AgentProblem, Dialect, Seat

_ACTING = {
    "acp": ("acp", "AcpDialect"),
    "claude": ("claude_dialect", "ClaudeDialect"),
    "codex": ("codex_dialect", "CodexDialect"),
}


def dialect_for(seat: Seat) -> Dialect:
    """The dialect of the seat's run. AgentProblem for one that this version does not know."""
    dialect = seat.spec.dialect
    if dialect not in _ACTING:
        said = f"this version of paseo_nb speaks no dialect {dialect!r}"
        raise AgentProblem(Problem("dialect", said, "A newer version started this run: update."))
    module, name = _ACTING[dialect]
    made: Callable[[Seat], Any] = getattr(importlib.import_module(f".{module}", __package__), name)
    return cast(Dialect, made(seat))
