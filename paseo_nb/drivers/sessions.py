"""The sessions that agents keep by themselves, of whatever was done in a terminal before: to list
them, and to bring them over as runs (`importing` writes those).

A provider that keeps readable files has `drivers/<provider>_sessions.py` and a row here; others are
asked over ACP (`acp_sessions`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from ..errors import UsageProblem
from ..model import Outcome, Problem


class Session(msgspec.Struct, kw_only=True):
    """One session of an agent. Times: µs since the epoch; turns: prompts of its user. None: the
    agent does not tell; `path` is None where it keeps no files that we read."""

    provider: str
    session_id: str
    cwd: str
    title: str | None
    started_us: int | None
    finished_us: int | None
    turns: int | None
    path: Path | None
    model: str | None = None


class Told(msgspec.Struct):
    """One line of a session for a run's journal: `prompt` begins a turn, or, with `steers`, is
    said into the one that runs; `kind` and `raw` are a line that the provider's reading
    understands, with `head` also before the first turn; `outcome` is how the turn ended, if not
    well, and `problem` why; `facts` and `model` are what is known of the turn beside its lines:
    kinds of lines of ours with what they say."""

    t_us: int
    prompt: str | None = None
    kind: str = ""
    raw: bytes = b""
    outcome: Outcome | None = None
    problem: Problem | None = None
    steers: bool = False
    head: bool = False
    facts: Sequence[tuple[str, dict[str, Any]]] = ()
    model: str | None = None


class CannotList(UsageProblem):
    """The agent has no list of its sessions; one whose id is known may be taken over."""


class Sessions(Protocol):
    """What a provider offers. environment: the agent's."""

    def found(self, environment: Mapping[str, str]) -> Iterator[Session]:
        """Every session there is, in any order; files that are none are passed over."""
        ...

    def told(self, session: Session, environment: Mapping[str, str]) -> Iterable[Told]:
        """What was said and done in a session, in order of time."""
        ...

    def unlisted(self, session_id: str) -> Session | None:
        """One that is in no list, by its whole id; None where the list is all that there is."""
        ...


_SESSIONS = {
    "claude": ("claude_sessions", "ClaudeSessions"),
    "codex": ("codex_sessions", "CodexSessions"),
}


def kept_in_files(provider: str) -> Sessions | None:
    """How the files of a provider's sessions are read; None where they are not."""
    if provider not in _SESSIONS:
        return None
    module, name = _SESSIONS[provider]
    made: Any = getattr(importlib.import_module(f".{module}", __package__), name)
    return cast(Sessions, made())
