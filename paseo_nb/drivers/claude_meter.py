"""Counting the tokens of Claude Code's model calls as they are told, for a run's token limit.

Each call once, by its message id: a stream tells it at its beginning and its end, the whole message
again; those of a sub-agent are not streamed. A turn's result tells what was never shown, too.
"""

from __future__ import annotations

from .acp_reading import Json, as_dict, as_str
from .claude_results import turn_usage, usage_of


class Meter:
    """One process's calls. Each method gives the tokens that were not counted before."""

    def __init__(self) -> None:
        self._counted: dict[str, int] = {}
        self._open: dict[str | None, tuple[str, Json]] = {}  # by the sub-agent's tool call
        self._since_result = 0

    def stream(self, message: Json) -> int:
        """A `stream_event`."""
        event, agent = as_dict(message.get("event")), as_str(message.get("parent_tool_use_id"))
        if event.get("type") == "message_start":
            begun = as_dict(event.get("message"))
            self._open[agent] = as_str(begun.get("id")) or "", as_dict(begun.get("usage"))
            return self._grown(*self._open[agent])
        if event.get("type") == "message_delta":
            ident, usage = self._open.get(agent, ("", {}))
            ident = as_str(message.get("api_message_id")) or ident
            told = {k: v for k, v in as_dict(event.get("usage")).items() if v is not None}
            return self._grown(ident, {**usage, **told})
        return 0

    def whole(self, message: Json) -> int:
        """An `assistant` message."""
        said = as_dict(message.get("message"))
        return self._grown(as_str(said.get("id")) or "", as_dict(said.get("usage")))

    def result(self, result: Json) -> int:
        """A `result`: its calls, side calls among them, since the result before."""
        more = turn_usage(result).counted - self._since_result
        self._since_result = 0
        self._counted.clear()
        self._open.clear()
        return max(more, 0)

    def _grown(self, ident: str, usage: Json) -> int:
        more = max(usage_of(usage).counted - self._counted.get(ident, 0), 0)
        self._counted[ident] = self._counted.get(ident, 0) + more
        self._since_result += more
        return more
