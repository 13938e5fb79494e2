"""From a journal line to facts in one vocabulary: the reading half of the dialects.

A dialect's `facts` turns one line into facts `(kind, data)`: ACP's `session/update` kinds with
ACP's field names, plus what ACP lacks. Derived when read, so a mended dialect mends old runs; the
index stores `version` and is rebuilt when it changes.

Facts beyond ACP's updates: `agent_info {name, title, version}`, `session {session_id, modes,
models, config_options}`, `prompt_result {stop_reason, usage}`, `prompt_error {problem}`,
`permission_request {request_id, tool_call, options}`, `request {method, params}`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..model import Event, Line
from . import acp_reading

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


_READINGS: dict[str, Callable[[str], Reading]] = {"acp": acp_reading.AcpReading}


def reading_for(dialect: str, provider: str = "") -> Reading:
    """The reading of a dialect; an unknown one (a newer version wrote the run) reads as ACP."""
    return _READINGS.get(dialect, acp_reading.AcpReading)(provider)
