"""What some agents tell on their standard error and nowhere else: failing model calls, MCP servers
that cannot be used. `differing` says how; here it becomes lines of ours.
"""

from __future__ import annotations

from ..drivers.differing import Differences
from ..drivers.failing import model_problem
from .recorder import Recorder

LONGEST = 4096  # bytes of a line


class Aside:
    """Reads one agent's standard error, secrets masked."""

    def __init__(self, recorder: Recorder, differences: Differences) -> None:
        self._recorder, self._differences = recorder, differences
        self._rest = b""

    def take(self, data: bytes) -> int:
        """Take what came; how many failing model calls it tells of."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-LONGEST:]
        return sum(self._told(line[:LONGEST].decode("utf-8", "replace")) for line in lines)

    def _told(self, line: str) -> bool:
        retry, mcp = self._differences.aside_retry, self._differences.aside_mcp
        if retry is not None and (found := retry.fullmatch(line)):
            told = found.groupdict()
            attempt = int(told["attempt"]) if told.get("attempt") else None
            said = model_problem(told["message"]).message
            self._recorder.own("retry", attempt=attempt, message=said)
            return True
        if mcp is not None and (found := mcp.fullmatch(line)):
            why = found.groupdict().get("message")
            said = f"MCP server {found['name']!r} cannot be used" + (f": {why}" if why else "")
            self._recorder.own("warning", message=said)
        return False
