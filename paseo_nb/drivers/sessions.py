"""The sessions that agents keep by themselves, of whatever was done in a terminal before: to list
them, and to bring them over as runs (`importing` writes those).

A provider that keeps readable files has `drivers/<provider>_sessions.py` and a row here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..errors import UsageProblem
from ..model import Outcome, Problem


class Session(msgspec.Struct, kw_only=True):
    """One session of an agent. Times: µs since the epoch; turns: prompts of its user."""

    provider: str
    session_id: str
    cwd: str
    title: str | None
    started_us: int
    finished_us: int
    turns: int
    path: Path
    model: str | None = None


class Told(msgspec.Struct):
    """One line of a session for a run's journal: `prompt` begins a turn, or, with `steers`, is
    said into the one that runs; `kind` and `raw` are a line that the provider's reading
    understands; `outcome` is how the turn ended, if not well,
    and `problem` why."""

    t_us: int
    prompt: str | None = None
    kind: str = ""
    raw: bytes = b""
    outcome: Outcome | None = None
    problem: Problem | None = None
    steers: bool = False


class Sessions(Protocol):
    """What a provider offers."""

    def found(self, environment: Mapping[str, str]) -> Iterator[Session]:
        """Every session there is, in any order; files that are none are passed over."""
        ...

    def told(self, session: Session) -> Iterator[Told]:
        """What a session's files say, in order of time."""
        ...


_SESSIONS = {
    "claude": ("claude_sessions", "ClaudeSessions"),
    "codex": ("codex_sessions", "CodexSessions"),
}


def sessions_of(provider: str) -> Sessions:
    """How a provider's sessions are read; UsageProblem where they cannot be."""
    if provider not in _SESSIONS:
        raise UsageProblem(
            f"the sessions of {provider} cannot be listed; those of {', '.join(_SESSIONS)} can"
        )
    module, name = _SESSIONS[provider]
    made: Any = getattr(importlib.import_module(f".{module}", __package__), name)
    return made()
