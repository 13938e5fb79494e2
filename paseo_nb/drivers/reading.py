"""From a journal line to facts in one vocabulary: the reading half of the dialects.

A dialect's `facts` turns one line into facts `(kind, data)`: ACP's `session/update` kinds with
ACP's field names, plus what ACP lacks. Derived when read, so a mended dialect mends old runs; the
index stores `version` and is rebuilt when it changes.

Facts beyond ACP's updates: `agent_info {name, title, version}`, `session {session_id, modes,
models, config_options}`, `prompt_result {stop_reason, usage, value?}`, `prompt_error {problem}`,
`permission_request {request_id, tool_call, options}`, `request {method, params}`, `model_call
{message_id, model, usage, stop_reason, problem}` (what is told of one call so far: a later fact of
the same id takes its place), `retry {attempt, max_attempts, delay_s, status, message}`,
`compaction {message}`, `notice {message}` (what the agent says of itself, and no model said),
`warning {message}`.

The journal's `kind` of a line is chosen by the acting half when it is written: ACP's word where the
line is such a thing in any dialect (`agent_message_chunk`, `agent_thought_chunk`, `tool_call`,
`tool_call_update`, `plan`, `usage_update`, `session/request_permission`; for an `out` line that
carries a prompt `session/prompt`, for what ends it `session/prompt:result` or `:error`), else the
dialect's own.
"""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from ..model import Event, Line

Fact = tuple[str, dict[str, Any]]


class Reading(Protocol):
    """What every dialect offers to readers."""

    version: int

    def facts(self, line: Line) -> list[Fact]:
        """The facts of one `in` or `out` line, in order; [] where it says nothing of interest."""
        ...

    def event(self, line: Line) -> Event:
        """The line as one row of `events`: its plain text and tool call id picked out."""
        ...

    def chunk_text(self, line: Line) -> str | None:
        """The text of a plain text chunk, by the shortest way: what most lines are. None where it
        is anything else, which `facts` and `event` read."""
        ...

    def memory(self) -> Any:
        """What this reading remembers from turn to turn, as JSON values."""
        ...

    def recall(self, memory: Any) -> None:
        """Go on from such a memory."""
        ...


_READING = {
    "acp": ("acp_reading", "AcpReading"),
    "claude": ("claude_reading", "ClaudeReading"),
    "codex": ("codex_reading", "CodexReading"),
}


def reading_for(dialect: str, provider: str = "") -> Reading:
    """The reading of a dialect; an unknown one (a newer version wrote the run) reads as ACP."""
    module, name = _READING.get(dialect, _READING["acp"])
    return getattr(importlib.import_module(f".{module}", __package__), name)(provider)
