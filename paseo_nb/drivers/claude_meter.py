"""Counting Claude Code's model calls as they are told, for a run's limits of tokens and money.

Each call once, by its message id: a stream tells it at its beginning and its end, the whole message
again; those of a sub-agent are not streamed. A turn's result tells what was never shown, too.
"""

from __future__ import annotations

import msgspec

from ..model import Usage
from .acp_reading import Json, as_dict, as_str
from .claude_results import turn_usage, usage_of


class Grown(msgspec.Struct):
    """A call, which is told further than `before`."""

    usage: Usage
    before: Usage
    model: str | None


class Meter:
    """One process's calls. Each method gives what was not counted before."""

    def __init__(self) -> None:
        self._counted: dict[str, Usage] = {}
        self._open: dict[str | None, tuple[str, Json, str | None]] = {}  # by the sub-agent's call
        self._since_result = 0

    def stream(self, message: Json) -> Grown | None:
        """A `stream_event`."""
        event, agent = as_dict(message.get("event")), as_str(message.get("parent_tool_use_id"))
        if event.get("type") == "message_start":
            begun = as_dict(event.get("message"))
            ident, usage = as_str(begun.get("id")) or "", as_dict(begun.get("usage"))
            self._open[agent] = ident, usage, as_str(begun.get("model"))
            return self._grown(*self._open[agent])
        if event.get("type") == "message_delta":
            ident, usage, model = self._open.get(agent, ("", Json(), None))
            ident = as_str(message.get("api_message_id")) or ident
            told = {k: v for k, v in as_dict(event.get("usage")).items() if v is not None}
            return self._grown(ident, {**usage, **told}, model)
        return None

    def whole(self, message: Json) -> Grown | None:
        """An `assistant` message."""
        said = as_dict(message.get("message"))
        model = as_str(said.get("model"))
        return self._grown(as_str(said.get("id")) or "", as_dict(said.get("usage")), model)

    def result(self, result: Json) -> int:
        """Tokens of a `result`: its calls, side calls among them, since the result before."""
        more = turn_usage(result).counted - self._since_result
        self._since_result = 0
        self._counted.clear()
        self._open.clear()
        return max(more, 0)

    def _grown(self, ident: str, told: Json, model: str | None) -> Grown | None:
        usage, before = usage_of(told), self._counted.get(ident, Usage())
        more = usage.counted - before.counted
        if more <= 0:
            return None
        self._counted[ident] = usage
        self._since_result += more
        return Grown(usage, before, model)
