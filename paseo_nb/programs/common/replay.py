"""A session's history as `session/load` tells it: chunks joined, open tool calls closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .content import text_content

Update = dict[str, Any]
_CHUNKS = {"user_message_chunk", "agent_message_chunk", "agent_thought_chunk"}
_HISTORY = _CHUNKS | {"tool_call", "tool_call_update", "plan"}


def replay(story: Iterable[list[Update] | Update]) -> Iterator[Update]:
    """The updates to send. In a story a list is a prompt's content blocks, all else is an update
    that was told. A tool call that the process did not live to end is told as failed."""
    held: Update | None = None
    open_calls: dict[str, None] = {}
    for told in story:
        updates: list[Update] = []
        if isinstance(told, list):
            updates = [_interrupted(call) for call in open_calls] + [
                {"sessionUpdate": "user_message_chunk", "content": block} for block in told
            ]
            open_calls.clear()
        elif told.get("sessionUpdate") in _HISTORY:
            updates = [told]
        for update in updates:
            if held is not None and _same_message(held, update):
                held["content"]["text"] += update["content"]["text"]
                continue
            if held is not None:
                yield held
            held = update
            _note(update, open_calls)
    if held is not None:
        yield held
    yield from (_interrupted(call) for call in open_calls)


def _same_message(first: Update, second: Update) -> bool:
    kind = first["sessionUpdate"]
    return (
        kind in _CHUNKS
        and second["sessionUpdate"] == kind
        and second.get("messageId") is not None
        and second["messageId"] == first.get("messageId")
        and first["content"].get("type") == second["content"].get("type") == "text"
    )


def _note(update: Update, open_calls: dict[str, None]) -> None:
    kind = update["sessionUpdate"]
    if kind == "tool_call":
        open_calls[update["toolCallId"]] = None
    elif kind == "tool_call_update" and update.get("status") in ("completed", "failed"):
        open_calls.pop(update["toolCallId"], None)


def _interrupted(call: str) -> Update:
    return {
        "sessionUpdate": "tool_call_update",
        "toolCallId": call,
        "status": "failed",
        "content": [text_content("Interrupted: the agent's process ended.")],
    }
